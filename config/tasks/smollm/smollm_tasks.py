"""What the task files of this folder name: lm-eval looks functions up beside the YAML."""

from tsugiki.smollm.tasks import load_arithmetic, load_reading, score_json, score_sentence

__all__ = ["load_arithmetic", "load_reading", "score_json", "score_sentence"]
