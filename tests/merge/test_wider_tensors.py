"""Tensors that models store in a wider number format than their other weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, Glm4MoeConfig, Glm4MoeForCausalLM

from tests.merge.models_for_tests import TEXT, digests_of, recipe_of, save_tokenizer, save_trio
from tsugiki.contracts.recipe import DataflowRecipe, Hop, ParentRef
from tsugiki.evaluate.vllm_backend.weights import MergedWeights
from tsugiki.merge.dataflow.live import LiveDataflow
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.models import OpenModels
from tsugiki.merge.write import write_merge
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.kinds.text import SINGLE

Folders = dict[str, Path]
BIAS = "model.layers.1.mlp.gate.e_score_correction_bias"
NORM = "model.norm.weight"
EXPERTS = 256
NAMES = ("base", "a", "b")


def rewrite(folder: Path, changed: dict[str, Tensor]) -> None:
    """Store some tensors of a model otherwise."""
    path = folder / SINGLE
    save_file(load_file(path) | changed, path, metadata={"format": "pt"})


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Mixtures of experts in bfloat16, whose routers have a float32 bias near 7, as GLM's do."""
    root = tmp_path_factory.mktemp("routed")
    config = Glm4MoeConfig(
        **TEXT,
        head_dim=8,
        moe_intermediate_size=4,
        n_routed_experts=EXPERTS,
        num_experts_per_tok=2,
        first_k_dense_replace=1,
    )
    for seed, name in enumerate(NAMES):
        torch.manual_seed(seed)
        Glm4MoeForCausalLM(config).to(torch.bfloat16).save_pretrained(root / name)
        save_tokenizer(root / name)
        rewrite(root / name, {BIAS: 7 + 0.1 * torch.randn(EXPERTS)})
    return {name: root / name for name in NAMES}


@pytest.fixture(scope="module")
def normed(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Llamas in bfloat16, whose final norm is stored in float32."""
    folders = save_trio(tmp_path_factory.mktemp("normed"), dtype=torch.bfloat16)
    for seed, folder in enumerate(folders.values()):
        generator = torch.Generator().manual_seed(seed)
        rewrite(folder, {NORM: 1 + 0.01 * torch.randn(TEXT["hidden_size"], generator=generator)})
    return folders


def mean(folders: Folders, tensor: str) -> Tensor:
    """Of a and b, in float64."""
    return sum(load_file(folders[name] / SINGLE)[tensor].double() for name in "ab") / 2


@pytest.mark.parametrize("method", ["linear", "nuslerp"])
def test_wider_tensor_stays_in_its_format(routed: Folders, tmp_path: Path, method: str) -> None:
    """On disk, with and without compiled loops: all 256 values, where bfloat16 has a few."""
    recipe = recipe_of(method, base=None, values={"weight": 0.5}, dtype="bfloat16")
    write_merge(recipe, routed, digests_of(routed), tmp_path / "out")
    merged = load_file(tmp_path / "out" / SINGLE)
    assert {name for name, values in merged.items() if values.dtype != torch.bfloat16} == {BIAS}
    assert merged[BIAS].dtype == torch.float32
    assert len(merged[BIAS].unique()) > 250
    if method == "linear":
        torch.testing.assert_close(merged[BIAS].double(), mean(routed, BIAS), rtol=1e-6, atol=0)


def test_live_model_holds_what_a_loader_holds(routed: Folders, tmp_path: Path) -> None:
    """The router's bias in float32; and the digest is that of the files."""
    recipe = recipe_of("linear", base=None, values={"weight": (0.5, 0.7)}, dtype="bfloat16")
    digest = write_merge(recipe, routed, digests_of(routed), tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.bfloat16)
    live = AutoModelForCausalLM.from_pretrained(routed["b"], dtype=torch.bfloat16)
    merger = InPlaceMerger(routed, digests_of(routed))
    assert merger.load_into(recipe, live) == digest
    assert live.state_dict()[BIAS].dtype == torch.float32
    for name, values in loaded.state_dict().items():
        assert torch.equal(values, live.state_dict()[name]), name


def test_vllm_is_given_the_wider_format(routed: Folders, tmp_path: Path) -> None:
    """The worker's tensors, and their digest, are those of the files."""
    recipe = recipe_of("linear", base=None, values={"weight": (0.5, 0.7)}, dtype="bfloat16")
    digest = write_merge(recipe, routed, digests_of(routed), tmp_path / "out")
    weights = MergedWeights(InPlaceMerger(routed, digests_of(routed)), recipe)
    assert dict(weights)[BIAS].dtype == torch.float32
    assert weights.digest() == digest


def test_live_model_rounds_what_a_loader_rounds(normed: Folders, tmp_path: Path) -> None:
    """A norm stays in float32 in the files, and is bfloat16 in a model of bfloat16."""
    recipe = recipe_of("ties", values={"weight": 0.5}, dtype="bfloat16")
    digest = write_merge(recipe, normed, digests_of(normed), tmp_path / "out")
    assert load_file(tmp_path / "out" / SINGLE)[NORM].dtype == torch.float32
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.bfloat16)
    live = AutoModelForCausalLM.from_pretrained(normed["b"], dtype=torch.bfloat16)
    assert InPlaceMerger(normed, digests_of(normed)).load_into(recipe, live) == digest
    for name, values in loaded.state_dict().items():
        assert torch.equal(values, live.state_dict()[name]), name


