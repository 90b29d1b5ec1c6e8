# Parents: resolve, pin, fetch, lock; divide the tasks' documents.
#
# Inputs:  the configuration (config.lock.yaml, written when the workflow starts).
# Outputs: parents.lock.json   commit and file digests of every parent; kept when the rule runs again
#          items.json          search, validation and test documents


localrules:
    parents,
    items,


rule parents:
    output:
        lock=update(RUN.parents),
    params:
        config=RUN.config,
        key=PLAN.parents_key(),
    log:
        RUN.root / "logs/parents.log",
    benchmark:
        RUN.root / "benchmarks/parents.tsv"
    threads: workflow.cores or 1
    resources:
        runtime=240,
    shell:
        "tsugiki parents {params.config:q} 2>&1 | tee {log:q}"


rule items:
    input:
        tasks=PLAN.task_files(),
    output:
        sets=RUN.items,
        environment=RUN.environment,
    params:
        config=RUN.config,
        key=PLAN.evaluation_key(),
    log:
        RUN.root / "logs/items.log",
    benchmark:
        RUN.root / "benchmarks/items.tsv"
    resources:
        runtime=60,
    shell:
        "tsugiki items {params.config:q} > {log:q} 2>&1"
