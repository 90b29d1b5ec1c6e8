"""The demo's search without its workflow: parents in memory, candidates merged into one live model, answers kept.

Candidates are merges, or paths through the parents' layers. A `Bed` is a set of the demo's parents with questions of its own: every seed trains other parents and asks
other questions. Recipes come from tsugiki's search space, weights from its merge engine, points from
its strategies. Only decoding is written anew here: greedy, all questions of a length in one batch without
padding. Scores are those of the demo's Japanese maths task. This program measures what an answer
costs, here and by the product's evaluation, and how many answers differ.

Answers (0 or 1 for each candidate and question) are kept in a database beside the parents: a search that
is run again, or that has candidates in common with another one, costs nothing.

    python bench/search_bed.py [--cache FOLDER] [--seed N] [--models N]
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lm_eval.api.instance import Instance
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM

from tsugiki.canonical import digest
from tsugiki.config.stage import Stage
from tsugiki.contracts.recipe import AnyRecipe, DataflowRecipe, Parameter, ParentRef, Recipe
from tsugiki.demo.documents import prompt
from tsugiki.demo.parents import ensure_demo_parent
from tsugiki.demo.specification import ModelName
from tsugiki.demo.stories import maths_question
from tsugiki.demo.tasks import score_maths
from tsugiki.demo.tokenizer import build_tokenizer
from tsugiki.demo.world import draw_fact
from tsugiki.errors import RecipeError
from tsugiki.evaluate.language_model import LanguageModel
from tsugiki.keyed import generator
from tsugiki.merge.dataflow.live import LiveDataflow
from tsugiki.merge.decompose import write_decompositions
from tsugiki.merge.decompositions import decomposed_from, key_of
from tsugiki.merge.in_place import InPlaceMerger
from tsugiki.merge.models import OpenModels
from tsugiki.merge.registry import get_method
from tsugiki.merge.write import write_merge
from tsugiki.models.checkpoint import Checkpoint
from tsugiki.models.files import digest_folder
from tsugiki.models.plan import make_plan
from tsugiki.space.dataflow_space import DataflowGenome, build_dataflow_genome
from tsugiki.space.parameter_space import ParameterGenome, build_parameter_genome

Split = Literal["search", "validation", "test"]
SIZES: dict[Split, int] = {"search": 200, "validation": 400, "test": 1000}
NAMES: tuple[ModelName, ...] = ("base", "japanese", "maths")
PARENTS = ("japanese", "maths")
LONGEST_ANSWER = 10
"""Tokens, as the task has it."""
TOGETHER = 64
"""Questions in one forward pass: their activations fit into a core's cache."""
UNKNOWN = 2
CACHE = Path("results/search-bed")

Bits = NDArray[np.uint8]


