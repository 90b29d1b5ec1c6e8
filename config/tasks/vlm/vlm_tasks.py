"""What the task files of this folder name: lm-eval looks functions up beside the YAML."""

from tsugiki.demo.pictures.tasks import load_english, load_japanese, pictures, score

__all__ = ["load_english", "load_japanese", "pictures", "score"]
