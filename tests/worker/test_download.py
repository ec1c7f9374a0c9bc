"""The download of a model's files: the real huggingface_hub in a process of its own, against a small hub."""

from __future__ import annotations

import ast
import asyncio
import errno
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from supervisor.nodes.prefetches import Prefetches
from tests.conftest import ROOT
from tests.hub import Hub, Refusal, commit_of, serving
from tests.waiting import wait_for
from worker.download import Source, fetch, needs_download
from worker.download.cache import cache_folder
from worker.download.files import INDEX, NEVER_SMALL, small_files, weight_files
from worker.download.prefetch import prefetch
from worker.download.process import Rate
from worker.download.sentences import sentence
from xinfer.cluster.ports import free_port
from xinfer.errors import LaunchFailed
from xinfer.messages import DownloadState, ModelSpec, Prefetch, Prefetched
from xinfer.settings import EngineSettings

# Starts vLLM for each kind of source, or loads from a slow line.
heavy = pytest.mark.heavy

SIZE = 3_000_000
WEIGHTS = "model.safetensors"
SOURCE = Source("owner/model")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository with one big file."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": []}')
    (folder / "pytorch_model.bin").write_bytes(b"not to be downloaded")
    (folder / WEIGHTS).write_bytes(os.urandom(SIZE))
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[Hub]:
    """A hub that serves it as fast as it goes."""
    with serving(Hub(folder)) as server:
        yield server


@pytest.fixture
def env(server: Hub, tmp_path: Path) -> dict[str, str]:
    """The environment of a launch that uses the hub."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return {**inherited, "HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path / "home")}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where warnings of the hub's library go."""
    return tmp_path / "log"


async def download(source: Source, env: dict[str, str], log: Path) -> list[DownloadState]:
    return [state async for state in fetch(source, env, log)]


def cached(env: dict[str, str], repo: str = SOURCE.repo) -> Path:
    return cache_folder(env) / f"models--{repo.replace('/', '--')}"


def snapshot(env: dict[str, str], folder: Path) -> Path:
    return cached(env) / "snapshots" / commit_of(folder)


def partials(env: dict[str, str]) -> list[Path]:
    return list((cached(env) / "blobs").glob("*.incomplete"))


def words_in(log: Path) -> str:
    return log.read_text()


def downloads_of(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children(recursive=True) if _downloads(child)]


def _downloads(process: psutil.Process) -> bool:
    try:
        return "worker.download.process" in process.cmdline()
    except psutil.Error:  # it has just ended
        return False


@heavy
async def test_progress_grows_to_the_total_at_the_pace_of_the_line(
    server: Hub, env: dict[str, str], log: Path, folder: Path
) -> None:
    server.rate_bytes_per_s = 2_000_000
    states = await download(SOURCE, env, log)
    assert (snapshot(env, folder) / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    assert sorted(set(server.files_fetched)) == ["config.json", WEIGHTS]

    total = SIZE + (folder / "config.json").stat().st_size
    done = [state.bytes_done for state in states]
    assert {state.bytes_total for state in states} == {total}
    assert done == sorted(done)
    assert done[-1] == total
    assert len({size for size in done if size < SIZE}) >= 3
    assert states[0].bytes_per_s == 0
    assert 1_200_000 < states[-1].bytes_per_s < 2_800_000
    assert (states[-1].files_done, states[-1].files_total) == (2, 2)
    assert words_in(log) == ""


async def test_a_line_that_breaks_is_taken_up_where_it_broke(
    server: Hub, env: dict[str, str], log: Path, folder: Path
) -> None:
    server.breaks_after_bytes = [2_000_000]
    states = await download(SOURCE, env, log)
    assert server.files_fetched.count(WEIGHTS) == 2
    assert states[-1].bytes_done == states[-1].bytes_total
    assert (snapshot(env, folder) / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    done = [state.bytes_done for state in states]
    assert any(1_500_000 < size <= 2_100_000 for size in done), "what came before the break was thrown away"
    assert done == sorted(done)
    assert "Trying to resume download" in words_in(log)


@heavy
async def test_a_line_that_stays_broken_is_given_up(server: Hub, env: dict[str, str], log: Path) -> None:
    server.breaks_after_bytes = [0] * 50
    with pytest.raises(LaunchFailed, match=r"^The download couldn't connect to http://127\S+ RemoteProtocolError: .+"):
        await download(SOURCE, env, log)
    assert not partials(env)


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        ("missing", r"Repository Not Found for url: \S+/owner/model\S* Check the model's id; if it is private,"),
        ("gated", r"^owner/model is a gated repo: 403 .+ Accept its licence on the hub and launch with --env HF_TOKEN"),
        ("forbidden", r"403 Forbidden: Forbidden.+ Make sure your token has the correct permissions"),
        ("broken", r"^HfHubHTTPError: Server error '500 Internal Server Error' for url '\S+' Internal error$"),
    ],
)
async def test_refusals_are_one_line_that_says_what_to_do(
    refusal: Refusal, expected: str, server: Hub, env: dict[str, str], log: Path
) -> None:
    server.refusals["owner/model"] = refusal
    with pytest.raises(LaunchFailed, match=expected) as failure:
        await download(SOURCE, env, log)
    assert "\n" not in failure.value.message
    assert not downloads_of(os.getpid())


