"""Tiny vision-language models with whole processors, of each family, and pictures to show them.

Their language models have the shapes of `tests.parents.checkpoints.CONFIG`, so that they can be merged with
text models from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tests.merge.vision_models import Settings, llava_config, qwen2_vl_config, rope, tower
from tests.parents.checkpoints import CONFIG, VOCABULARY

MARKS = (
    "<image>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<fake_token_around_image>",
    "<global-img>",
    "<end_of_utterance>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 4) for column in range(1, 4)),
)
"""Tokens that some processor puts into prompts."""
ROWS = 96
"""Of embeddings: those tokens, and padding."""
TEMPLATE = (
    "<s>{% for turn in messages %}{{ turn.role }} "
    "{% for part in turn.content %}"
    "{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}"
    "{% endfor %} {% endfor %}{% if add_generation_prompt %}assistant {% endif %}"
)
"""A chat template that knows contents in parts alone, as those of LLaVA do."""


def text_settings(**changes: Any) -> Settings:
    """Settings of the language model."""
    kept = CONFIG.keys() - {"architectures", "model_type", "dtype", "rope_theta"}
    return {**{key: CONFIG[key] for key in kept}, "vocab_size": ROWS, **changes}


def token(name: str) -> int:
    """Id of one of the marks."""
    return len(VOCABULARY) + MARKS.index(name)


def llava(folder: Path, seed: int = 0, **text: Any) -> Path:
    """LLaVA 1.5: a llama, CLIP, four tokens for a picture."""
    config = llava_config(text_settings(**text), token("<image>"))
    save(transformers.LlavaForConditionalGeneration(seeded(config, seed)), folder)
    write_llava_processor(folder, "LlavaProcessor", clip_settings())
    return folder


def clip_settings(**changes: Any) -> Settings:
    """Settings of CLIP's image processor."""
    return {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 8},
        "crop_size": {"height": 8, "width": 8},
        "do_center_crop": True,
        "do_resize": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        **changes,
    }


def llava_next(folder: Path, seed: int = 0, **text: Any) -> Path:
    """LLaVA 1.6: a mistral, CLIP, a picture as a whole and in up to four tiles."""
    grid = [[8, 16], [16, 8], [16, 16]]
    config = transformers.LlavaNextConfig(
        text_config=transformers.MistralConfig(**text_settings(sliding_window=None, **text)),
        vision_config=transformers.CLIPVisionConfig(**tower()),
        image_token_index=token("<image>"),
        image_grid_pinpoints=grid,
        tie_word_embeddings=False,
    )
    save(transformers.LlavaNextForConditionalGeneration(seeded(config, seed)), folder)
    pictures = clip_settings(
        image_processor_type="LlavaNextImageProcessor", image_grid_pinpoints=grid, do_pad=True
    )
    write_llava_processor(folder, "LlavaNextProcessor", pictures)
    return folder


def write_llava_processor(folder: Path, name: str, pictures: Settings) -> None:
    """Write a processor of LLaVA's."""
    processor = {
        "processor_class": name,
        "patch_size": 4,
        "num_additional_image_tokens": 1,
        "vision_feature_select_strategy": "default",
        "image_token": "<image>",
    }
    write_processor(folder, processor, pictures, template=TEMPLATE.replace("IMAGE", "<image>"))


def qwen2_vl(folder: Path, seed: int = 0, **text: Any) -> Path:
    """Qwen2-VL: a qwen2 with positions in three dimensions, pictures of any size."""
    settings = text_settings(**rope(1, 1, 0), max_window_layers=28, **text)
    config = qwen2_vl_config(settings, **qwen_tokens())
    save(transformers.Qwen2VLForConditionalGeneration(seeded(config, seed)), folder)
    write_qwen_processor(folder, "Qwen2VLProcessor")
    return folder


def qwen2_5_vl(folder: Path, seed: int = 0, **text: Any) -> Path:
    """Qwen2.5-VL: as before, with windows in the tower."""
    config = transformers.Qwen2_5_VLConfig(
        text_config=text_settings(**rope(1, 1, 0), max_window_layers=28, **text),
        vision_config={
            "depth": 2,
            "hidden_size": 16,
            "out_hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "patch_size": 4,
            "window_size": 16,
            "fullatt_block_indexes": [1],
        },
        **qwen_tokens(),
        tie_word_embeddings=False,
    )
    save(transformers.Qwen2_5_VLForConditionalGeneration(seeded(config, seed)), folder)
    write_qwen_processor(folder, "Qwen2_5_VLProcessor")
    return folder


def qwen_tokens() -> dict[str, int]:
    """Ids of Qwen's marks."""
    return {
        "image_token_id": token("<|image_pad|>"),
        "video_token_id": token("<|video_pad|>"),
        "vision_start_token_id": token("<|vision_start|>"),
        "vision_end_token_id": token("<|vision_end|>"),
    }


