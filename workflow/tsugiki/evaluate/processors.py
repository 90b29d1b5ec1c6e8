"""Processors of vision-language models: what makes tokens and pixels of a text and its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers

from tsugiki.errors import ParentError
from tsugiki.evaluate.pictures import PLACEHOLDER, in_parts


class _NoVideos(dict[str, Any]):
    """In place of what makes something of videos: without settings, as transformers writes it into its log."""

    model_input_names: tuple[str, ...] = ()


NO_VIDEOS = _NoVideos()
FILES = ("preprocessor_config.json", "processor_config.json")
PROBE = "tsugiki"
"""A text that no template writes by itself."""


def open_processor(folder: Path, tokenizer: Any, *, trust: bool = False) -> Any:
    """The processor of a vision-language model, with a tokenizer that is given.

    Args:
        folder: The model's files.
        tokenizer: Its tokenizer, perhaps with another chat template.
        trust: Whether the model's own code may run.

    Raises:
        ParentError: it has none, or transformers cannot load it.
    """
    if not any((folder / name).is_file() for name in FILES):
        raise _none(folder, "neither")
    try:
        with _without_videos():
            processor = transformers.AutoProcessor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=trust
            )
    except Exception as error:
        raise ParentError(
            "the processor of a vision-language model cannot be loaded",
            where=str(folder),
            got=f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            fix=f"fetch or copy {' and '.join(FILES)} of the model again",
        ) from error
    if getattr(processor, "image_processor", None) is None:
        raise _none(folder, f"{type(processor).__name__}, which reads no pictures")
    processor.tokenizer = tokenizer
    return processor


def _none(folder: Path, got: str) -> ParentError:
    return ParentError(
        "a vision-language model has no processor, and so cannot be shown a picture",
        where=str(folder),
        expected=" or ".join(FILES),
        got=got,
        fix="fetch or copy the processor's files of the model that the tower is from",
    )


def turns_for(tokenizer: Any, history: Any) -> Any:
    """The turns of a chat as the template of a vision-language model takes them.

    Contents are in parts where a turn shows a picture, or the template knows nothing else.
    """
    pictured = any(PLACEHOLDER in str(turn["content"]) for turn in history)
    return in_parts(history) if pictured or not takes_texts(tokenizer) else history


def takes_texts(tokenizer: Any) -> bool:
    """Whether the chat template writes turns whose content is a text, not a list of parts."""
    if not tokenizer.chat_template:
        return True
    try:
        said = tokenizer.apply_chat_template([{"role": "user", "content": PROBE}], tokenize=False)
    except Exception:  # noqa: BLE001 - a template raises what it likes
        return False
    return PROBE in said


def marker_of(processor: Any, tokenizer: Any, config: Any) -> str:
    """What stands for a picture in a prompt of this model that no chat template made.

    Where the model knows tokens before and after a picture, they are around it.
    """
    ids = [getattr(config, f"vision_{name}_token_id", None) for name in ("start", "end")]
    before, after = ("" if one is None else tokenizer.convert_ids_to_tokens(one) for one in ids)
    return f"{before or ''}{processor.image_token}{after or ''}"


def misfits(processor: Any, config: Any) -> list[str]:
    """Settings in which a processor and the tower that it works for contradict each other, each with both values.

    Args:
        processor: As `open_processor` gives it.
        config: Configuration of the whole model, as transformers reads it.
    """
    pictures, tower = processor.image_processor, config.vision_config
    patch = getattr(processor, "patch_size", None) or getattr(pictures, "patch_size", None)
    pairs = {
        "patch_size": (patch, getattr(tower, "patch_size", None)),
        "size of a picture": (_side(pictures), getattr(tower, "image_size", None)),
        "image_seq_len": (getattr(processor, "image_seq_len", None), _tokens_of_tile(config)),
    }
    for name, mine, theirs in (
        ("temporal_patch_size", pictures, tower),
        ("vision_feature_select_strategy", processor, config),
        ("image_grid_pinpoints", pictures, config),
    ):
        pairs[name] = (getattr(mine, name, None), getattr(theirs, name, None))
    merged = getattr(pictures, "merge_size", None), getattr(tower, "spatial_merge_size", None)
    return [
        f"{name}: processor {mine}, model {theirs}"
        for name, (mine, theirs) in {**pairs, "merge_size": merged}.items()
        if mine is not None and theirs is not None and _plain(mine) != _plain(theirs)
    ]


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _side(pictures: Any) -> int | None:
    """Side of the squares, in pixels, that pictures become or are cut into; None if they are of any size."""
    for name in ("max_image_size", "crop_size", "size"):
        size = getattr(pictures, name, None)
        if size is None or (name == "crop_size" and not getattr(pictures, "do_center_crop", True)):
            continue
        sides = {
            getattr(size, key, None)
            for key in (("longest_edge",) if name == "max_image_size" else ("height", "width"))
        }
        side = sides.pop()
        if side is not None and not sides:
            return int(side)
    return None


def _tokens_of_tile(config: Any) -> int | None:
    """Tokens that a connector makes of a tile's patches, where it joins neighbours (Idefics3)."""
    scale = getattr(config, "scale_factor", None)
    if scale is None:
        return None
    return int((config.vision_config.image_size // config.vision_config.patch_size) ** 2 / scale**2)


@contextmanager
def _without_videos() -> Iterator[None]:
    """Let transformers load processors whose part for videos needs packages that are not here.

    Only pictures are shown. `AutoProcessor` would load that part too, which needs torchvision, and that of
    SmolVLM asks for num2words, to write how long a video is.
    """
    from transformers.models.auto.video_processing_auto import AutoVideoProcessor
    from transformers.models.smolvlm import processing_smolvlm
    from transformers.processing_utils import ProcessorMixin
    from transformers.utils import is_torchvision_available

    if is_torchvision_available():
        with _replaced(processing_smolvlm, "num2words", processing_smolvlm.num2words or str):
            yield
        return
    check = ProcessorMixin.check_argument_for_proper_class

    def unless_absent(processor: Any, name: str, part: Any) -> Any:
        return type(part) if part is NO_VIDEOS else check(processor, name, part)

    with (
        _replaced(AutoVideoProcessor, "from_pretrained", staticmethod(lambda *_, **__: NO_VIDEOS)),
        _replaced(ProcessorMixin, "check_argument_for_proper_class", unless_absent),
        _replaced(processing_smolvlm, "num2words", processing_smolvlm.num2words or str),
    ):
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