async def test_no_hub(env: dict[str, str], log: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    with pytest.raises(LaunchFailed, match=f"^The download couldn't connect to {nobody}: ConnectError: .+--model-path"):
        await download(SOURCE, {**env, "HF_ENDPOINT": nobody}, log)


def test_full_disk() -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    words = sentence(error, Source("owner/model", download_dir="/weights"))
    assert words.startswith("The disk of /weights is full: [Errno 28] No space left on device. Free some")


async def test_a_process_that_is_killed_is_a_failure(server: Hub, env: dict[str, str], log: Path) -> None:
    server.rate_bytes_per_s = 500_000
    states = fetch(SOURCE, env, log)
    await anext(states)
    downloads_of(os.getpid())[0].kill()
    with pytest.raises(LaunchFailed, match="ended with exit code -9"):
        [state async for state in states]


@pytest.mark.parametrize("way", ["cancel", "close"])
async def test_cancellation_leaves_no_process_and_no_half_a_file(
    way: str, server: Hub, env: dict[str, str], log: Path
) -> None:
    server.rate_bytes_per_s = 500_000
    states = fetch(SOURCE, env, log)
    async for state in states:
        if state.bytes_done > 200_000:
            break
    assert len(partials(env)) == 1
    [process] = downloads_of(os.getpid())
    if way == "close":
        await states.aclose()
    else:
        task = asyncio.ensure_future(anext(states))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not process.is_running()
    assert not partials(env)


def test_kill_of_the_parent_ends_it(server: Hub, env: dict[str, str], tmp_path: Path) -> None:
    server.rate_bytes_per_s = 100_000
    script = """if True:
        import asyncio, os, sys
        from pathlib import Path
        from worker.download import Source, fetch
        async def main():
            async for state in fetch(Source("owner/model"), dict(os.environ), Path(sys.argv[1])):
                print(state.bytes_done, flush=True)
        asyncio.run(main())
    """
    argv = [sys.executable, "-c", script, str(tmp_path / "log")]
    with subprocess.Popen(argv, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) < SIZE
        [child] = downloads_of(parent.pid)
        parent.send_signal(signal.SIGKILL)
    wait_for(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 5, "the child's end")


async def test_what_a_killed_download_left_is_neither_counted_nor_kept(
    server: Hub, env: dict[str, str], log: Path
) -> None:
    server.rate_bytes_per_s = 2_000_000
    states = fetch(SOURCE, env, log)
    async for state in states:
        if state.bytes_done > 500_000:
            downloads_of(os.getpid())[0].kill()
            break
    await states.aclose()
    assert len(partials(env)) == 1
    again = await download(SOURCE, env, log)
    assert again[0].bytes_done < 500_000
    assert again[-1].bytes_done == again[-1].bytes_total
    assert not partials(env)


async def test_what_is_here_counts_as_done(server: Hub, env: dict[str, str], log: Path, folder: Path) -> None:
    await download(SOURCE, env, log)
    (folder / "generation_config.json").write_text("{}")  # another commit, the same weights
    states = await download(SOURCE, env, log)
    assert states[0].bytes_done >= SIZE
    assert server.files_fetched.count(WEIGHTS) == 1
    assert server.files_fetched.count("generation_config.json") == 1


@heavy
async def test_two_downloads_of_one_model_share_the_work(server: Hub, env: dict[str, str], log: Path) -> None:
    server.rate_bytes_per_s = 1_500_000
    both = await asyncio.gather(download(SOURCE, env, log), download(SOURCE, env, log))
    assert server.files_fetched.count(WEIGHTS) == 1
    for states in both:
        done = [state.bytes_done for state in states]
        assert done[-1] == states[-1].bytes_total
        assert len({size for size in done if 100 < size < SIZE}) >= 3, "the one that waits shows no progress"


@heavy
async def test_a_download_that_waits_goes_on_when_the_first_is_cancelled(
    server: Hub, env: dict[str, str], log: Path, folder: Path
) -> None:
    server.rate_bytes_per_s = 2_000_000
    first = fetch(SOURCE, env, log)
    async for state in first:
        if state.bytes_done > 500_000:
            break
    second = fetch(SOURCE, env, log)
    assert (await anext(second)).bytes_done > 500_000
    await first.aclose()
    states = [state async for state in second]
    assert states[-1].bytes_done == states[-1].bytes_total
    assert min(state.bytes_per_s for state in states) >= 0
    assert (snapshot(env, folder) / WEIGHTS).read_bytes() == (folder / WEIGHTS).read_bytes()
    assert not partials(env)


async def test_revisions(server: Hub, env: dict[str, str], log: Path, folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "config.json").write_text('{"old": true}')
    (old / WEIGHTS).write_bytes(b"old weights")
    server.revisions["v1"] = old
    for revision in ("v1", commit_of(old)):
        source = Source("owner/model", revision)
        assert needs_download(source, env) == (revision == "v1")
        states = await download(source, env, log)
        assert states[-1].bytes_done == states[-1].bytes_total == len('{"old": true}' + "old weights")
        assert not needs_download(source, env)
    assert (snapshot(env, old) / WEIGHTS).read_bytes() == b"old weights"
    assert needs_download(SOURCE, env), "the main branch is another one"
    with pytest.raises(LaunchFailed, match="owner/model has no revision v2: 404"):
        await download(Source("owner/model", "v2"), env, log)


async def test_weights_in_a_cache_of_their_own(
    server: Hub, env: dict[str, str], log: Path, folder: Path, tmp_path: Path
) -> None:
    (folder / INDEX).write_text(json.dumps({"weight_map": {"a": WEIGHTS}}))
    source = Source("owner/model", download_dir=str(tmp_path / "weights"))
    await download(source, env, log)
    assert not needs_download(source, env)
    assert not (snapshot(env, folder) / WEIGHTS).exists()
    there = tmp_path / "weights" / "models--owner--model" / "snapshots" / commit_of(folder)
    assert {path.name for path in there.iterdir()} == {WEIGHTS, INDEX}
    assert needs_download(SOURCE, env)


async def test_what_is_in_the_cache_needs_no_download(
    server: Hub, env: dict[str, str], log: Path, folder: Path
) -> None:
    assert needs_download(SOURCE, env)
    await download(SOURCE, env, log)
    asked = len(server.requests)
    assert not needs_download(SOURCE, env)
    assert not needs_download(Source("owner/model", "main"), env)
    assert len(server.requests) == asked
    assert needs_download(Source("owner/other"), env)
    assert needs_download(Source("owner/model", "v1"), env)
    assert needs_download(Source("owner/model", load_format="npcache"), env), "other weights than those that are here"
    assert not needs_download(Source("owner/model", load_format="dummy"), env)
    (snapshot(env, folder) / WEIGHTS).unlink()
    assert needs_download(SOURCE, env)
    assert not needs_download(Source("owner/model", load_format="dummy"), env)


async def test_a_cache_without_a_listing_is_good_enough_without_a_hub(
    server: Hub, env: dict[str, str], log: Path
) -> None:
    await download(SOURCE, env, log)
    for tree in (cached(env) / "trees").iterdir():
        tree.unlink()
    assert needs_download(SOURCE, env)
    away = {**env, "HF_ENDPOINT": f"http://127.0.0.1:{free_port('127.0.0.1')}"}
    assert await download(SOURCE, away, log) == []


@pytest.mark.parametrize("path", ["/models/qwen", "./qwen", "a/b/c", "s3://bucket/x", "owner/model:Q4_K_M", "a--b", ""])
def test_what_is_no_hub_id_needs_no_download(path: str, env: dict[str, str]) -> None:
    assert not needs_download(Source(path), env)


def test_folders_and_offline_need_no_download(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert needs_download(Source("qwen"), env)
    assert not needs_download(Source("qwen"), {**env, "HF_HUB_OFFLINE": "1"})
    assert not needs_download(Source("qwen"), {**env, "TRANSFORMERS_OFFLINE": "true"})
    assert not needs_download(Source("qwen"), {**env, "VLLM_USE_MODELSCOPE": "True"})
    assert needs_download(Source("qwen"), {**env, "HF_HUB_OFFLINE": "0"})
    (tmp_path / "qwen").mkdir()
    monkeypatch.chdir(tmp_path)
    assert not needs_download(Source("qwen"), env)
    assert not needs_download(Source(str(tmp_path / "qwen")), env)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"HOME": "/root"}, "/root/.cache/huggingface/hub"),
        ({"HOME": "/root", "XDG_CACHE_HOME": "/xdg"}, "/xdg/huggingface/hub"),
        ({"HF_HOME": "/hf", "XDG_CACHE_HOME": "/xdg"}, "/hf/hub"),
        ({"HOME": "/root", "HF_HOME": "~/hf"}, "/root/hf/hub"),
        ({"HF_HOME": "$DATA/hf", "DATA": "/data"}, "/data/hf/hub"),
        ({"HF_HOME": "/hf", "HUGGINGFACE_HUB_CACHE": "/old"}, "/old"),
        ({"HF_HUB_CACHE": "/new", "HUGGINGFACE_HUB_CACHE": "/old"}, "/new"),
    ],
)
def test_cache_folder_is_huggingface_hubs_own(env: dict[str, str], expected: str) -> None:
    assert str(cache_folder(env)) == expected
    script = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    own = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert own.stdout.strip() == expected


