# Evaluate: a job's share of a generation, scored by one process that holds the parents once.
#
# Inputs:  parents.lock.json, items.json, <series>/gen-NNN/population.json
#          <series>/gen-NNN/weights-J/ with `storage: disk`
# Outputs: <series>/gen-NNN/evaluated-J.json
#          <series>/candidates/cand-*/{outcome.json,items.parquet,cost.json}   content-addressed, and
#          kept: a job that is run again scores only what has no outcome yet


rule evaluate:
    input:
        parents=RUN.parents,
        sets=RUN.items,
        population=PLAN.path("population.json"),
        weights=PLAN.path("weights-{job}") if PLAN.on_disk else [],
    output:
        evaluated=PLAN.path("evaluated-{job}.json"),
    log:
        RUN.root / "logs/{series}/gen-{gen}/evaluate-{job}.log",
    benchmark:
        RUN.root / "benchmarks/{series}/gen-{gen}/evaluate-{job}.tsv"
    wildcard_constraints:
        series="|".join([*PLAN.stages, *PLAN.finals]),
        gen=r"\d\d\d+",
        job=r"\d+",
    priority: 10
    retries: 2 if workflow.is_main_process else 0  # not again on the same node, by its job's Snakemake
    conda:
        "../envs/environment.yaml"
    threads: SETTINGS.evaluation.threads
    resources:
        runtime=lambda wildcards, attempt: 240 * attempt,
        mem_mb=lambda wildcards, attempt: 32_000 * attempt,
    params:
        config=RUN.config,
        key=PLAN.share_key,
        generation=lambda wildcards: int(wildcards.gen),
    shell:
        "OMP_NUM_THREADS={threads} tsugiki --log {log:q} evaluate {params.config:q} --series {wildcards.series}"
        " --generation {params.generation} --job {wildcards.job}"
