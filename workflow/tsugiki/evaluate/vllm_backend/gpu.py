"""The GPU of a job. vLLM takes the first one that it sees."""

from __future__ import annotations

import os

from tsugiki.config.evaluation import Evaluation


def see_one_gpu(evaluation: Evaluation, job: int) -> None:
    """Let this process see one GPU, if it is to run vLLM: jobs on one machine share them out.

    CUDA reads the variable once: call this before anything uses a GPU.
    """
    if evaluation.backend != "vllm":
        return
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        seen = [str(index) for index in range(torch.cuda.device_count())]
    else:
        seen = [name for name in given.split(",") if name]
    if seen:
        os.environ["CUDA_VISIBLE_DEVICES"] = seen[job % len(seen)]