def test_source_of_a_spec() -> None:
    plain = ModelSpec(uid="m", name="m", path="owner/model", revision="v1")
    assert Source.of(plain) == Source("owner/model", "v1", "auto", None, ("original/**/*",))
    args = {"load_format": "DUMMY", "download_dir": "/weights", "ignore_patterns": "*.pt"}
    given = Source.of(ModelSpec(uid="m", name="m", path="owner/model", engine_args=args))
    assert given == Source("owner/model", None, "dummy", "/weights", ("*.pt",))
    assert Source.from_json(given.to_json()) == given


SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]


@pytest.mark.parametrize(
    ("names", "load_format", "expected"),
    [
        (["model.safetensors", "pytorch_model.bin", "x.pt"], "auto", ["model.safetensors"]),
        (["pytorch_model.bin", "tf_model.h5", "flax_model.msgpack", "x.pt"], "auto", ["pytorch_model.bin"]),
        (["x.pt", "x.gguf", "onnx/model.onnx"], "auto", ["x.pt"]),
        ([*SHARDS, INDEX, "extra.safetensors", "vae/x.safetensors"], "auto", SHARDS),
        (["model.safetensors", "vae/x.safetensors"], "auto", ["model.safetensors", "vae/x.safetensors"]),
        (["model.safetensors", "original/deep/x.safetensors"], "auto", ["model.safetensors"]),
        ([*SHARDS, "original/consolidated.00.pth"], "auto", SHARDS),
        ([*SHARDS, "consolidated.safetensors"], "auto", ["consolidated.safetensors"]),  # as vLLM does
        ([*SHARDS, "consolidated.safetensors"], "hf", [*SHARDS, "consolidated.safetensors"]),
        ([*SHARDS, INDEX, "consolidated.safetensors"], "hf", SHARDS),
        (["model.safetensors", "pytorch_model.bin"], "npcache", ["pytorch_model.bin"]),
        (["model.safetensors", "pytorch_model.bin"], "pt", []),
        (["model.safetensors"], "dummy", []),
        (["model.safetensors"], "runai_streamer", []),
        (["a/model.safetensors", "b/x.bin"], "auto", ["a/model.safetensors", "b/x.bin"]),
    ],
)
def test_choice_of_weights(names: list[str], load_format: str, expected: list[str]) -> None:
    indexed = set(SHARDS) if INDEX in names else set()
    assert weight_files(names, indexed, load_format, ("original/**/*",)) == expected


