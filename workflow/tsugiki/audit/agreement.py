"""Whether a candidate that was scored again agrees with its record, item by item.

Merged weights are the same bits on every machine, and so is what follows from an answer. The answers themselves
come from sums that other hardware rounds in another order: log-likelihoods move a little, a near tie is decided
the other way, and a generated text takes another turn from there on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

from tsugiki.contracts.outcome import Failed, Scored

Verdict = Literal["agrees", "rounding", "contradicts"]
Row = Mapping[str, Any]
"""One of items.parquet; columns that it lacks are None."""

NEAR = 0.02
"""Rounding moves a log-likelihood by less than this share of it, or by less than `NEAR_ZERO` nats: bfloat16 keeps
eight bits, errors of which are 0.4 %."""
NEAR_ZERO = 0.25
MOST_FLIPPED = 0.1
"""Rounding changes the scores of no larger share of a candidate's items."""
FEWEST_FLIPPED = 2
"""Of few items, so many may change."""
ALPHA = 0.001
"""Error rate of the test that changed scores favour the record."""
FIXED = ("doc_hash", "prompt_hash", "target")
"""Columns that no answer changes."""


@dataclass(frozen=True)
class Agreement:
    """What came of scoring a candidate again, beside what is recorded."""

    where: str
    """The candidate's folder, relative to the run's."""
    verdict: Verdict
    """`agrees`: the same. `rounding`: differs as other hardware may. `contradicts`: no machine makes both."""
    items: int = 0
    """Rows that were compared: a document for each objective."""
    answers: int = 0
    """How many of them have another answer, or other log-likelihoods."""
    better: int = 0
    """How many have another score, which is better in the record."""
    worse: int = 0
    """How many have another score, which is worse in the record."""
    largest: float = 0.0
    """The largest difference of two log-likelihoods, in nats."""
    earliest: float | None = None
    """Where a generated text first takes another turn, as a share of the longer one; None where none does."""
    reasons: tuple[str, ...] = ()
    """Why it contradicts, and what may explain that it differs."""

    def __str__(self) -> str:
        """One line for the terminal."""
        words = {
            "agrees": f"the same, {self.items} items",
            "rounding": "differs as other hardware may",
            "contradicts": "does not agree",
        }
        said = [f"{self.where}: {words[self.verdict]}"]
        if self.answers or self.better or self.worse:
            flipped = self.better + self.worse
            said.append(
                f"of {self.items} items {self.answers} are answered differently, and {flipped} scored so"
                f" ({self.better} better in the record, {self.worse} worse)"
            )
        if self.largest:
            said.append(f"log-likelihoods differ by {self.largest:.4g} at most")
        if self.earliest is not None:
            said.append(f"texts differ after {self.earliest:.0%} of their length at the earliest")
        return "; ".join([*said, *self.reasons])


@dataclass(frozen=True)
class Circumstances:
    """What is known of where a candidate was scored, and where it was scored again."""

    machine: str | None = None
    """Words for the machine, if both were scored on the same kind of it; None if not, or if nobody knows."""
    loose: Collection[str] = ()
    """Objectives whose score does not follow from the answer alone: another model judges it, say."""
    signs: Mapping[str, float] | None = None
    """By objective, 1 if larger is better, -1 if smaller is; 1 for those that it does not name."""


def compare(
    where: str,
    recorded: tuple[Scored | Failed, Sequence[Row]],
    again: tuple[Scored | Failed, Sequence[Row]],
    known: Circumstances,
) -> Agreement:
    """Tell what other hardware explains from what it does not.

    It explains answers and log-likelihoods that are a little different, and scores that change with them, if these
    are few. It explains no other weights, prompts or documents, no other score of the same answer, and nothing
    where the machine is of the same kind.

    Args:
        where: The candidate's folder, relative to the run's.
        recorded: Outcome and rows of items.parquet, as they are recorded.
        again: Those of today.
        known: Where both were made.
    """
    (then, rows), (now, rows_now) = recorded, again
    if (faults := _other_outcome(then, now)) or not isinstance(then, Scored):
        return Agreement(where, "contradicts" if faults else "agrees", reasons=tuple(faults))
    notes = []
    if then.evaluation != now.evaluation:
        notes.append(
            "another evaluation here: other versions, kind of device, threads or files of a task"
        )
    pairs, faults = _pairs(rows, rows_now)
    found = [_difference(one, other, known) for one, other in pairs]
    if not faults and not any(found) and isinstance(now, Scored):
        faults += _other_values(then, now)
    faults += [one.fault for one in found if one is not None and one.fault is not None]
    differing = [one for one in found if one is not None]
    flips = [one.flip for one in differing if one.flip]
    most = max(FEWEST_FLIPPED, MOST_FLIPPED * len(pairs))
    if not faults and len(flips) > most:
        faults.append(f"rounding changes the scores of {most:.0f} items at most")
    if not faults and differing and known.machine and not notes:
        faults.append(f"both were scored on {known.machine}, where answers come out the same")
    return Agreement(
        where,
        "contradicts" if faults else "rounding" if differing else "agrees",
        items=len(pairs),
        answers=sum(one.answered for one in differing),
        better=sum(flip > 0 for flip in flips),
        worse=sum(flip < 0 for flip in flips),
        largest=max((one.distance for one in differing), default=0.0),
        earliest=min((one.turn for one in differing if one.turn is not None), default=None),
        reasons=(*faults[:5], *notes),
    )


