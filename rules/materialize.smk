# Materialize: the first population of a stage; with `storage: disk`, candidates as checkpoints.
#
# Inputs:  parents.lock.json, <stage>/best.lock.json of stages that the stage merges
#          <last stage>/gen-000/population.json for the size of a rival's generations
#          with `start` or `inject` of a stage: recipes from elsewhere, finalists of an earlier stage,
#          baselines, scored (whose files may be newer: a change of theirs is in the stage's key)
#          <phase>/gen-NNN/population.json
# Outputs: <stage>/space.json, <stage>/gen-000/{population.json,state.npz}
#          <stage>/decomposed.json           for methods that decompose task vectors, which are kept in
#          results/decompositions/           for all runs: candidates are then merged from these
#          <phase>/gen-NNN/weights-J/       temporary: removed once its candidates are scored


localrules:
    start,


rule start:
    input:
        parents=RUN.parents,
        before=PLAN.models_before,
        rivalled=ancient(PLAN.rivalled),
        origins=PLAN.origins_of,
        baselines=ancient(PLAN.baselines_for),
    output:
        space=RUN.root / "{stage}/space.json",
        population=RUN.root / "{stage}/gen-000/population.json",
        state=RUN.root / "{stage}/gen-000/state.npz",
    log:
        RUN.root / "logs/{stage}/start.log",
    benchmark:
        RUN.root / "benchmarks/{stage}/start.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        config=RUN.config,
        key=lambda wildcards: PLAN.stage_key(wildcards.stage),
    shell:
        "tsugiki --log {log:q} start {params.config:q} --stage {wildcards.stage}"


rule decompose:
    input:
        parents=RUN.parents,
        before=PLAN.models_before,
        space=RUN.root / "{stage}/space.json",
        shared=ancient(PLAN.decomposed_before),
    output:
        decomposed=update(RUN.root / "{stage}/decomposed.json"),  # which says that the stage has begun with it
    log:
        RUN.root / "logs/{stage}/decompose.log",
    benchmark:
        RUN.root / "benchmarks/{stage}/decompose.tsv"
    priority: 20
    conda:
        "../envs/environment.yaml"
    threads: SETTINGS.evaluation.threads
    resources:
        runtime=lambda wildcards, attempt: 720 * attempt,
        mem_mb=lambda wildcards, attempt: 16_000 * attempt,
    params:
        config=RUN.config,
        key=lambda wildcards: PLAN.stage_key(wildcards.stage),
    shell:
        "tsugiki --log {log:q} decompose {params.config:q} --stage {wildcards.stage} --threads {threads}"


rule materialize:
    input:
        parents=RUN.parents,
        population=PLAN.path("population.json"),
        decomposed=ancient(PLAN.decomposed),
    output:
        weights=temp(directory(PLAN.path("weights-{job}"))),
    log:
        RUN.root / "logs/{phase}/gen-{gen}/materialize-{job}.log",
    benchmark:
        RUN.root / "benchmarks/{phase}/gen-{gen}/materialize-{job}.tsv"
    conda:
        "../envs/environment.yaml"
    threads: SETTINGS.evaluation.threads
    resources:
        runtime=lambda wildcards, attempt: 60 * attempt,
        mem_mb=lambda wildcards, attempt: 16_000 * attempt,
    params:
        config=RUN.config,
        jobs=PLAN.jobs_of,
        generation=lambda wildcards: int(wildcards.gen),
    shell:
        "tsugiki --log {log:q} materialize {params.config:q} --series {wildcards.phase}"
        " --generation {params.generation} --job {wildcards.job}"
