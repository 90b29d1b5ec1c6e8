"""Greedy answers in batches of fixed shape, whose step is captured once as a CUDA graph.

To decode a token, a GPU needs a few milliseconds, and Python ten and more to tell it what to do. In a
search, thousands of candidates answer the same prompts with the same kernels, and their weights are replaced
in place. So the step is recorded once for each shape, and replayed from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from tsugiki.errors import InfrastructureError
from tsugiki.evaluate.faults import is_machine_fault
from tsugiki.evaluate.fixed_shape import (
    LENGTHS,
    Capture,
    FixedShape,
    NotCapturedError,
    require_capturable,
)

FEWEST = 8
"""Rows of the smallest batch."""
TOGETHER = 8
"""Steps between two looks at whether all answers have ended."""
MOST_SHAPES = 4
"""Shapes that are kept, the oldest one going first: to capture one takes as long as some tokens."""

T = TypeVar("T")
Ended = Callable[[Tensor], Tensor]
"""Tokens of all rows until now, (rows, length) -> whether each row's answer ends here, (rows,)."""


class CapturedDecoding:
    """Answers prompts of one live model.

    Args:
        model: On a GPU; its weights may be replaced in place.
        rows: Most prompts in a batch. Batches are filled up to a power of two, or to this.
        note: Takes the two events around some steps, and whether their logits were finite.
    """

    def __init__(self, model: Any, *, rows: int, note: Callable[[Any, Any, Tensor], None]) -> None:
        self._model = model
        self._rows = rows
        self._note = note
        self._shapes: dict[tuple[int, int], FixedShape] = {}
        self._addresses: tuple[int, ...] = ()
        self._has_answered = False

    def generate(
        self,
        context: Tensor,
        mask: Tensor,
        *,
        max_length: int,
        pad: int,
        watch: Callable[[], Ended],
    ) -> Tensor:
        """Prompts with their answers, (rows, tokens), as transformers' `generate` returns them.

        Args:
            context: Token ids of the prompts, (rows, tokens), padded on the left.
            mask: 1 where there is a token, 0 where there is none, (rows, tokens).
            max_length: Most tokens of a prompt and its answer.
            pad: Token after the end of an answer.
            watch: Makes what is asked once for each token, from the first one on.

        Raises:
            NotCapturedError: the model cannot be decoded in this way.
            InfrastructureError: it could before.
        """
        return self.making_room(lambda: self._generate(context, mask, max_length, pad, watch()))

    def making_room(self, work: Callable[[], T]) -> T:
        """Do some work; where there is too little memory, once more without what is kept.

        Raises:
            torch.OutOfMemoryError: nothing is kept, or it was not enough.
        """
        try:
            return work()
        except torch.OutOfMemoryError:
            if not self._shapes:
                raise
        self.give_up()  # out of the handler, which keeps the failed work's memory
        return work()

    def give_up(self) -> None:
        """Free what is kept of all shapes."""
        self._shapes.clear()
        torch.cuda.empty_cache()

    @torch.inference_mode()
    def _generate(
        self, context: Tensor, mask: Tensor, max_length: int, pad: int, ended: Ended
    ) -> Tensor:
        rows, width = context.shape
        shape = self._begun(context, mask, max_length)
        tokens = torch.full((rows, max_length), pad)
        tokens[:, :width] = context
        seen, decoded = width, width + 1
        running = torch.ones(rows, dtype=torch.bool)
        while True:
            answers = shape.answers[:rows, seen - width : decoded - width].cpu()
            while seen < decoded:
                tokens[:, seen] = torch.where(running, answers[:, 0], pad)
                answers = answers[:, 1:]
                seen += 1
                running &= ~ended(tokens[:, :seen])
                if seen == max_length or not running.any():
                    self._has_answered = True
                    return tokens[:, :seen].to(context.device)
            if decoded == shape.length:
                shape = self._longer(shape, max_length)
            steps = min(TOGETHER, shape.length - decoded, max_length - decoded)
            self._repeat(shape, steps)
            decoded += steps

    def _begun(self, context: Tensor, mask: Tensor, max_length: int) -> FixedShape:
        """A shape that has read the prompts; one with room for some of the answers."""
        rows, width = context.shape
        filled = min(self._rows, max(FEWEST, 1 << (rows - 1).bit_length()))
        shape = self._shape(filled, rounded(min(width + LENGTHS, max_length)))
        try:
            shape.begin(_filled(context, filled), _filled(mask, filled))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if self._has_answered or is_machine_fault(error):
                raise
            raise NotCapturedError(f"{type(error).__name__}: {error}") from error
        return shape

    def _longer(self, shape: FixedShape, max_length: int) -> FixedShape:
        """A shape of twice the length that goes on where one is full."""
        longer = self._shape(shape.rows, rounded(min(2 * shape.length, max_length)))
        longer.go_on_from(shape)
        return longer

    def _repeat(self, shape: FixedShape, steps: int) -> None:
        before, after = (_event() for _ in range(2))
        before.record()
        for _ in range(steps):
            shape.step()
        after.record()
        self._note(before, after, shape.finite)

    def _shape(self, rows: int, length: int) -> FixedShape:
        """A shape, captured if it is new."""
        addresses = tuple(weights.data_ptr() for weights in self._model.parameters())
        if addresses != self._addresses:  # weights were replaced by others, not in place
            self._shapes.clear()
            self._addresses = addresses
        key = (rows, length)
        if key not in self._shapes:
            require_capturable(self._model)
            if len(self._shapes) == MOST_SHAPES:
                self._shapes.pop(next(iter(self._shapes)))
            self._shapes[key] = self._captured(*key)
        return self._shapes[key]

    def _captured(self, rows: int, length: int) -> FixedShape:
        try:
            return FixedShape(self._model, rows, length, self._capture())
        except NotCapturedError as error:
            if not self._has_answered:
                raise
            raise InfrastructureError(  # other arithmetic under the same identity is no way out
                "a step of decoding could not be captured, as it was before",
                got=str(error),
                fix="the job is tried again; or set `evaluation.cuda_graphs: false`",
            ) from error

    def _capture(self) -> Capture:
        """What records a step."""
        return capture


def capture(step: Callable[[], None]) -> Callable[[], None]:
    """Record a step, after one that is not recorded, in which libraries get their memory.

    Raises:
        NotCapturedError: the step asks the GPU something, or cannot be made at all.
    """
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(stream):
            step()
        stream.synchronize()
        # other threads may go on with their own work meanwhile
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            step()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        torch.cuda.synchronize()  # raises if it is the GPU that failed
        raise NotCapturedError(f"{type(error).__name__}: {error}") from error
    return graph.replay


def rounded(length: int) -> int:
    """A length of few that there are."""
    return -(-length // LENGTHS) * LENGTHS


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _filled(rows: Tensor, count: int) -> Tensor:
    """The same rows, and the last one again until there are so many."""
    return torch.cat([rows, rows[-1:].expand(count - rows.shape[0], -1)])
