"""What the task files of this folder name: lm-eval looks functions up beside the YAML."""

from tsugiki.demo.tasks import (
    load_en_maths,
    load_en_reading,
    load_ja_maths,
    load_ja_reading,
    score_maths,
    score_reading,
)

__all__ = [
    "load_en_maths",
    "load_en_reading",
    "load_ja_maths",
    "load_ja_reading",
    "score_maths",
    "score_reading",
]
