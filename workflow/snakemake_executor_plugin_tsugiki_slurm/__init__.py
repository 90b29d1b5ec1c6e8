"""What Snakemake finds when a profile says `executor: tsugiki-slurm`; the name is Snakemake's rule."""

from tsugiki.slurm.executor import Executor, ExecutorSettings, common_settings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]
