"""Check the chain of a run without tsugiki, with Python's standard library alone.

    python check_run.py results/my-run

Prints each file that does not fit the others, and ends with status 1 if there is one.
"""

import hashlib
import json
import sys
from pathlib import Path


def sha256(path):
    """Of a file's bytes; None if there is no such file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def digest(value):
    """Of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read(path):
    """A JSON file; nothing if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def check(run):
    """Yield (file, what is wrong with it)."""
    parents = read(run / "parents.lock.json").get("parents", {})
    known = {}
    for name, parent in parents.items():
        made = parent.get("prepared") or parent
        known[name] = made["digest"]
        for one in (parent, made):
            if digest({file["name"]: file["sha256"] for file in one["files"]}) != one["digest"]:
                yield run / "parents.lock.json", f"the digest of {name} does not fit its files"
    for path in run.glob("*/best.lock.json"):
        lock = known[path.parent.name] = read(path)
        known[path.parent.name] = lock.get("digest")
        for file in lock.get("files", []):
            best = path.parent / "best"
            if best.is_dir() and sha256(best / file["name"]) != file["sha256"]:
                yield best / file["name"], "not the file that was locked"
    for phase in sorted({path.parents[1] for path in run.glob("*/gen-*/population.json")}):
        previous = None
        for number in range(len(list(phase.glob("gen-*")))):
            folder = phase / f"gen-{number:03d}"
            population = read(folder / "population.json")
            if population.get("previous") != previous:
                yield folder / "population.json", "does not name the outcomes before it"
            if population.get("state") != sha256(folder / "state.npz"):
                yield folder / "state.npz", "not the state that the population names"
            for one in population.get("candidates", []):
                path = phase / "candidates" / f"cand-{one['recipe'][:12]}" / "recipe.json"
                recipe = read(path)
                if digest(recipe) != one["recipe"]:
                    yield path, f"not the recipe of candidate {one['id']}"
                for model in [*recipe.get("parents", []), recipe.get("base")]:
                    if model and known.get(model["name"]) != model["digest"]:
                        yield path, f"names another model than the locked {model['name']}"
            outcomes = read(folder / "outcomes.json")
            if outcomes and outcomes["population"] != sha256(folder / "population.json"):
                yield folder / "population.json", "not the population that was ranked"
            for one in outcomes.get("ranked", []):
                yield from check_outcome(phase, number, one)
            previous = sha256(folder / "outcomes.json")


def check_outcome(phase, number, ranked):
    """A candidate's own files say what the ledger says of it."""
    outcome = ranked["outcome"]
    folder = phase / "candidates" / f"cand-{ranked['recipe'][:12]}"
    if outcome.get("so_far"):
        folder = folder / f"gen-{number:03d}"
    if outcome.get("rung") is not None:
        folder = folder / f"rung-{outcome['rung']}"
    if read(folder / "outcome.json") != outcome:
        yield folder / "outcome.json", "not what the ledger says"
    if outcome["status"] == "scored" and sha256(folder / "items.parquet") != outcome["records"]:
        yield folder / "items.parquet", "not the record that the outcome names"


if __name__ == "__main__":
    wrong = list(check(Path(sys.argv[1])))
    for path, what in wrong:
        print(f"{path}: {what}")
    if not wrong:
        print("the chain is whole")
    sys.exit(1 if wrong else 0)
