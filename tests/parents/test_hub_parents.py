"""Parents on the Hub: pinned, fetched, verified, and found again without the network."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest
from huggingface_hub import constants

from tests.parents.checkpoints import read_folder, write_llama
from tsugiki.contracts.layout import RunFiles
from tsugiki.contracts.locks import digest_of_files, read_lock
from tsugiki.errors import ConfigError, InfrastructureError, LineageError, ParentError
from tsugiki.parents.locate import locate
from tsugiki.parents.preflight import preflight
from tsugiki.parents.resolve import lock_parents
from tsugiki.steps.prepare import write_parents

from .hub_stand_in import Hub, is_large, sha256
from .runs import run_of

REPO = "someone/model"
CONFIG = run_of({"one": {"hub": REPO}})


def silent(line: str) -> None:
    """Say nothing."""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """A model's files."""
    return read_folder(write_llama(tmp_path / "model", template="{{ messages }}"))


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """Where the lock is written."""
    return tmp_path / "run" / "parents.lock.json"


def blob_of(name: str, hub: Hub) -> Path:
    """The cached blob of a file of the newest commit."""
    commit = hub.repo(REPO).branches["main"]
    folder = Path(constants.HF_HUB_CACHE) / "models--someone--model" / "snapshots" / commit
    return (folder / name).resolve()


def test_a_branch_is_locked_to_its_commit_and_every_file_to_its_bytes(
    hub: Hub, files: dict[str, bytes], lock: Path
) -> None:
    """The lock names the commit, and the size and SHA-256 of each file."""
    commit = hub.repo(REPO).push(files)
    locked = lock_parents(CONFIG, lock, log=silent).parents["one"]
    assert locked.commit == commit
    assert {file.name: (file.size, file.sha256) for file in locked.files} == {
        name: (len(content), sha256(content)) for name, content in files.items()
    }
    assert locked.digest == digest_of_files(tuple(reversed(locked.files)))
    assert read_lock(lock).parents["one"] == locked


def test_only_what_a_merge_needs_is_fetched(hub: Hub, files: dict[str, bytes], lock: Path) -> None:
    """Pickles, modelling code, subfolders and second copies of the weights stay on the Hub."""
    extra = {
        "pytorch_model.bin": b"pickle",
        "modeling_x.py": b"code",
        "original/consolidated.safetensors": b"x",
        "consolidated.safetensors": b"x",
        "onnx/config.json": b"{}",
        "README.md": b"card",
        "merges.txt": b"a b",
        "tokenizer.model": b"sp",
    }
    hub.repo(REPO).push(files | extra)
    locked = lock_parents(CONFIG, lock, log=silent).parents["one"]
    assert {file.name for file in locked.files} == {*files, "merges.txt", "tokenizer.model"}
    fetched = "\n".join(hub.requests)
    for name in ("pytorch_model.bin", "modeling_x.py", "consolidated", "onnx"):
        assert name not in fetched


def test_modelling_code_is_fetched_where_it_is_trusted(
    hub: Hub, files: dict[str, bytes], lock: Path
) -> None:
    """Trusting a parent's code makes the code part of its identity."""
    hub.repo(REPO).push(files | {"modeling_x.py": b"code"})
    plain = lock_parents(CONFIG, lock, log=silent).parents["one"]
    trusting = run_of({"one": {"hub": REPO, "trust_remote_code": True}})
    trusted = lock_parents(trusting, lock, log=silent).parents["one"]
    assert "modeling_x.py" in {file.name for file in trusted.files}
    assert trusted.digest != plain.digest


def test_a_branch_that_moves_is_announced_and_not_followed(
    hub: Hub, files: dict[str, bytes], lock: Path
) -> None:
    """The second run keeps the first run's commit and says how to update."""
    first = hub.repo(REPO).push(files)
    before = lock_parents(CONFIG, lock, log=silent)
    second = hub.repo(REPO).push(files | {"generation_config.json": b"{}"})
    said: list[str] = []
    after = lock_parents(CONFIG, lock, log=said.append)
    assert after == before
    [line] = said
    for part in ("one", REPO, first[:12], second[:12], "tsugiki parents --update one"):
        assert part in line


def test_an_update_follows_the_branch(hub: Hub, files: dict[str, bytes], lock: Path) -> None:
    """`update` locks the named parent anew."""
    hub.repo(REPO).push(files)
    lock_parents(CONFIG, lock, log=silent)
    second = hub.repo(REPO).push(files | {"generation_config.json": b"{}"})
    after = lock_parents(CONFIG, lock, update=frozenset({"one"}), log=silent)
    assert after.parents["one"].commit == second