def test_path_keeps_the_wider_format_of_its_parents(normed: Folders, tmp_path: Path) -> None:
    """Alive, rounded as a loader does; on disk to the last bit of the parent's norm."""
    recipe = DataflowRecipe(
        owner="a",
        parents=tuple(ParentRef(name=name, digest=digests_of(normed)[name]) for name in "ab"),
        path=(Hop(parent="a", layer=0), Hop(parent="b", layer=1)),
    )
    digest = write_merge(recipe, normed, digests_of(normed), tmp_path / "out")
    merged = load_file(tmp_path / "out" / SINGLE)
    assert torch.equal(merged[NORM], load_file(normed["a"] / SINGLE)[NORM])
    models = OpenModels({name: normed[name] for name in "ab"}, digests_of(normed))
    live, weights = LiveDataflow(models, torch.device("cpu")).assemble(recipe)
    assert weights == digest
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.bfloat16)
    tokens = torch.arange(12).view(2, 6)
    assert torch.equal(live(tokens).logits, loaded.eval()(tokens).logits)


def test_float64_beside_float32_stays_so(tmp_path: Path) -> None:
    """On disk and tensor by tensor; the compiled loops, which know no float64, are converted."""
    folders = save_trio(tmp_path / "models", dtype=torch.float32)
    for seed, folder in enumerate(folders.values()):
        generator = torch.Generator().manual_seed(seed)
        values = torch.randn(TEXT["hidden_size"], generator=generator, dtype=torch.float64)
        rewrite(folder, {NORM: values})
    recipe = recipe_of("linear", base=None, values={"weight": 0.5}, dtype="float32")
    write_merge(recipe, folders, digests_of(folders), tmp_path / "out")
    written = load_file(tmp_path / "out" / SINGLE)[NORM]
    made = dict(InPlaceMerger(folders, digests_of(folders)).tensors(recipe))[NORM]
    assert written.dtype == made.dtype == torch.float64
    assert torch.equal(made, written)
    torch.testing.assert_close(written, mean(folders, NORM), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrower_tensors_follow_the_recipe(tmp_path: Path, dtype: torch.dtype) -> None:
    """Only a format wider than that of most elements is kept, not one that a few lack."""
    folders = save_trio(tmp_path / "models", dtype=dtype)
    for folder in folders.values():
        rewrite(folder, {NORM: torch.ones(TEXT["hidden_size"], dtype=torch.float16)})
    owner = Checkpoint("base", folders["base"])
    assert all(owner.wider(name) is None for name in owner.headers)
    recipe = recipe_of("linear", base=None, dtype="bfloat16")
    write_merge(recipe, folders, digests_of(folders), tmp_path / "out")
    formats = {values.dtype for values in load_file(tmp_path / "out" / SINGLE).values()}
    assert formats == {torch.bfloat16}
