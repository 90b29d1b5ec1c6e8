"""The result of checking a run's parents, and its text for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tsugiki.parents.fault import Fault
from tsugiki.parents.sizes import LIBRARIES, LIBRARIES_ON_GPU, Memory


@dataclass(frozen=True)
class Report:
    """What the checks found, and what the run will need."""

    faults: list[Fault]
    """Reasons not to start."""
    notes: list[str]
    """What to know; nothing to mend."""
    download_bytes: int
    """Bytes that fetching the parents will bring over the network."""
    disk_bytes: int
    """Bytes that downloads, prepared parents and merged models will take on disk."""
    memory: Memory
    """What each evaluating job holds in memory."""
    tensors: Mapping[str, Mapping[str, int]]
    """Elements of each tensor that is merged, by stage; without stages of unknown parents."""
    prepared: Mapping[str, int] = field(default_factory=dict)
    """What is done to parents before they are merged, in words, and the bytes that it writes."""
    trained: list[str] = field(default_factory=list)
    """Parents that the demo trains: there is nothing to check or to measure yet."""

    @property
    def memory_bytes(self) -> int:
        """Bytes of weights among it."""
        return self.memory.weights


def render(report: Report) -> str:
    """The report as text: faults first, then notes, then what the run will need."""
    blocks = [f"fault: {fault}" for fault in report.faults]
    blocks += [f"note: {note}" for note in report.notes]
    blocks += [f"to prepare: {text} ({_size(size)})" for text, size in report.prepared.items()]
    if report.trained:
        names = ", ".join(report.trained)
        blocks.append(
            f"to train, some minutes: {names} (the demo's; not checked, nor counted here)"
        )
    counted = bool(report.disk_bytes or report.memory_bytes or not report.trained)
    blocks += [_sizes(report)] * counted
    count = len(report.faults)
    if count:
        blocks.append(f"{count} fault{'s' * (count != 1)} in the parents")
    elif counted:
        blocks.append("the parents are sound")
    return "\n".join(blocks)


def _sizes(report: Report) -> str:
    sizes = f"to download: {_size(report.download_bytes)}; on disk: {_size(report.disk_bytes)}"
    if not report.memory.weights:
        return sizes
    return f"{sizes}\nmemory of each evaluating job, at most about: {_memory(report.memory)}"


def _memory(memory: Memory) -> str:
    logits = (
        f"log-likelihoods of {memory.rows} prompts of {memory.prompt} tokens {_size(memory.logits)}"
    )
    libraries = LIBRARIES_ON_GPU if memory.gpu else LIBRARIES
    counted = [
        f"weights of its models and the merged one {_size(memory.weights)}",
        f"kept between candidates {_size(memory.kept)}",
        f"Python and its libraries {_size(libraries)}",
    ]
    if memory.gpu:
        on_gpu = [f"the merged model {_size(memory.merged)}", *[logits] * bool(memory.logits)]
        beside = f"; on the GPU {_size(memory.on_gpu)} and keys and values ({', '.join(on_gpu)})"
    else:
        counted += [logits] * bool(memory.logits)
        beside = ""
    return f"{_size(memory.main)} ({', '.join(counted)}){beside}"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