def test_an_update_of_an_unknown_parent_is_refused(lock: Path) -> None:
    """A misspelt name is an error, not a run without update."""
    with pytest.raises(ConfigError, match="eno"):
        lock_parents(CONFIG, lock, update=frozenset({"eno"}), log=silent)


def test_a_changed_source_is_locked_anew(hub: Hub, files: dict[str, bytes], lock: Path) -> None:
    """Another revision in the configuration means another commit in the lock."""
    hub.repo(REPO).push(files)
    lock_parents(CONFIG, lock, log=silent)
    other = hub.repo(REPO).push(files | {"generation_config.json": b"{}"}, branch="v2")
    config = run_of({"one": {"hub": REPO, "revision": "v2"}})
    said: list[str] = []
    assert lock_parents(config, lock, log=said.append).parents["one"].commit == other
    assert any("source has changed" in line for line in said)


@pytest.mark.parametrize("locked_before", [True, False])
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty"])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_damaged_cached_file_is_noticed_and_fetched_again(
    hub: Hub, files: dict[str, bytes], lock: Path, *, damage: str, name: str, locked_before: bool
) -> None:
    """The client itself would take the damaged file without a word."""
    hub.repo(REPO).push(files)
    before = lock_parents(CONFIG, lock, log=silent)
    content = files[name]
    blob_of(name, hub).write_bytes(
        {
            "flip": content[:-1] + bytes([content[-1] ^ 1]),
            "truncate": content[:-40],
            "empty": b"",
        }[damage]
    )
    if not locked_before:
        lock.unlink()
    said: list[str] = []
    assert lock_parents(CONFIG, lock, log=said.append) == before
    assert blob_of(name, hub).read_bytes() == content
    assert [line for line in said if name in line and "damaged" in line]


def test_a_file_that_arrives_damaged_again_is_an_error(
    hub: Hub, files: dict[str, bytes], lock: Path
) -> None:
    """A fault on the way is not written into the lock."""
    hub.repo(REPO).push(files)
    hub.spoilt.add(sha256(files["model.safetensors"]))
    with pytest.raises(ParentError, match=r"model\.safetensors") as caught:
        lock_parents(CONFIG, lock, log=silent)
    assert sha256(files["model.safetensors"]) in str(caught.value)
    assert not lock.exists()