def test_choice_of_small_files() -> None:
    small = ["config.json", "tokenizer.json", "chat_template.jinja", "merges.txt", "spiece.model", "modeling_x.py"]
    others = ["model.safetensors", "x.bin", "x.gguf", "onnx/model.onnx", "tf_model.h5", "logo.png", "data.tar.gz"]
    assert small_files([*others, *small, "additional_chat_templates/rag.jinja"]) == [
        *small,
        "additional_chat_templates/rag.jinja",
    ]


def test_small_files_are_vllms() -> None:
    found = importlib.util.find_spec("vllm")
    assert found is not None
    assert found.submodule_search_locations
    text = Path(found.submodule_search_locations[0], "transformers_utils", "repo_utils.py").read_text()
    names = "_WEIGHT_FILE_PATTERNS"
    [value] = [
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == names
    ]
    assert sorted(ast.literal_eval(value)) == sorted(NEVER_SMALL)


@heavy
@pytest.mark.engine
@pytest.mark.parametrize("load", ["revision and download_dir", "mistral"])
async def test_vllm_downloads_nothing_more(
    load: str, server: Hub, env: dict[str, str], log: Path, folder: Path, tmp_path: Path
) -> None:
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("{{ messages }}")
    (folder / "README.md").write_text("A model.")
    if load == "mistral":
        (folder / "consolidated.safetensors").write_bytes(b"weights")
    else:
        (folder / "a.safetensors").write_bytes(b"weights")
        (folder / INDEX).write_text(json.dumps({"weight_map": {"a": "a.safetensors"}}))
    source = Source("owner/model")
    if load == "revision and download_dir":
        source = Source("owner/model", "main", download_dir=str(tmp_path / "weights"))
    await download(source, env, log)
    before = len(server.files_fetched)
    script = """if True:
        import sys
        from vllm.config.load import LoadConfig
        from vllm.model_executor.model_loader.default_loader import DefaultModelLoader
        from vllm.transformers_utils.repo_utils import get_non_weight_snapshot_path, resolve_revision
        model, revision, folder = (word or None for word in sys.argv[1:])
        revision = resolve_revision(model, revision)
        get_non_weight_snapshot_path(model, revision)
        loader = DefaultModelLoader(LoadConfig(download_dir=folder))
        print(*loader._prepare_weights(model, None, revision, True, None)[1])
    """
    words = (source.repo, source.revision or "", source.download_dir or "")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    weights = [Path(word) for word in output.decode().splitlines()[-1].split()]
    assert weights
    assert all(path.is_file() for path in weights)
    assert server.files_fetched[before:] == []