def write_qwen_processor(folder: Path, name: str) -> None:
    """Write a processor that keeps pictures between 64 and 256 pixels."""
    pictures = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "min_pixels": 64,
        "max_pixels": 256,
        "patch_size": 4,
        "temporal_patch_size": 2,
        "merge_size": 2,
    }
    mark = "<|vision_start|><|image_pad|><|vision_end|>"
    write_processor(
        folder, {"processor_class": name}, pictures, template=TEMPLATE.replace("IMAGE", mark)
    )


def idefics3(folder: Path, seed: int = 0, **text: Any) -> Path:
    """SmolVLM as it was published first: a llama, SigLIP, tiles of 8 x 8 and the whole."""
    return _idefics3("Idefics3", folder, seed, **text)


def smolvlm(folder: Path, seed: int = 0, **text: Any) -> Path:
    """SmolVLM 2, which is the same for pictures."""
    return _idefics3("SmolVLM", folder, seed, **text)


def _idefics3(name: str, folder: Path, seed: int, **text: Any) -> Path:
    config = getattr(transformers, f"{name}Config")(
        text_config=transformers.LlamaConfig(**text_settings(**text)),
        vision_config=tower(),
        image_token_id=token("<image>"),
        pad_token_id=2,
        scale_factor=2,
        tie_word_embeddings=False,
    )
    save(getattr(transformers, f"{name}ForConditionalGeneration")(seeded(config, seed)), folder)
    pictures = {
        "image_processor_type": f"{name}ImageProcessor",
        "size": {"longest_edge": 16},
        "max_image_size": {"longest_edge": 8},
        "do_image_splitting": True,
    }
    processor = {"processor_class": f"{name}Processor", "image_seq_len": 1}
    write_processor(folder, processor, pictures, template=TEMPLATE.replace("IMAGE", "<image>"))
    return folder


FAMILIES: dict[str, Callable[..., Path]] = {
    "LLaVA 1.5": llava,
    "LLaVA-NeXT": llava_next,
    "Qwen2-VL": qwen2_vl,
    "Qwen2.5-VL": qwen2_5_vl,
    "Idefics3": idefics3,
    "SmolVLM": smolvlm,
}


ALONE = {
    "LLaVA 1.5": "Llama",
    "LLaVA-NeXT": "Mistral",
    "Qwen2-VL": "Qwen2",
    "Qwen2.5-VL": "Qwen2",
    "Idefics3": "Llama",
    "SmolVLM": "Llama",
}
"""What the language model of each family is by itself."""


def text_model(
    folder: Path, family: str, seed: int = 5, *, marked: bool = True, **changes: Any
) -> Path:
    """A text model of a family's language part.

    Args:
        folder: Where; made if absent.
        family: Of vision-language models.
        seed: Of its weights.
        marked: Whether its vocabulary has the tokens for pictures.
        changes: Of its settings.
    """
    settings = text_settings(**changes)
    if not marked:
        settings["vocab_size"] = len(VOCABULARY)
    if ALONE[family] == "Mistral":
        settings["sliding_window"] = None
    config = getattr(transformers, f"{ALONE[family]}Config")(**settings)
    model = getattr(transformers, f"{ALONE[family]}ForCausalLM")(seeded(config, seed))
    save(model, folder)
    write_marked_tokenizer(folder, MARKS if marked else ())
    return folder


def seeded(config: Any, seed: int) -> Any:
    """A configuration, after the generator of weights was set."""
    torch.manual_seed(seed)
    return config


def save(model: Any, folder: Path) -> None:
    """Save a model with weights so large that what it says depends on what it sees."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.3)
    model.save_pretrained(folder)
    write_marked_tokenizer(folder)


def write_marked_tokenizer(folder: Path, marks: Sequence[str] = MARKS) -> None:
    """The words of text models, and marks after them."""
    words = {word: place for place, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(list(marks))
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "</s>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_processor(
    folder: Path, processor: Settings, pictures: Settings, *, template: str
) -> None:
    """The files of a processor, as models have them that are published."""
    (folder / "processor_config.json").write_text(json.dumps(processor))
    named = {**pictures, "processor_class": processor["processor_class"]}
    (folder / "preprocessor_config.json").write_text(json.dumps(named))
    (folder / "chat_template.jinja").write_text(template)


COLOURS = ("red", "green", "blue", "white", "black", "yellow", "purple", "orange")


def draw(folder: Path, count: int) -> list[Path]:
    """Pictures of two colours each, of which no two are alike."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        image = Image.new("RGB", (12, 8), COLOURS[number % 8])
        image.paste((20 * (number // 8), 9 * number % 256, 40), (0, 0, 6, 4))
        paths.append(folder / f"{number}.png")
        image.save(paths[-1])
    return paths
