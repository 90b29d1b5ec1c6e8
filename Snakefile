# tsugiki: evolutionary model merging, one generation after another:
#   snakemake --configfile config/my-merge.yaml --cores all
#
# Inputs:  the configuration, the parents it names.
# Outputs: results/<run>/: see results/README.md.
from snakemake.utils import min_version

from tsugiki.config.load import parse_config
from tsugiki.contracts.layout import RunFiles
from tsugiki.steps.plan import Plan
from tsugiki.steps.snakemake_log import filter_log
from tsugiki.steps.workflow import end, look, start, use_this_python
from tsugiki.workers.dispatch import allow_workers

min_version("9.0")
use_this_python()


if not config:

    configfile: "config/config.yaml"


SETTINGS = parse_config(config, where=str(workflow.configfiles[-1]))
RUN = RunFiles(SETTINGS.folder)
PLAN = Plan(RUN, SETTINGS)
if workflow.is_main_process:  # and not in each job on a node
    look(PLAN, workflow.configfiles, log=logger.info)
filter_log(RUN, is_dry_run=lambda: workflow.dryrun)


onstart:
    start(PLAN)
    if SETTINGS.evaluation.resident and workflow.local_exec:
        allow_workers(SETTINGS.evaluation.threads)


onsuccess:
    end(PLAN, workflow.configfiles[-1])


report: "workflow/report/workflow.rst"


wildcard_constraints:
    phase="|".join([*PLAN.stages, *PLAN.finals]),
    stage="|".join(PLAN.stages),
    finalists="|".join(PLAN.finalists),
    gen=r"\d\d\d+",
    job=r"\d+",
    rung=r"\d+",


include: "rules/parents.smk"
include: "rules/materialize.smk"
include: "rules/evaluate.smk"
include: "rules/select.smk"
include: "rules/finalists.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        RUN.report,
        RUN.best_recipe,
        PLAN.tracked(),
        RUN.tracked,
        PLAN.caught_up if PLAN.behind() else [],