def test_a_damaged_file_without_network_is_an_error(
    hub: Hub,
    files: dict[str, bytes],
    lock: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Offline, a damaged file cannot be mended, and must not be used."""
    hub.repo(REPO).push(files)
    lock_parents(CONFIG, lock, log=silent)
    blob_of("model.safetensors", hub).write_bytes(b"damaged")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for _ in ("with the lock", "without"):
        with pytest.raises(ParentError, match=r"model\.safetensors` is damaged"):
            lock_parents(CONFIG, lock, log=silent)
        lock.unlink(missing_ok=True)


@pytest.mark.parametrize("locked_before", [True, False])
def test_a_filled_cache_serves_without_network(
    hub: Hub,
    files: dict[str, bytes],
    lock: Path,
    monkeypatch: pytest.MonkeyPatch,
    locked_before: bool,
) -> None:
    """A compute node needs no internet, whether a lock exists or not."""
    hub.repo(REPO).push(files)
    before = lock_parents(CONFIG, lock, log=silent)
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    if not locked_before:
        lock.unlink()
    assert lock_parents(CONFIG, lock, log=silent) == before
    assert hub.requests == []


def test_an_unreachable_hub_is_the_same_as_offline(
    hub: Hub, files: dict[str, bytes], lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No HF_HUB_OFFLINE, but nobody listens: the cache serves."""
    hub.repo(REPO).push(files)
    before = lock_parents(CONFIG, lock, log=silent)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert lock_parents(CONFIG, lock, log=silent) == before


@pytest.mark.parametrize("refused", [True, False])
def test_an_address_where_nobody_answers_is_asked_once_and_briefly(
    monkeypatch: pytest.MonkeyPatch, hub: Hub, refused: bool
) -> None:
    """Refused, or silent for ever: one attempt for all parents, and the client is not let loose."""
    attempts: list[tuple[str, int]] = []
    released = Event()

    def nobody(address: tuple[str, int], timeout: float) -> None:
        assert timeout <= 5
        attempts.append(address)
        if not refused:
            released.wait(30)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("tsugiki.parents.hub.create_connection", nobody)
    monkeypatch.setattr("tsugiki.parents.hub.PATIENCE", 0.1)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{1 + refused}")
    config = run_of({name: {"hub": f"x/{name}"} for name in ("a", "b", "c")})
    faults = preflight(config).faults
    released.set()
    assert len(faults) == 3
    assert len(attempts) == 1
    why = "Connection refused" if refused else "no answer within 0.1 seconds"
    assert all(why in str(fault) for fault in faults)
    assert hub.requests == []


def test_a_hub_behind_a_proxy_is_not_looked_for_itself(
    hub: Hub, files: dict[str, bytes], lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own address cannot be reached there, and need not be."""
    hub.repo(REPO).push(files)
    monkeypatch.setattr("tsugiki.parents.hub.getproxies", lambda: {"http": "http://proxy"})
    monkeypatch.setattr("tsugiki.parents.hub.proxy_bypass", lambda _host: False)
    monkeypatch.setattr("tsugiki.parents.hub.create_connection", None)
    assert lock_parents(CONFIG, lock, log=silent)


def test_offline_with_an_empty_cache_says_to_fetch_elsewhere(
    hub: Hub, files: dict[str, bytes], lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One clear error, and no lock."""
    hub.repo(REPO).push(files)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ParentError, match="node with internet"):
        lock_parents(CONFIG, lock, log=silent)
    assert not lock.exists()


def test_a_fault_of_the_hub_is_not_taken_for_a_missing_repository(
    hub: Hub, files: dict[str, bytes], lock: Path
) -> None:
    """503 with a filled cache goes on; the repository is not called missing."""
    hub.repo(REPO).push(files)
    before = lock_parents(CONFIG, lock, log=silent)
    hub.repo(REPO).refusal = (503, "")
    assert lock_parents(CONFIG, lock, log=silent) == before
    lock.unlink()
    assert lock_parents(CONFIG, lock, log=silent) == before


def test_a_repository_that_vanished_after_locking_is_served_from_the_cache(
    hub: Hub, files: dict[str, bytes], lock: Path
) -> None:
    """What is locked and cached outlives its repository."""
    hub.repo(REPO).push(files)
    before = lock_parents(CONFIG, lock, log=silent)
    del hub.repos[REPO]
    assert lock_parents(CONFIG, lock, log=silent) == before


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        ((403, "GatedRepo"), "gated"),
        ((401, "RepoNotFound"), "no repository `someone/model`, or it is private"),
        ((404, "RepoNotFound"), "no repository `someone/model`, or it is private"),
        ((403, ""), "does not let you read"),
    ],
)
def test_a_refusal_is_one_clear_error(
    hub: Hub, files: dict[str, bytes], lock: Path, refusal: tuple[int, str], words: str
) -> None:
    """Gated, missing and private repositories are told apart, with the way out."""
    hub.repo(REPO).push(files)
    hub.repo(REPO).refusal = refusal
    with pytest.raises(ParentError, match=words) as caught:
        lock_parents(CONFIG, lock, log=silent)
    assert caught.value.fix
    assert not lock.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_cache_that_cannot_be_written_is_a_fault_of_the_machine(
    hub: Hub,
    files: dict[str, bytes],
    lock: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    """A full disk is to be retried elsewhere; the message says how to move the cache."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), "blobs/x")

    hub.repo(REPO).push(files)
    monkeypatch.setattr("tsugiki.parents.hub.snapshot_download", fail)
    with pytest.raises(InfrastructureError, match="HF_HOME") as caught:
        lock_parents(CONFIG, lock, log=silent)
    assert os.strerror(number) in str(caught.value)
    assert not lock.exists()


def test_an_unknown_revision_is_named(hub: Hub, files: dict[str, bytes], lock: Path) -> None:
    """A misspelt branch is not replaced by another."""
    hub.repo(REPO).push(files)
    with pytest.raises(ParentError, match="no revision `mian`"):
        lock_parents(run_of({"one": {"hub": REPO, "revision": "mian"}}), lock, log=silent)


def test_a_repository_of_pickles_is_refused_before_any_download(
    hub: Hub, files: dict[str, bytes], lock: Path
) -> None:
    """The error names the file and the conversion."""
    del files["model.safetensors"]
    hub.repo(REPO).push(files | {"pytorch_model.bin": b"pickle"})
    with pytest.raises(ParentError, match=r"pytorch_model\.bin") as caught:
        lock_parents(CONFIG, lock, log=silent)
    assert "save_pretrained" in str(caught.value)
    assert not [request for request in hub.requests if "/resolve/" in request]


def test_one_repository_under_two_names_is_one_model(
    hub: Hub, files: dict[str, bytes], lock: Path
) -> None:
    """Both names get the same digest, and the weights are fetched once."""
    hub.repo(REPO).push(files)
    config = run_of({"one": {"hub": REPO}, "two": {"hub": REPO}})
    locked = lock_parents(config, lock, log=silent)
    assert locked.digests["one"] == locked.digests["two"]
    large = sum(is_large(name) for name in files)
    assert len([request for request in hub.requests if "GET /cdn/" in request]) == large


def test_locate_finds_the_snapshot_without_network(
    hub: Hub, files: dict[str, bytes], lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder holds the locked commit's files."""
    hub.repo(REPO).push(files)
    locked = lock_parents(CONFIG, lock, log=silent)
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = locate(CONFIG, locked)["one"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert hub.requests == []


@pytest.mark.parametrize("damage", ["remove", "truncate", "remove all"])
def test_locate_refuses_what_is_not_there(
    hub: Hub, files: dict[str, bytes], lock: Path, damage: str
) -> None:
    """A missing or truncated file is named before a merge begins."""
    hub.repo(REPO).push(files)
    locked = lock_parents(CONFIG, lock, log=silent)
    blob = blob_of("model.safetensors", hub)
    if damage == "truncate":
        blob.write_bytes(files["model.safetensors"][:-40])
    elif damage == "remove":
        blob.unlink()
    else:
        for name in files:
            blob_of(name, hub).unlink()
    with pytest.raises((ParentError, LineageError), match="`one`"):
        locate(CONFIG, locked)


def test_locate_refuses_other_bytes_of_the_same_size(
    hub: Hub, files: dict[str, bytes], lock: Path
) -> None:
    """In the cache, too; fetching the parents mends it."""
    hub.repo(REPO).push(files)
    locked = lock_parents(CONFIG, lock, log=silent)
    blob = blob_of("model.safetensors", hub)
    content = bytearray(files["model.safetensors"])
    content[-1] ^= 1
    blob.write_bytes(content)
    with pytest.raises(LineageError, match=r"parent `one`.*model\.safetensors") as caught:
        locate(CONFIG, locked)
    assert caught.value.fix == "run `tsugiki parents`, which fetches damaged files again"
    locate(CONFIG, lock_parents(CONFIG, lock, log=silent))


def test_locate_refuses_a_parent_that_is_not_locked(
    hub: Hub, files: dict[str, bytes], lock: Path
) -> None:
    """A parent added to the configuration after locking is named."""
    hub.repo(REPO).push(files)
    locked = lock_parents(CONFIG, lock, log=silent)
    with pytest.raises(LineageError, match="`two` is not locked"):
        locate(run_of({"one": {"hub": REPO}, "two": {"hub": REPO}}), locked)


def test_the_environment_points_the_client_at_a_hub(
    hub: Hub, files: dict[str, bytes], lock: Path, tmp_path: Path
) -> None:
    """A process of its own, set up by HF_ENDPOINT and HF_HUB_OFFLINE alone, as on a cluster."""
    commit = hub.repo(REPO).push(files)
    config = tmp_path / "config.json"
    config.write_text(CONFIG.model_dump_json())
    script = (
        "import sys; from pathlib import Path; from tsugiki.config.run import RunConfig; "
        "from tsugiki.parents.resolve import lock_parents; "
        "run = RunConfig.model_validate_json(Path(sys.argv[1]).read_bytes()); "
        "print(lock_parents(run, Path(sys.argv[2]), log=lambda line: None)"
        ".parents['one'].commit)"
    )
    environment = {
        **os.environ,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    environment.pop("HF_HUB_CACHE", None)
    command = [sys.executable, "-c", script, str(config), str(lock)]
    for change in ({"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0"}, {"HF_HUB_OFFLINE": "1"}):
        done = subprocess.run(
            command, env=environment | change, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [commit]
        lock.unlink()


def test_a_locked_run_checks_its_parents_without_the_hub(hub: Hub, tmp_path: Path) -> None:
    """Even if the repository is gone: the lock and the cache suffice."""
    for seed, name in enumerate("ab"):
        hub.repo(f"x/{name}").push(read_folder(write_llama(tmp_path / name, seed=seed)))
    config = run_of({name: {"hub": f"x/{name}"} for name in "ab"})
    files = RunFiles(tmp_path / "run")
    write_parents(files, config, update=frozenset(), log=silent)
    for name in "ab":
        hub.repo(f"x/{name}").refusal = (404, "RepoNotFound")
    write_parents(files, config, update=frozenset(), log=silent)
