# Report: MLflow, one generation after another, and the report.
#
# Inputs:  <phase>/gen-NNN/outcomes.json, final.json
# Outputs: <phase>/gen-NNN/tracked.json   says whether MLflow has the generation, or is to be told later
#          report.html, figures/*.svg, and the numbers of each figure as *.csv
#          tracked.json   the same as each generation's, of the winner and the report


FIGURES = [
    "comparison",
    # a search for a front has no fitness
    *(["fitness"] if any(one.strategy.weighs for one in SETTINGS.stages) else []),
    *SETTINGS.figures().values(),
    "cost",
]


localrules:
    track,
    catch_up,
    report,
    track_result,


rule track:
    input:
        outcomes=PLAN.path("outcomes.json"),
        before=ancient(PLAN.tracked_before),  # which `track` writes again once MLflow has caught up
    output:
        tracked=PLAN.path("tracked.json"),
    log:
        RUN.root / "logs/{phase}/gen-{gen}/track.log",
    benchmark:
        RUN.root / "benchmarks/{phase}/gen-{gen}/track.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 0  # it takes no core from those that evaluate
    params:
        config=RUN.config,
        key=PLAN.tracking_key(),
        generation=lambda wildcards: int(wildcards.gen),
    shell:
        "OMP_NUM_THREADS=1 tsugiki --log {log:q} track {params.config:q} --series {wildcards.phase}"
        " --generation {params.generation}"


rule catch_up:  # planned while marks say that MLflow is to be told of something; see `all`
    input:
        tracked=PLAN.tracked(),
        result=RUN.tracked,
    output:
        done=PLAN.caught_up,
    log:
        RUN.root / "logs/catch_up.log",
    benchmark:
        RUN.root / "benchmarks/catch_up.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 0
    params:
        config=RUN.config,
    shell:
        "OMP_NUM_THREADS=1 tsugiki --log {log:q} track {params.config:q} --series test --generation 0"
        " && touch {output.done:q}"


rule report:
    input:
        final=RUN.final,
        outcomes=PLAN.all_outcomes(),
        baselines=RUN.phase("baselines").generation(0).outcomes,
    output:
        page=report(
            RUN.report,
            caption="../workflow/report/page.rst",
            category="Report",
        ),
        figures=[
            report(
                RUN.figure(figure),
                caption=f"../workflow/report/{figure.partition('-')[0]}.rst",
                category="Figures",
                labels={"figure": figure},
            )
            for figure in FIGURES
        ],
        data=[RUN.figure_data(figure) for figure in FIGURES],
    log:
        RUN.root / "logs/report.log",
    benchmark:
        RUN.root / "benchmarks/report.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        config=RUN.config,
    shell:
        "tsugiki --log {log:q} report {params.config:q}"


rule track_result:
    input:
        tracked=ancient(PLAN.tracked()),
        best=RUN.best_recipe,
        page=RUN.report,
    output:
        tracked=RUN.tracked,
    log:
        RUN.root / "logs/track_result.log",
    benchmark:
        RUN.root / "benchmarks/track_result.tsv"
    conda:
        "../envs/environment.yaml"
    threads: 0
    params:
        config=RUN.config,
        key=PLAN.tracking_key(),
    shell:
        "OMP_NUM_THREADS=1 tsugiki --log {log:q} track {params.config:q} --result"
