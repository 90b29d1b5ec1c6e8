# Finalists: baselines, the choice of finalists, the held-out test, the best model.
#
# Inputs:  parents.lock.json, the ledger of the last stage
# Outputs: {baselines,finalists,test}/gen-000/population.json   scored by `evaluate` like any generation
#          final.json                                           the table, with intervals
#          best/                                                the merged model


localrules:
    baselines,
    finalists,
    held_out,
    compare,


rule baselines:
    input:
        parents=RUN.parents,
    output:
        population=RUN.series("baselines").generation(0).population,
    params:
        config=RUN.config,
        key=PLAN.baselines_key(),
    log:
        RUN.root / "logs/baselines.log",
    benchmark:
        RUN.root / "benchmarks/baselines.tsv"
    resources:
        runtime=30,
    shell:
        "tsugiki baselines {params.config:q} > {log:q} 2>&1"


rule finalists:
    input:
        outcomes=PLAN.last_outcomes(),
        state=PLAN.state(),
    output:
        population=RUN.series("finalists").generation(0).population,
    params:
        config=RUN.config,
        key=PLAN.finalists_key(),
    log:
        RUN.root / "logs/finalists.log",
    benchmark:
        RUN.root / "benchmarks/finalists.tsv"
    resources:
        runtime=30,
    shell:
        "tsugiki finalists {params.config:q} > {log:q} 2>&1"


rule held_out:
    input:
        finalists=RUN.series("finalists").generation(0).outcomes,
        baselines=RUN.series("baselines").generation(0).outcomes,
    output:
        population=RUN.series("test").generation(0).population,
    params:
        config=RUN.config,
    log:
        RUN.root / "logs/held_out.log",
    benchmark:
        RUN.root / "benchmarks/held_out.tsv"
    resources:
        runtime=30,
    shell:
        "tsugiki test {params.config:q} > {log:q} 2>&1"


rule compare:
    input:
        test=RUN.series("test").generation(0).outcomes,
    output:
        final=RUN.final,
    params:
        config=RUN.config,
    log:
        RUN.root / "logs/compare.log",
    benchmark:
        RUN.root / "benchmarks/compare.tsv"
    resources:
        runtime=30,
    shell:
        "tsugiki compare {params.config:q} 2>&1 | tee {log:q}"


rule best:
    input:
        finalists=RUN.series("finalists").generation(0).outcomes,
        final=RUN.final,
    output:
        best=directory(RUN.best),
    params:
        config=RUN.config,
    log:
        RUN.root / "logs/best.log",
    benchmark:
        RUN.root / "benchmarks/best.tsv"
    resources:
        runtime=120,
    shell:
        "tsugiki best {params.config:q} --threads {threads} > {log:q} 2>&1"
