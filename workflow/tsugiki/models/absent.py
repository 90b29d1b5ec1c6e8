"""What a folder is instead, where a model's weights are not under the names that a loader looks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tsugiki.models.fault import Fault, listed
from tsugiki.models.files import PICKLES, is_weights, matches
from tsugiki.models.kinds.diffusion import DIFFUSION, ONE_FILE
from tsugiki.models.kinds.kind import Layout


def no_weights(
    name: str, where: str, files: Collection[str], layout: Layout, stored: Collection[str] = ()
) -> Fault:
    """What is wrong with a model whose files, by their names, are no safetensors weights.

    Args:
        name: The model's name, for messages.
        where: Its folder, or its repository.
        files: Names of its files.
        layout: How it was taken to be laid out.
        stored: Names of tensors in files of weights that no loader looks for.
    """
    if any(ONE_FILE.match(tensor) for tensor in stored):
        return Fault(
            f"`{name}` is an image generator in one file, as other programs store it",
            where,
            expected=f"a folder that diffusers loads: {DIFFUSION.layout.config}, and a folder for each component",
            got=listed(sorted(file for file in files if is_weights(file))),
            fix="convert it with diffusers: StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER), "
            "or the same of the pipeline that it is for",
        )
    pickles = sorted(file for file in files if matches(file, PICKLES))
    return Fault(
        f"the weights of `{name}` are pickle files, which can run code when they are opened"
        if pickles
        else f"`{name}` has no weights",
        where,
        expected=f"{layout.weights}, or {layout.index} and its shards",
        got=listed(pickles or sorted(files)) or "an empty folder",
        fix="convert a checkpoint that you trust: AutoModelForCausalLM.from_pretrained(…)"
        ".save_pretrained(…) writes safetensors files"
        if pickles
        else "name a folder or repository that holds a whole model",
    )


def no_weights_of_components(
    name: str, where: str, layout: Layout, found: Mapping[str, Collection[str]]
) -> Fault:
    """The fault of a model with components, some of which lack weights.

    Args:
        name: The model's name, for messages.
        where: Its folder, or its repository.
        layout: How it is laid out.
        found: Names of the files of each component that lacks them.
    """
    weights = dict.fromkeys(part.weights for part in layout.parts if part.weights)
    expected = f"{' or '.join(weights)}, or its shards, in each component's folder"
    stored = {
        component: [file for file in files if is_weights(file) or matches(file, PICKLES)]
        for component, files in found.items()
    }
    got = [f"{component}/{file}" for component, files in stored.items() for file in files]
    which = ", ".join(found)
    if any(is_weights(one) for one in got):
        return Fault(
            f"`{name}` has weights of {which} as a variant only, which a loader has to be told of",
            where,
            expected=expected,
            got=listed(got),
            fix='save it under the usual names: DiffusionPipeline.from_pretrained(…, variant="fp16")'
            ".save_pretrained(FOLDER)",
        )
    if got:
        return Fault(
            f"`{name}` has weights of {which} as pickle files, which can run code when they are opened",
            where,
            expected=expected,
            got=listed(got),
            fix="convert a model that you trust: DiffusionPipeline.from_pretrained(…).save_pretrained(FOLDER) "
            "writes safetensors files",
        )
    return Fault(
        f"`{name}` has no weights of {which}",
        where,
        expected=expected,
        got=listed([f"{component}/{file}" for component, files in found.items() for file in files]),
        fix="fetch the whole repository again",
    )