def favours(found: Iterable[Agreement]) -> str | None:
    """Whether changed scores favour the record, in words; None if not.

    Rounding favours nobody: of changed scores each is as likely to be better in the record as worse. An exact
    sign test over all candidates, one-sided.
    """
    its = list(found)
    better, worse = sum(one.better for one in its), sum(one.worse for one in its)
    total = better + worse
    p = sum(math.comb(total, count) for count in range(better, total + 1)) / 2**total
    if p > ALPHA:
        return None
    return f"of {total} changed scores {better} are better in the record; rounding favours nobody"


@dataclass(frozen=True)
class _Difference:
    """By what two rows of a document differ."""

    answered: bool = False
    flip: float = 0.0
    """By how much the record is better."""
    distance: float = 0.0
    turn: float | None = None
    fault: str | None = None


def _other_outcome(then: Scored | Failed, now: Scored | Failed) -> list[str]:
    if isinstance(then, Failed) or isinstance(now, Failed):
        said = [
            f"failed ({one.kind}): {one.reason.splitlines()[0]}"
            if isinstance(one, Failed)
            else "scored"
            for one in (then, now)
        ]
        same = isinstance(then, Failed) and isinstance(now, Failed) and then.kind == now.kind
        return [] if same else [f"recorded: {said[0]}; now: {said[1]}"]
    if then.weights == now.weights:
        return []
    known = f"recorded {then.weights[:12]}, now {now.weights[:12]}"
    why = "another build of tsugiki made them, or the record was changed"
    return [f"the merged weights are others ({known}), but are the same on every machine: {why}"]


def _other_values(then: Scored, now: Scored) -> list[str]:
    """What the outcome says that does not follow from its rows, which are the same."""
    return [
        f"`{key}` is stated otherwise, of the same items"
        for key in ("measured", "rates", "so_far")
        if getattr(then, key) != getattr(now, key)
    ]


def _pairs(rows: Sequence[Row], again: Sequence[Row]) -> tuple[list[tuple[Row, Row]], list[str]]:
    """Rows of the same objective and document; what has no partner is a fault."""
    one, other = ({(row["objective"], row["doc_id"]): row for row in of} for of in (rows, again))
    alone = sorted(one.keys() ^ other.keys())
    faults = [f"document {number} of `{name}` was asked once only" for name, number in alone]
    if len(one) != len(rows):
        faults.append("a document is recorded twice")
    return [(one[key], other[key]) for key in one if key in other], faults


def _difference(then: Row, now: Row, known: Circumstances) -> _Difference | None:
    """By what two rows differ; None if they are the same."""
    name, where = then["objective"], f"document {then['doc_id']} of `{then['objective']}`"
    for column in FIXED:
        if then.get(column) != now.get(column):
            return _Difference(fault=f"{where} has another {column}")
    flip = _gain(then, now) * (known.signs or {}).get(name, 1.0)
    said, says = then.get("response"), now.get("response")
    parts = then.get("part"), now.get("part")
    if said == says and flip == 0 and parts[0] == parts[1]:
        return None
    if name in known.loose:
        return _Difference(answered=said != says, flip=flip)
    moved = _moved(then, now)
    if moved is not None and not moved[1]:
        return _Difference(True, flip, moved[0], fault=f"{where} differs by {moved[0]:.4g}")
    if moved is not None and said is None:  # no score has flipped: it is itself what moved
        return _Difference(True, distance=moved[0])
    if moved is not None and moved[0] > 0:
        return _Difference(True, flip, moved[0])
    if said == says:
        return _Difference(flip=flip, fault=f"{where} has another score of the same answer")
    return _Difference(True, flip, turn=_turn(said or "", says or ""))


def _moved(then: Row, now: Row) -> tuple[float, bool] | None:
    """How far two rows' log-likelihoods are from each other, and whether each is near; None without any.

    Where nothing is answered, the score itself, or the sums that it is made of, are compared.
    """
    said, says = then.get("response"), now.get("response")
    scored = said is None and says is None
    if scored:
        numbers = _both_numbers(then.get("part"), now.get("part"))
        numbers = numbers or [[one.get("value") or 0.0] for one in (then, now)]
    else:
        numbers = None if then.get("tokens") else _both_numbers(said, says)
    if numbers is None:
        return None
    pairs = list(zip(*numbers, strict=True))
    zero = 0.0 if scored else NEAR_ZERO
    near = all(math.isclose(one, other, rel_tol=NEAR, abs_tol=zero) for one, other in pairs)
    return max((abs(one - other) for one, other in pairs), default=0.0), near


def _gain(then: Row, now: Row) -> float:
    before, after = (one.get("value") for one in (then, now))
    if before is None or after is None:
        return 0.0 if before is after else math.inf
    return 0.0 if math.isclose(before, after, rel_tol=1e-9, abs_tol=1e-12) else before - after


def _both_numbers(*texts: str | None) -> list[list[float]] | None:
    """The numbers of two JSON lists; None unless both are lists of equally many numbers."""
    try:
        one, other = (json.loads(text or "") for text in texts)
    except ValueError:
        return None
    if not isinstance(one, list) or not isinstance(other, list) or len(one) != len(other):
        return None
    numbers = all(isinstance(value, int | float) for value in (*one, *other))
    return [one, other] if numbers else None


def _turn(one: str, other: str) -> float:
    """Where two texts part, as a share of the longer one."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    return same / max(len(one), len(other), 1)
