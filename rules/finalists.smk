# Finalists: baselines, the choice of finalists, the held-out test, the best models.
#
# Inputs:  parents.lock.json, the ledger of each stage
# Outputs: {baselines,finalists,test}/gen-000/population.json   scored by `evaluate` like any generation
#          finalists-<stage>/gen-000/population.json            the same for stages before the last
#          <stage>/{best/,best.lock.json}                       where a later stage merges its result
#          flatness/gen-000/population.json                     with `finalists.flatness`: neighbours of the winner
#          repeat/gen-000/population.json                       with `evaluation.repeat_check`: models scored again
#          final.json                                           the table, with intervals
#          front/front.json                                     with several objectives: the Pareto front
#          best/                                                the merged model


localrules:
    baselines,
    finalists,
    flatness,
    repeat,
    held_out,
    compare,


rule baselines:
    input:
        parents=RUN.parents,
    output:
        population=RUN.phase("baselines").generation(0).population,
    log:
        RUN.root / "logs/baselines.log",
    benchmark:
        RUN.root / "benchmarks/baselines.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        config=RUN.config,
        key=PLAN.baselines_key(),
    shell:
        "tsugiki --log {log:q} baselines {params.config:q}"


rule finalists:
    input:
        outcomes=PLAN.searched_by,
        state=PLAN.state_after,
    output:
        population=RUN.root / "{finalists}/gen-000/population.json",
    log:
        RUN.root / "logs/{finalists}.log",
    benchmark:
        RUN.root / "benchmarks/{finalists}.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        config=RUN.config,
        key=PLAN.finalists_key(),
        stage=lambda wildcards: PLAN.finalists[wildcards.finalists],
    shell:
        "tsugiki --log {log:q} finalists {params.config:q} --stage {params.stage}"


rule stage_best:
    input:
        finalists=PLAN.finalists_before,
    output:
        best=RUN.root / "{stage}/best/recipe.json",
        lock=RUN.root / "{stage}/best.lock.json",
    log:
        RUN.root / "logs/{stage}/best.log",
    benchmark:
        RUN.root / "benchmarks/{stage}/best.tsv"
    conda:
        "../envs/environment.yaml"
    threads: SETTINGS.evaluation.threads
    resources:
        runtime=lambda wildcards, attempt: 60 * attempt,
        mem_mb=lambda wildcards, attempt: 16_000 * attempt,
    params:
        config=RUN.config,
    shell:
        "tsugiki --log {log:q} best {params.config:q} --stage {wildcards.stage} --threads {threads}"


rule flatness:
    input:
        finalists=RUN.phase("finalists").generation(0).outcomes,
    output:
        population=RUN.phase("flatness").generation(0).population,
    log:
        RUN.root / "logs/flatness.log",
    benchmark:
        RUN.root / "benchmarks/flatness.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        config=RUN.config,
        key=PLAN.flatness_key(),
    shell:
        "tsugiki --log {log:q} flatness {params.config:q}"


rule held_out:
    input:
        finalists=PLAN.final_outcomes(),
        baselines=RUN.phase("baselines").generation(0).outcomes,
    output:
        population=RUN.phase("test").generation(0).population,
    log:
        RUN.root / "logs/held_out.log",
    benchmark:
        RUN.root / "benchmarks/held_out.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        config=RUN.config,
    shell:
        "tsugiki --log {log:q} test {params.config:q}"


rule repeat:
    input:
        test=RUN.phase("test").generation(0).outcomes,
    output:
        population=RUN.phase("repeat").generation(0).population,
    log:
        RUN.root / "logs/repeat.log",
    benchmark:
        RUN.root / "benchmarks/repeat.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        config=RUN.config,
        key=PLAN.repeat_key(),
    shell:
        "tsugiki --log {log:q} repeat {params.config:q}"


rule compare:
    input:
        test=RUN.phase("test").generation(0).outcomes,
        flatness=PLAN.flatness(),
        repeat=PLAN.repeat(),
    output:
        final=RUN.final,
        front=PLAN.front(),
    log:
        RUN.root / "logs/compare.log",
    benchmark:
        RUN.root / "benchmarks/compare.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        config=RUN.config,
    shell:
        "tsugiki --log {log:q} compare {params.config:q}"


rule best:
    input:
        finalists=RUN.phase("finalists").generation(0).outcomes,
        final=RUN.final,
    output:
        best=RUN.best_recipe,
    log:
        RUN.root / "logs/best.log",
    benchmark:
        RUN.root / "benchmarks/best.tsv"
    conda:
        "../envs/environment.yaml"
    threads: SETTINGS.evaluation.threads
    resources:
        runtime=lambda wildcards, attempt: 60 * attempt,
        mem_mb=lambda wildcards, attempt: 16_000 * attempt,
    params:
        config=RUN.config,
    shell:
        "tsugiki --log {log:q} best {params.config:q} --threads {threads}"