class Bed:
    """One set of parents and its questions.

    Args:
        seed: Of the parents' training, and of the questions.
        cache: Folder that keeps parents and answers.
    """

    def __init__(self, seed: int, cache: Path = CACHE) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(1)
        self.seed = seed
        self._cache = cache
        self.folders: dict[str, Path] = {
            name: ensure_demo_parent(
                name, seed, cache, log=lambda line: print(line, file=sys.stderr)
            )
            for name in NAMES
        }
        self.digests: dict[str, str] = {
            name: digest([file.model_dump(mode="json") for file in digest_folder(folder)])
            for name, folder in self.folders.items()
        }
        self._decompositions: dict[str, Path] = {}
        self.merger = self._opened()
        self.model = LlamaForCausalLM.from_pretrained(self.folders["base"], dtype=torch.float32)
        self.model.eval()
        self._decoder = Decoder(self.model)
        self._paths: LiveDataflow | None = None
        self.tokenizer = build_tokenizer()
        self.rows: dict[Split, list[dict[str, Any]]] = {}
        rest = _questions(seed, sum(SIZES.values()))
        for split, size in SIZES.items():
            self.rows[split], rest = rest[:size], rest[size:]
        self._prompts = {
            split: [self.tokenizer(row["prompt"]).input_ids for row in rows]
            for split, rows in self.rows.items()
        }
        self._right: dict[tuple[int, str, tuple[int, ...]], bool] = {}
        self._known: dict[tuple[str, Split], Bits] = {}
        self._database = sqlite3.connect(cache / "answers.sqlite", timeout=60)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS answers"
            " (bed TEXT, recipe TEXT, split TEXT, bits BLOB, PRIMARY KEY (bed, recipe, split))"
        )
        self._key = digest([seed, self.digests, SIZES])
        for recipe, split, bits in self._database.execute(
            "SELECT recipe, split, bits FROM answers WHERE bed = ?", [self._key]
        ):
            self._known[recipe, split] = np.frombuffer(bits, dtype=np.uint8).copy()
        self.generated = 0
        """Answers that the model was asked for in this process."""

    def space(
        self,
        method: str,
        genes: Mapping[str, Any],
        options: Mapping[str, Any] | None = None,
        parents: Sequence[str] = PARENTS,
    ) -> ParameterGenome:
        """A search space over some models; `genes` and `options` as in a configuration."""
        stage = Stage.model_validate(
            {
                "name": "ps",
                "parents": list(parents),
                "base": "base",
                "space": {
                    "method": method,
                    "dtype": "float32",
                    "genes": genes,
                    "options": options or {},
                },
                "budget": {"generations": 1},
            }
        )
        members = sorted({"base", *parents})
        plan = make_plan([Checkpoint(name, self.folders[name]) for name in members], "base")
        genome = build_parameter_genome(
            stage,
            seed=self.seed,
            digests=self.digests,
            tensor_names=plan.merged,
            kind=plan.kind,
            per_parent={
                parameter.name: parameter.per_parent for parameter in get_method(method).parameters
            },
        )
        if stage.decomposes:
            self._keep_decompositions(genome.decode(genome.start))
        return genome

    def recipe(
        self, method: str, values: Mapping[str, Mapping[str, float]], **options: bool | float | str
    ) -> Recipe:
        """A merge of whole models: `values[parameter][parent]`, the same parents for each parameter."""
        parents = next(iter(values.values()))
        return Recipe(
            method=method,
            base=ParentRef(name="base", digest=self.digests["base"]),
            parents=tuple(ParentRef(name=name, digest=self.digests[name]) for name in parents),
            parameters={
                name: Parameter(values={parent: {"model": value} for parent, value in one.items()})
                for name, one in values.items()
            },
            options=options,
            mask_seed=self.seed,
            dtype="float32",
            owner="base",
        )

    def paths(self, parents: Sequence[str], **settings: Any) -> DataflowGenome:
        """Paths through the layers of some models, the first of which is the owner; settings as in a configuration."""
        stage = Stage.model_validate(
            {
                "name": "dfs",
                "parents": list(parents),
                "space": {"kind": "dataflow", "dtype": "float32", **settings},
                "budget": {"generations": 1},
            }
        )
        layers = dict.fromkeys(parents, self.model.config.num_hidden_layers)
        return build_dataflow_genome(stage, digests=self.digests, layers=layers)

    def keep(self, recipe: Recipe) -> str:
        """Write a merge beside the parents, so that paths can go through it; returns its name."""
        name = f"merge-{recipe.digest[:16]}"
        if name not in self.folders:
            folder = self._cache / name
            if not folder.is_dir():
                write_merge(recipe, self.folders, self.digests, folder)
            self.digests[name] = digest(
                [file.model_dump(mode="json") for file in digest_folder(folder)]
            )
            self.folders[name] = folder
            self._paths = None
        return name

    def add(self, name: str, folder: Path) -> None:
        """Have a further model that can be merged, under a name of its own."""
        self.digests[name] = digest(
            [file.model_dump(mode="json") for file in digest_folder(folder)]
        )
        self.folders[name] = folder
        self.merger = self._opened()
        self._paths = None

    def _keep_decompositions(self, recipe: Recipe) -> None:
        """Decompose the parents for merges with a recipe's method and options, unless that is done."""
        if {key_of(one) for one in decomposed_from(recipe).values()} <= self._decompositions.keys():
            return
        folder = self._cache / "decompositions"
        made = write_decompositions(recipe, self.folders, self.digests, folder, log=lambda _: None)
        self._decompositions |= {
            key: folder / one.folder / one.file.name for key, one in made.items()
        }
        self.merger = self._opened()

    def _opened(self) -> InPlaceMerger:
        return InPlaceMerger(self.folders, self.digests, decompositions=self._decompositions)

    def assemble(self, recipe: DataflowRecipe) -> LlamaForCausalLM:
        """The model that a path is.

        Raises:
            RecipeError: it is none.
        """
        if self._paths is None:
            self._paths = LiveDataflow(OpenModels(self.folders, self.digests), torch.device("cpu"))
        model: LlamaForCausalLM = self._paths.assemble(recipe)[0]
        return model

    def right(self, recipe: AnyRecipe, split: Split, ids: Sequence[int] | NDArray[Any]) -> Bits:
        """Which questions a candidate answers rightly; uint8, shape (questions,). One that is no model answers none."""
        key = (recipe.digest, split)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = np.full(SIZES[split], UNKNOWN, dtype=np.uint8)
        missing = [int(one) for one in ids if known[one] == UNKNOWN]
        if missing:
            try:
                known[missing] = self._ask(self.load(recipe), split, missing)
            except RecipeError:
                known[missing] = 0
            self.generated += len(missing)
            with self._database:
                self._database.execute(
                    "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)",
                    [self._key, *key, known.tobytes()],
                )
        return np.asarray(known[np.asarray(ids)], dtype=np.uint8)

    def score(self, recipe: AnyRecipe, split: Split) -> float:
        """Share of a split's questions that a candidate answers rightly."""
        return float(self.right(recipe, split, range(SIZES[split])).mean())

    def answers(self, recipe: AnyRecipe, split: Split, ids: Sequence[int]) -> list[str]:
        """What a candidate answers, not kept."""
        prompts = [self._prompts[split][one] for one in ids]
        tokens = self.load(recipe).decode(prompts, *self._ends)
        return [self._text(answer) for answer in tokens]

    def load(self, recipe: AnyRecipe) -> Decoder:
        """Make a candidate; the next merge overwrites it."""
        if isinstance(recipe, DataflowRecipe):
            return Decoder(self.assemble(recipe))
        self.merger.load_into(recipe, self.model)
        return self._decoder

    def _ask(self, decoder: Decoder, split: Split, ids: Sequence[int]) -> list[bool]:
        prompts = [self._prompts[split][one] for one in ids]
        right = []
        for index, tokens in zip(ids, decoder.decode(prompts, *self._ends), strict=True):
            key = (index, split, tokens)
            if key not in self._right:
                scores = score_maths(self.rows[split][index], [self._text(tokens)])
                self._right[key] = scores["exact_match"] == 1.0
            right.append(self._right[key])
        return right

    @property
    def _ends(self) -> tuple[int, int]:
        return self.tokenizer.eos_token_id, self.tokenizer.convert_tokens_to_ids("\n")

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True)).split("\n")[0]


