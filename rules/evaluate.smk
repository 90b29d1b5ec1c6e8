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
    params:
        config=RUN.config,
        key=PLAN.evaluation_key(),
        generation=lambda wildcards: int(wildcards.gen),
    wildcard_constraints:
        series="|".join([*PLAN.stages, *PLAN.finals]),
        gen=r"\d\d\d+",
        job=r"\d+",
    log:
        RUN.root / "logs/{series}/gen-{gen}/evaluate-{job}.log",
    benchmark:
        RUN.root / "benchmarks/{series}/gen-{gen}/evaluate-{job}.tsv"
    threads: SETTINGS.evaluation.threads
    retries: 2
    priority: 10
    resources:
        runtime=240,
    shell:
        "OMP_NUM_THREADS={threads} tsugiki evaluate {params.config:q} --series {wildcards.series}"
        " --generation {params.generation} --job {wildcards.job} > {log:q} 2>&1"
