# tsugiki: evolutionary model merging, one generation after another.
#
#   snakemake --configfile config/my-merge.yaml --cores all
#
# Inputs:  the configuration, the parents it names.
# Outputs: results/<run>/: see results/README.md.
import os
import sys
from pathlib import Path

from snakemake.utils import min_version

from tsugiki import atomic
from tsugiki.config.load import dump_config, parse_config
from tsugiki.config.validate import validate_config
from tsugiki.yaml_file import read_yaml
from tsugiki.contracts.layout import RunFiles
from tsugiki.progress.progress import finished_table
from tsugiki.steps.run_lock import hold_run_lock
from tsugiki.tracking.store import tracking_uri
from tsugiki.steps.changes import announce_changes
from tsugiki.steps.plan import Plan
from tsugiki.steps.scheduler_words import hush_scheduler
from tsugiki.workers.dispatch import forbid_workers

min_version("9.0")
# shell commands, also of a job on a node, find the `tsugiki` of this Python
os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


if not config:

    configfile: "config/config.yaml"


SETTINGS = parse_config(config, where=str(workflow.configfiles[-1]))
RUN = RunFiles(SETTINGS.folder)
if workflow.is_main_process:  # and not in each job on a node
    for path in workflow.configfiles:
        read_yaml(Path(path))
    validate_config(SETTINGS, where=str(workflow.configfiles[-1]))
    tracking_uri(RUN, SETTINGS)
    announce_changes(RUN, SETTINGS, say=logger.info)
PLAN = Plan(RUN, SETTINGS)
CAUGHT_UP = atomic.never_there(RUN.root / "caught-up")
hush_scheduler(is_dry_run=lambda: workflow.dryrun, at_rest=lambda: finished_table(RUN))


onstart:
    hold_run_lock(RUN.root)
    if not workflow.local_exec:
        forbid_workers()
    atomic.sweep(RUN.root)
    atomic.write_if_changed(RUN.config, dump_config(SETTINGS))
    PLAN.write_splits()


onsuccess:
    CAUGHT_UP.unlink(missing_ok=True)
    if PLAN.behind():
        print(
            f"MLflow lags behind by {PLAN.behind()} generations: "
            f"`tsugiki track {workflow.configfiles[-1]}` catches up, and so does the same command"
        )


report: "workflow/report/workflow.rst"


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
        CAUGHT_UP if PLAN.behind() else [],  # never there, so that it is done