def _questions(seed: int, count: int) -> list[dict[str, Any]]:
    """Distinct held-out maths problems in Japanese."""
    rng = generator("search-bed", seed)
    found: dict[str, dict[str, Any]] = {}
    while len(found) < count:
        fact = draw_fact(rng, held_out=True)
        question = maths_question(fact)
        text = prompt(fact, question, "ja")
        found.setdefault(
            text,
            {
                "prompt": text,
                "target": question.answer.ja,
                "number": fact.result,
                "language": "ja",
            },
        )
    return list(found.values())


class Decoder:
    """Greedy decoding by a llama whose weights change between calls, on one thread.

    Prompts are read in batches of one length, without padding. Keys and values stand at the right end of a
    common array, so that all rows write their answers' tokens together.
    """

    def __init__(self, model: LlamaForCausalLM) -> None:
        self._model = model
        config = model.config
        self._heads = config.num_attention_heads
        self._epsilon = config.rms_norm_eps
        self._width = config.hidden_size // self._heads
        places = torch.arange(128)[None]
        cos, sin = model.model.rotary_emb(torch.zeros(1, 1, self._width), places)
        self._cos, self._sin = cos[0], sin[0]
        self._blocks: list[tuple[Tensor, ...]] = []

    @torch.inference_mode()
    def decode(self, prompts: Sequence[Sequence[int]], *ends: int) -> list[tuple[int, ...]]:
        """The answer to each prompt, without the token that ends it."""
        self._take_weights()
        lengths = torch.tensor([len(tokens) for tokens in prompts])
        longest = int(lengths.max())
        shape = (len(prompts), self._heads, longest + LONGEST_ANSWER, self._width)
        kept = [(torch.zeros(shape), torch.zeros(shape)) for _ in self._blocks]
        newest = torch.empty(len(prompts), dtype=torch.int64)
        for places in _batches(prompts):
            ids = torch.tensor([prompts[place] for place in places])
            newest[places] = self._read(ids, kept, places, longest)
        before = torch.arange(shape[2])[None] < (longest - lengths)[:, None]
        hidden = torch.where(before, -torch.inf, 0.0)[:, None, None].expand(-1, self._heads, -1, -1)
        hidden = hidden.reshape(-1, 1, shape[2])
        finals = torch.tensor(ends)
        answer, done = [newest], torch.isin(newest, finals)
        for step in range(LONGEST_ANSWER - 1):
            if bool(done.all()):
                break
            newest = self._write(newest, kept, hidden, lengths + step, longest + step)
            answer.append(newest)
            done |= torch.isin(newest, finals)
        return [_until(row, ends) for row in torch.stack(answer, dim=1).tolist()]

    def _take_weights(self) -> None:
        scale = self._width**-0.5
        self._blocks = []
        for layer in self._model.model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            joined = [
                attention.q_proj.weight * scale,  # a power of two: exact
                attention.k_proj.weight,
                attention.v_proj.weight,
            ]
            self._blocks.append(
                (
                    layer.input_layernorm.weight,
                    torch.cat(joined).T.contiguous(),
                    attention.o_proj.weight.T.contiguous(),
                    layer.post_attention_layernorm.weight,
                    mlp.gate_proj.weight.T.contiguous(),
                    mlp.up_proj.weight.T.contiguous(),
                    mlp.down_proj.weight.T.contiguous(),
                )
            )

    def _read(
        self, ids: Tensor, kept: list[tuple[Tensor, Tensor]], places: list[int], longest: int
    ) -> Tensor:
        """Read prompts of one length; returns each one's next token."""
        length = ids.shape[1]
        mask = torch.full((length, length), -torch.inf).triu(1)
        cos, sin = self._cos[:length], self._sin[:length]
        x = functional.embedding(ids, self._model.model.embed_tokens.weight)
        for number, block in enumerate(self._blocks):
            turned, values = self._attend(x, block, cos, sin)
            kept[number][0][places, :, longest - length : longest] = turned[1]
            kept[number][1][places, :, longest - length : longest] = values
            query, keys = turned
            if number == len(self._blocks) - 1:  # only the last place is read of it
                query, x, mask = query[:, :, -1:], x[:, -1:], mask[-1:]
            x = self._finish(x, block, query, keys, values, mask)
        return self._next(x)

    def _write(
        self,
        ids: Tensor,
        kept: list[tuple[Tensor, Tensor]],
        hidden: Tensor,
        at: Tensor,
        end: int,
    ) -> Tensor:
        """The token after `ids`, which stand at the places `at`, and at `end` in what is kept."""
        cos, sin = self._cos[at][:, None, None], self._sin[at][:, None, None]
        x = functional.embedding(ids[:, None], self._model.model.embed_tokens.weight)
        for (keys, values), block in zip(kept, self._blocks, strict=True):
            turned, new = self._attend(x, block, cos, sin)
            keys[:, :, end : end + 1], values[:, :, end : end + 1] = turned[1], new
            seen = slice(0, end + 1)
            x = self._finish(
                x, block, turned[0], keys[:, :, seen], values[:, :, seen], hidden[:, :, seen]
            )
        return self._next(x)

    def _attend(
        self, x: Tensor, block: tuple[Tensor, ...], cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Queries and keys, turned, and values; each of shape (rows, heads, places, width)."""
        rows, length, size = x.shape
        h = functional.rms_norm(x, (size,), block[0], self._epsilon) @ block[1]
        h = h.view(rows, length, 3, self._heads, self._width).permute(2, 0, 3, 1, 4)
        return _turn(h[:2], cos, sin), h[2]

    def _finish(
        self,
        x: Tensor,
        block: tuple[Tensor, ...],
        query: Tensor,
        keys: Tensor,
        values: Tensor,
        mask: Tensor,
    ) -> Tensor:
        _, _, out, norm, gate, up, down = block
        rows, length, size = x.shape
        query, keys, values = (one.reshape(-1, *one.shape[2:]) for one in (query, keys, values))
        shares = torch.baddbmm(mask, query, keys.transpose(1, 2)).softmax(dim=-1)
        mixed = torch.bmm(shares, values).view(rows, self._heads, length, self._width)
        x = torch.addmm(x.reshape(-1, size), mixed.transpose(1, 2).reshape(-1, size), out)
        h = functional.rms_norm(x, (size,), norm, self._epsilon)
        x = torch.addmm(x, functional.silu(h @ gate, inplace=True).mul_(h @ up), down)
        return x.view(rows, length, size)

    def _next(self, x: Tensor) -> Tensor:
        model = self._model.model
        x = functional.rms_norm(x[:, -1], (x.shape[-1],), model.norm.weight, self._epsilon)
        newest: Tensor = (x @ model.embed_tokens.weight.T).argmax(dim=-1)
        return newest


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions, as transformers' llama has them."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin


def _until(row: list[int], ends: Sequence[int]) -> tuple[int, ...]:
    stops = [place for place, token in enumerate(row) if token in ends]
    return tuple(row[: stops[0]] if stops else row)


def _batches(prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    by_length: dict[int, list[int]] = {}
    for place, tokens in enumerate(prompts):
        by_length.setdefault(len(tokens), []).append(place)
    for places in by_length.values():
        for first in range(0, len(places), TOGETHER):
            yield places[first : first + TOGETHER]


def main() -> None:
    """Compare with the product's evaluation, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", type=int, default=10)
    given = parser.parse_args()
    bed = Bed(given.seed, given.cache)
    product = Product(bed)
    space = bed.space("task_arithmetic", {"weight": {"range": [0.0, 1.5], "grouping": "block"}})
    rng = generator("search-bed", "comparison", given.seed)
    recipes: list[AnyRecipe] = [
        space.decode(row) for row in rng.uniform(0.1, 0.9, (given.models, len(space.genes)))
    ]
    paths = bed.paths(PARENTS, repeats=2)
    chances = np.array(paths.start)
    recipes += [
        paths.decode(np.where(paths.kinds.binary, row < chances, row).tolist())
        for row in rng.random((given.models, len(chances)))
    ]
    ids = range(SIZES["search"])
    bed.answers(recipes[0], "search", ids)  # compiles the loops
    differ = differ_in_score = 0
    seconds = dict.fromkeys(("merge", "bed", "product"), 0.0)
    for recipe in recipes:
        with timed(seconds, "merge"):
            bed.load(recipe)
        with timed(seconds, "bed"):
            answers = bed.answers(recipe, "search", ids)
        with timed(seconds, "product"):
            expected = product.answers(recipe, bed.rows["search"])
        for row, one, other in zip(bed.rows["search"], answers, expected, strict=True):
            differ += one != other
            differ_in_score += score_maths(row, [one]) != score_maths(row, [other])
    models, count = len(recipes), len(recipes) * len(ids)
    print(
        f"{count} answers of {models} models: {differ} differ from the product's, "
        f"{differ_in_score} of them in their score\n"
        f"processor time: a merge {seconds['merge'] / models * 1e3:.1f} ms; with the merge, "
        f"{seconds['bed'] / count * 1e3:.2f} ms an answer here, {seconds['product'] / count * 1e3:.2f} ms "
        "by the product's language model"
    )


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the processor time that a block takes."""
    started = time.process_time()
    yield
    seconds[name] += time.process_time() - started


class Product:
    """The same questions, put by lm-eval to the product's language model, as the demo does."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        model = LlamaForCausalLM.from_pretrained(bed.folders["base"], dtype=torch.float32)
        self._language_model = LanguageModel(model, bed.tokenizer, batch_size=128)

    def answers(self, recipe: AnyRecipe, rows: Sequence[dict[str, Any]]) -> list[str]:
        """What a candidate answers."""
        asked = self._language_model
        if isinstance(recipe, DataflowRecipe):
            asked = LanguageModel(self._bed.assemble(recipe), self._bed.tokenizer, batch_size=128)
        else:
            self._bed.merger.load_into(recipe, asked.model)
        how = {"until": ["\n"], "do_sample": False, "max_gen_toks": LONGEST_ANSWER}
        requests = [
            Instance("generate_until", row, (row["prompt"], dict(how)), index)
            for index, row in enumerate(rows)
        ]
        return [str(answer) for answer in asked.generate_until(requests)]


if __name__ == "__main__":
    main()
