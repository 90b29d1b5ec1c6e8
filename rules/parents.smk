# Parents: resolve, pin, fetch, prepare, lock; divide the tasks' documents.
#
# Inputs:  the configuration (config.lock.yaml, written when the workflow starts).
# Outputs: parents.lock.json   commit and file digests of every parent; kept when the rule runs again
#          items.json          search, validation and test documents; the run's date is kept


localrules:
    parents,
    items,


rule parents:
    output:
        lock=update(RUN.parents),
    log:
        RUN.root / "logs/parents.log",
    benchmark:
        RUN.root / "benchmarks/parents.tsv"
    conda:
        "../envs/environment.yaml"
    threads: workflow.resource_settings.cores or 1
    params:
        config=RUN.config,
        key=PLAN.parents_key(),
    shell:
        "tsugiki --log {log:q} parents {params.config:q}"


rule items:
    input:
        tasks=PLAN.task_files(),
    output:
        sets=update(RUN.items),
        environment=RUN.environment,
    log:
        RUN.root / "logs/items.log",
    benchmark:
        RUN.root / "benchmarks/items.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        config=RUN.config,
        key=PLAN.items_key(),
    shell:
        "tsugiki --log {log:q} items {params.config:q}"