async def test_prefetch_in_a_process_of_its_own(server: Hub, env: dict[str, str], log: Path, folder: Path) -> None:
    """As a node's agent has it: with the launch's own environment, and once only."""
    own = {
        "HF_ENDPOINT": server.endpoint,
        "HF_HOME": env["HF_HOME"],
        "HF_HUB_OFFLINE": "0",
        "TRANSFORMERS_OFFLINE": "0",
    }
    asked = Prefetch(ModelSpec("m", "m", SOURCE.repo, env=own), EngineSettings(), str(log))
    prefetches = Prefetches()
    first, second = await asyncio.gather(prefetches.run(asked), prefetches.run(asked))
    assert first.error == ""
    assert first.fetched_bytes == SIZE + (folder / "config.json").stat().st_size
    assert (snapshot(env, folder) / WEIGHTS).exists()
    assert second == Prefetched()

    server.refusals["owner/other"] = "missing"
    refused = await prefetches.run(replace(asked, spec=replace(asked.spec, path="owner/other")))
    assert "owner/other" in refused.error


async def test_prefetch_leaves_room_on_the_disk(
    server: Hub, env: dict[str, str], log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {name: env[name] for name in ("HF_ENDPOINT", "HF_HOME")}
    asked = Prefetch(ModelSpec("m", "m", SOURCE.repo, env=own), EngineSettings(), str(log))
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    disk = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk._replace(total=100_000_000, free=10_000_000))
    # Sizes are known once the download has begun.
    server.rate_bytes_per_s = 500_000
    refused = await prefetch(asked, log)
    assert "only 0.0 GB are free" in refused.error
    assert refused.fetched_bytes == 0
    assert not list(cached(env).glob(f"snapshots/*/{WEIGHTS}"))


def test_rate() -> None:
    rate = Rate(window_s=5)
    assert rate.add(0, 1000) == 0  # what was there before does not count
    assert rate.add(1, 2000) == 1000
    assert [rate.add(at, 2000 + 100 * (at - 1)) for at in range(2, 12)][-1] == 100
    assert rate.add(12, 0) == 0
    assert Rate().add(12, 5) == 0
