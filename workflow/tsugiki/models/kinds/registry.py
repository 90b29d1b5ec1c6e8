"""All kinds of models."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tsugiki.models.kinds.diffusion import DIFFUSION
from tsugiki.models.kinds.kind import Kind, Layout
from tsugiki.models.kinds.text import TEXT
from tsugiki.models.kinds.vision_language import VISION_LANGUAGE

KINDS: tuple[Kind, ...] = (DIFFUSION, VISION_LANGUAGE, TEXT)
"""The first that fits a configuration is its kind; the last one fits any."""


def kind_of(config: Mapping[str, Any]) -> Kind:
    """The kind of a model with this configuration."""
    return next(kind for kind in KINDS if kind.fits(config))


def layout_of(files: Collection[str]) -> Layout:
    """How a model's folder is laid out that has these files; like that of a text model, if in doubt."""
    layouts = dict.fromkeys(kind.layout for kind in KINDS)
    return next((one for one in layouts if one.config in files), TEXT.layout)


def loaded_files() -> tuple[str, ...]:
    """Names under which a loader of some kind of model finds a file by itself."""
    layouts = [
        (one.config,) if one.parts else (one.config, one.weights, one.index)
        for one in (kind.layout for kind in KINDS)
    ]
    sidecars = [kind.sidecar.files for kind in KINDS]
    return tuple(dict.fromkeys(name for names in (*layouts, *sidecars) for name in names))
