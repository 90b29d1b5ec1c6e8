# Evaluate: a job's shard of a generation, scored by one process that holds the parents once.
#
# Inputs:  parents.lock.json, items.json, <phase>/gen-NNN/population.json
#          <phase>/gen-NNN/weights-J/ with `storage: disk`
#          <stage>/gen-NNN/rung-(N-1).json with `evaluation.rungs`
#          <stage>/decomposed.json for methods that decompose task vectors
# Outputs: <phase>/gen-NNN/evaluated-J.json
#          <phase>/candidates/cand-*/{outcome.json,items.parquet,cost.json}   content-addressed, and
#          kept: a job that is run again scores only what has no outcome yet
#
# With `evaluation.rungs`, each generation of a stage is scored on a few documents first. `evaluate_rung`
# does that for each rung but the last, which is `evaluate`'s; `promote` decides between them who goes on.
# Outputs: <stage>/gen-NNN/rung-N/evaluated-J.json, <stage>/gen-NNN/rung-N.json
#          <stage>/candidates/cand-*/rung-N/{outcome.json,items.parquet,cost.json}


localrules:
    promote,


rule evaluate:
    input:
        parents=RUN.parents,
        sets=RUN.items,
        population=PLAN.path("population.json"),
        promoted=PLAN.promoted,
        decomposed=ancient(PLAN.decomposed),
        weights=PLAN.path("weights-{job}") if PLAN.on_disk else [],
    output:
        evaluated=PLAN.path("evaluated-{job}.json"),
    log:
        RUN.root / "logs/{phase}/gen-{gen}/evaluate-{job}.log",
    benchmark:
        RUN.root / "benchmarks/{phase}/gen-{gen}/evaluate-{job}.tsv"
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
        key=PLAN.shard_key,
        generation=lambda wildcards: int(wildcards.gen),
    shell:
        "OMP_NUM_THREADS={threads} tsugiki --log {log:q} evaluate {params.config:q} --series {wildcards.phase}"
        " --generation {params.generation} --job {wildcards.job}"


rule evaluate_rung:
    input:
        parents=RUN.parents,
        sets=RUN.items,
        population=PLAN.path("population.json"),
        promoted=PLAN.promoted,
        decomposed=ancient(PLAN.decomposed),
        weights=PLAN.path("weights-{job}") if PLAN.on_disk else [],
    output:
        evaluated=PLAN.path("rung-{rung}/evaluated-{job}.json"),
    log:
        RUN.root / "logs/{phase}/gen-{gen}/rung-{rung}/evaluate-{job}.log",
    benchmark:
        RUN.root / "benchmarks/{phase}/gen-{gen}/rung-{rung}/evaluate-{job}.tsv"
    wildcard_constraints:
        phase="|".join(PLAN.stages),
    priority: 10
    retries: 2 if workflow.is_main_process else 0
    conda:
        "../envs/environment.yaml"
    threads: SETTINGS.evaluation.threads
    resources:
        runtime=lambda wildcards, attempt: 240 * attempt,
        mem_mb=lambda wildcards, attempt: 32_000 * attempt,
    params:
        config=RUN.config,
        key=PLAN.shard_key,
        generation=lambda wildcards: int(wildcards.gen),
    shell:
        "OMP_NUM_THREADS={threads} tsugiki --log {log:q} evaluate {params.config:q} --series {wildcards.phase}"
        " --generation {params.generation} --job {wildcards.job} --rung {wildcards.rung}"


rule promote:
    input:
        population=PLAN.path("population.json"),
        sets=RUN.items,
        evaluated=PLAN.evaluated_of,
    output:
        promoted=PLAN.path("rung-{rung}.json"),
    log:
        RUN.root / "logs/{phase}/gen-{gen}/promote-{rung}.log",
    benchmark:
        RUN.root / "benchmarks/{phase}/gen-{gen}/promote-{rung}.tsv"
    wildcard_constraints:
        phase="|".join(PLAN.stages),
    priority: 20
    conda:
        "../envs/environment.yaml"
    params:
        config=RUN.config,
        generation=lambda wildcards: int(wildcards.gen),
    shell:
        "tsugiki --log {log:q} promote {params.config:q} --stage {wildcards.phase}"
        " --generation {params.generation} --rung {wildcards.rung}"
