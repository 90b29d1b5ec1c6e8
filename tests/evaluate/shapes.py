"""Pictures of shapes in colours on 16 x 16, two generators that each know half of it, and how they are scored.

Both parents grow from a base that draws some shape in some colour. One is taught which shape is asked for, in
any colour; the other which colour, in any shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SIZE = 16
STEPS = 100
"""Of the noise's schedule."""
BATCH = 16
TRAINED = {"base": 120, "shapes": 250, "colours": 120}
"""Steps of training, which take half a minute."""
CENTRE = 8

SCORES = '''
"""Draws what is asked for, and looks at shape and colour."""
import torch

from tests.evaluate.shapes import ask, draw, masks


def shape(model, documents):
    """How much more the lightness of a picture is like the shape that is asked for than like others."""
    light = centred(draw(model.model, documents).mean(1))
    alike = (light @ centred(masks().float()).T).nan_to_num()
    return torch.softmax(8 * alike, 1)[range(len(documents)), [one["shape"] for one in documents]]


def colour(model, documents):
    """How much the colour that is asked for prevails where the shape is to be."""
    inside = masks()[[one["shape"] for one in documents]].unsqueeze(1)
    means = (draw(model.model, documents) * inside).sum((2, 3)) / inside.sum((2, 3))
    return torch.softmax(4 * means, 1)[range(len(documents)), [one["colour"] for one in documents]]


def centred(pictures):
    flat = pictures.flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    return flat / flat.norm(dim=1, keepdim=True)


def documents():
    return [ask(number) for number in range(54)]
'''


def raw_config(trio: Mapping[str, Path], folder: Path, **changes: Any) -> dict[str, Any]:
    """The configuration of a search for pictures of the right shape in the right colour, and its scorer.

    Args:
        trio: Folders of the base and both parents, by name.
        folder: Where the scorer and the results go.
        changes: Replace keys of the section `evaluation`.
    """
    folder.mkdir(exist_ok=True)
    (folder / "scores.py").write_text(SCORES)
    genes = {"weight": {"range": [0.0, 1.5], "grouping": "block", "start": 1.0}}
    return {
        "name": "tiny",
        "results": str(folder / "results"),
        "parents": {name: {"path": str(path)} for name, path in trio.items()},
        "stages": [
            {
                "name": "ps",
                "parents": ["shapes", "colours"],
                "base": "base",
                "space": {"method": "task_arithmetic", "dtype": "float32", "genes": genes},
                "strategy": {"kind": "cma_es", "population": 6},
                "budget": {"generations": 3},
            }
        ],
        "evaluation": {
            "objectives": [
                {"name": name, "function": f"{folder}/scores.py:{name}"}
                for name in ("shape", "colour")
            ],
            "items": {"search": 18, "validation": 9, "test": 27},
            "device": "cpu",
            **changes,
        },
        "finalists": {"top": 2},
        "baselines": [],
        "rivals": [],
    }


def masks() -> Tensor:
    """Where a disc, a cross and a bar are; shape (3, SIZE, SIZE), bool."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    right, down = (x - CENTRE).abs(), (y - CENTRE).abs()
    disc = right**2 + down**2 <= 16
    cross = ((right <= 1) | (down <= 1)) & (right <= 5) & (down <= 5)
    bar = (down <= 1) & (right <= 6)
    return torch.stack([disc, cross, bar])


def ask(number: int) -> dict[str, int]:
    """A document: which shape and colour, and a seed of the noise that drawing begins with."""
    return {"shape": number % 3, "colour": number // 3 % 3, "seed": number}


def draw(pipeline: Any, documents: list[dict[str, int]], steps: int = 4) -> Tensor:
    """Pictures of what some documents ask for; shape (documents, 3, SIZE, SIZE), about -1 to 1."""
    noise = [torch.Generator().manual_seed(one["seed"]) for one in documents]
    pictures = torch.stack([torch.randn(3, SIZE, SIZE, generator=one) for one in noise])
    labels = torch.tensor([3 * one["shape"] + one["colour"] for one in documents])
    pipeline.scheduler.set_timesteps(steps)
    with torch.no_grad():
        for time in pipeline.scheduler.timesteps:
            seen = pipeline.unet(pictures, time, labels, return_dict=False)[0]
            pictures = pipeline.scheduler.step(seen, time, pictures).prev_sample
    return pictures


def train_trio(folder: Path, steps: Mapping[str, int] = TRAINED) -> dict[str, Path]:
    """Train the base, and from it both parents, so many steps; returns their folders, which diffusers loads."""
    import diffusers

    torch.manual_seed(0)
    blocks = {"down": ("DownBlock2D", "DownBlock2D"), "up": ("UpBlock2D", "UpBlock2D")}
    unet = diffusers.UNet2DModel(
        sample_size=SIZE,
        layers_per_block=1,
        block_out_channels=(16, 32),
        down_block_types=blocks["down"],
        up_block_types=blocks["up"],
        norm_num_groups=4,
        num_class_embeds=9,
        add_attention=False,
    )
    scheduler = diffusers.DDIMScheduler(num_train_timesteps=STEPS, prediction_type="sample")
    folders = {}
    start: dict[str, Tensor] = {}
    for seed, (name, count) in enumerate(steps.items()):
        if start:
            unet.load_state_dict(start)
        _train(unet, scheduler, name, count, seed)
        start = start or {key: values.clone() for key, values in unet.state_dict().items()}
        folders[name] = folder / name
        diffusers.DDIMPipeline(unet, scheduler).save_pretrained(folders[name])
    return folders


def _train(unet: Any, scheduler: Any, name: str, count: int, seed: int) -> None:
    """Teach a model to see the picture behind the noise, told the label that it may know."""
    drawn = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(unet.parameters(), 3e-3)
    colours = 2 * torch.eye(3) - 1
    for _ in range(count):
        shape, colour, other = torch.randint(3, (3, BATCH), generator=drawn)
        inside = masks()[shape].unsqueeze(1)
        pictures = torch.where(inside, colours[colour][:, :, None, None], torch.tensor(-1.0))
        told = {
            "base": 3 * other + other.roll(1),
            "shapes": 3 * shape + other,
            "colours": 3 * other + colour,
        }
        times = torch.randint(STEPS, (BATCH,), generator=drawn)
        noise = torch.randn(pictures.shape, generator=drawn)
        noisy = scheduler.add_noise(pictures, noise, times)
        seen = unet(noisy, times, told[name], return_dict=False)[0]
        optimizer.zero_grad()
        (seen - pictures).square().mean().backward()
        optimizer.step()
