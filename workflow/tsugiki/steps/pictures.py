"""Small copies of the pictures that a run's test documents show, for its report."""

from __future__ import annotations

import io

from tsugiki import atomic
from tsugiki.contracts.document_sets import DocumentSets
from tsugiki.contracts.layout import RunFiles
from tsugiki.evaluate.evaluators.harness import Harness
from tsugiki.evaluate.evaluators.registry import Evaluators
from tsugiki.evaluate.pictures import Picture

SIDE = 96
"""Most pixels of a side."""


def write_pictures(files: RunFiles, evaluators: Evaluators, sets: DocumentSets) -> None:
    """Write a copy of each picture of the test documents; none where no task shows any."""
    for harness in (one for one in evaluators.opened if isinstance(one, Harness)):
        for source in harness.sources:
            documents = sets.tasks[source].test
            shown = harness.shown(source, [one.id for one in documents])
            for document in documents:
                for number, picture in enumerate(shown.get(document.id, ())):
                    atomic.write_bytes(files.picture(document.hash, number), small(picture))


def small(picture: Picture) -> bytes:
    """A picture as PNG, made smaller if it is large."""
    copy = picture.image.convert("RGB")
    copy.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    copy.save(content, format="PNG")
    return content.getvalue()
