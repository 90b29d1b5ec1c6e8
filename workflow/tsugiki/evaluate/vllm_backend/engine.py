"""Starting vLLM on the GPU of a job, and which models can share one engine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tsugiki.canonical import digest, digest_file
from tsugiki.config.evaluation import Evaluation
from tsugiki.errors import ConfigError, InfrastructureError

WORKER = "tsugiki.evaluate.vllm_backend.worker.MergingWorker"
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process: the order of the work is fixed
    "VLLM_NO_USAGE_STATS": "1",
}
"""Set before vLLM is imported, unless the user's environment says otherwise."""
OF_SCORES = ("VLLM_ENABLE_V1_MULTIPROCESSING", "VLLM_BATCH_INVARIANT", "VLLM_USE_V2_MODEL_RUNNER")
"""Variables that are part of a score's identity."""

COSMETIC = {"_name_or_path", "transformers_version", "dtype", "torch_dtype"}
"""Keys of config.json that mean nothing to an engine, or that it is told otherwise."""
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json")


def engine_key(folder: Path, dtype: str) -> str:
    """Digest of what an engine is started with; models of equal keys can share one."""
    config = json.loads((folder / "config.json").read_bytes())
    return digest(
        {
            "dtype": dtype,
            "config": {key: value for key, value in config.items() if key not in COSMETIC},
            "tokenizer": {
                name: digest_file(folder / name) for name in TOKENIZER if (folder / name).is_file()
            },
        }
    )


def prepare_environment() -> None:
    """Set what vLLM reads when it is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def see_one_gpu(evaluation: Evaluation, job: int) -> None:
    """Let this process see one GPU, if it is to run vLLM: jobs on one machine share them out.

    vLLM takes the first one that it sees. CUDA reads the variable once: call this before anything
    uses a GPU.
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


def gpu_name() -> str:
    """Name of the GPU that vLLM takes.

    Raises:
        InfrastructureError: there is none that works.
    """
    import torch

    if not torch.cuda.is_available():
        raise InfrastructureError(
            "vLLM needs a GPU, and torch finds none that works",
            where=f"CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')} on "
            f"{os.uname().nodename}",
            fix="the job is tried again; ask for a GPU, or set `evaluation.backend: transformers`",
        )
    return torch.cuda.get_device_name()


def share_of_memory(evaluation: Evaluation) -> float:
    """Share of the GPU's memory that vLLM takes."""
    given = evaluation.vllm.memory
    return 0.9 if given is None else given


def engine_settings(
    folder: Path, dtype: str, evaluation: Evaluation, max_length: int
) -> dict[str, Any]:
    """Arguments of vLLM's `LLM` for models with the configuration and tokenizer of `folder`."""
    return {
        "model": str(folder),
        "tokenizer": str(folder),
        "dtype": dtype,
        "load_format": "dummy",  # each candidate's weights replace them
        "worker_extension_cls": WORKER,
        "tensor_parallel_size": 1,
        "max_model_len": max_length,
        "gpu_memory_utilization": share_of_memory(evaluation),
        "max_num_seqs": evaluation.batch_size,
        # what a candidate has computed must not be found by the next one
        "enable_prefix_caching": False,
        "generation_config": "vllm",  # none of the parents' settings, such as penalties
        "seed": 0,
        "trust_remote_code": False,
    }


def start_engine(settings: dict[str, Any]) -> Any:
    """Start vLLM in this process.

    Raises:
        ConfigError: vLLM does not start with these models or settings.
    """
    prepare_environment()
    # not above: `see_one_gpu` comes before torch is imported
    from tsugiki.evaluate.faults import is_machine_fault
    from vllm import LLM

    try:
        return LLM(**settings)
    except (ValueError, NotImplementedError, RuntimeError) as error:
        if is_machine_fault(error):
            raise
        raise ConfigError(
            "vLLM does not start",
            where=f"{settings['model']} ({settings['dtype']})",
            got=f"{type(error).__name__}: {error}",
            fix="see that nothing else uses the memory, and lower `evaluation.vllm.max_length`; set "
            "`evaluation.vllm.memory` lower if so much is not free, and higher if there is none "
            "left for the cache; or set `evaluation.backend: transformers`",
        ) from error
