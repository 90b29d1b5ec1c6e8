# Select: rank a generation, and draw the next one: pure functions of the files they read.
#
# Inputs:  <phase>/gen-NNN/{population.json,evaluated-*.json}, outcomes of its candidates
#          <stage>/gen-NNN/state.npz, <stage>/space.json
#          items.parquet of the candidates, where the strategy asks for them: outcomes.json names each by
#          its digest, so that other records mean another outcomes.json
#          those of earlier generations, with a surrogate
#          baselines/gen-000/outcomes.json and those of earlier generations, with `subsets: {irt: {}}`
#          baselines/gen-000/outcomes.json, for the second generation, with `subsets: {informative: true}`
# Outputs: <phase>/gen-NNN/outcomes.json                      the ledger's entry
#          <stage>/gen-NNN/{population.json,state.npz}         drawn from the generation before


localrules:
    rank,
    select,


rule rank:
    input:
        population=PLAN.path("population.json"),
        evaluated=PLAN.evaluated_of,
        estimated_with=ancient(PLAN.estimated_with),  # what they hold is recorded, and in the stage's key
    output:
        outcomes=PLAN.path("outcomes.json"),
    log:
        RUN.root / "logs/{phase}/gen-{gen}/rank.log",
    benchmark:
        RUN.root / "benchmarks/{phase}/gen-{gen}/rank.tsv"
    priority: 20
    conda:
        "../envs/environment.yaml"
    params:
        config=RUN.config,
        generation=lambda wildcards: int(wildcards.gen),
    shell:
        "tsugiki --log {log:q} rank {params.config:q} --series {wildcards.phase}"
        " --generation {params.generation}"


rule select:
    input:
        space=RUN.root / "{stage}/space.json",
        population=PLAN.before("population.json"),
        state=PLAN.before("state.npz"),
        outcomes=PLAN.before("outcomes.json"),
        modelled=PLAN.modelled,
        parents=ancient(PLAN.parents_answers),  # other baselines leave the search alone
    output:
        population=RUN.root / "{stage}/gen-{gen}/population.json",
        state=RUN.root / "{stage}/gen-{gen}/state.npz",
    log:
        RUN.root / "logs/{stage}/gen-{gen}/select.log",
    benchmark:
        RUN.root / "benchmarks/{stage}/gen-{gen}/select.tsv"
    wildcard_constraints:
        gen=r"(?!000)\d\d\d+",
    priority: 20
    conda:
        "../envs/environment.yaml"
    params:
        config=RUN.config,
        key=PLAN.selected_key,
        generation=lambda wildcards: int(wildcards.gen) - 1,
    shell:
        "tsugiki --log {log:q} select {params.config:q} --stage {wildcards.stage}"
        " --generation {params.generation}"
