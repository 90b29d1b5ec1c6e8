"""Starting vLLM, and which models can share one engine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tsugiki.canonical import digest, digest_file
from tsugiki.config.evaluation import Evaluation
from tsugiki.errors import ConfigError
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.vllm_backend.processor import cache_bytes, start_on_processor

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


def share_of_memory(evaluation: Evaluation, *, on_cpu: bool) -> float:
    """Of a GPU's memory, all that vLLM takes; of a machine's, what it takes for keys and values."""
    given = evaluation.vllm.memory
    return (0.1 if on_cpu else 0.9) if given is None else given


def engine_settings(
    folder: Path, dtype: str, evaluation: Evaluation, max_length: int, *, on_cpu: bool = False
) -> dict[str, Any]:
    """Arguments of vLLM's `LLM` for models with the configuration and tokenizer of `folder`."""
    memory = share_of_memory(evaluation, on_cpu=on_cpu)
    room: dict[str, Any]
    if on_cpu:
        # the share that vLLM knows would count all that this process holds, the parents included
        room = {"kv_cache_memory_bytes": cache_bytes(memory)}
    else:
        room = {"gpu_memory_utilization": memory}
    return {
        "model": str(folder),
        "tokenizer": str(folder),
        "dtype": dtype,
        "load_format": "dummy",  # each candidate's weights replace them
        "worker_extension_cls": WORKER,
        "tensor_parallel_size": 1,
        "max_model_len": max_length,
        "max_num_seqs": evaluation.batch_size,
        # what a candidate has computed must not be found by the next one
        "enable_prefix_caching": False,
        "generation_config": "vllm",  # none of the parents' settings, such as penalties
        "seed": 0,
        "trust_remote_code": False,
        **room,
    }


def start_engine(settings: dict[str, Any], *, on_cpu: bool = False) -> Any:
    """Start vLLM in this process.

    Raises:
        ConfigError: vLLM does not start with these models or settings.
    """
    prepare_environment()
    from vllm import LLM

    try:
        return start_on_processor(settings) if on_cpu else LLM(**settings)
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
