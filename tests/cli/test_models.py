"""``models`` and ``cal-model-mem``: what can be launched, and what it needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.client.scripted_server import ScriptedServer
from xinfer.tiny_chat import model_path

Run = Callable[..., Result]
GIB = 1024**3


def names(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [line.split()[0] for line in result.stdout.splitlines()[1:]]


def shown(run: Run, *words: str) -> Any:
    result = run("models", *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def needs(run: Run, *words: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    keys = ("model_size_in_billions", "model_format", "quantization")
    return {tuple(each[key] for key in keys): each for each in shown(run, *words)[0]["memory"]}


def test_words_search_names_and_descriptions(run: Run) -> None:
    everything = names(run("models"))
    assert {"tiny-chat", "qwen3", "gpt-oss"} <= set(everything)
    coders = names(run("models", "coder"))
    assert "Qwen3-Coder" in coders
    assert set(coders) < set(everything)
    assert all("coder" in name.lower() for name in coders[:2]), "what has it in its name comes first"
    assert names(run("models", "--search", "CODER")) == coders
    assert names(run("models", "coder", "qwen3")) == names(run("models", "--search", "qwen3 coder"))
    assert "qwen3" in names(run("models", "--search", "qwen3"))


def test_abilities_narrow_it(run: Run) -> None:
    able = names(run("models", "--ability", "tools", "--search", "coder"))
    assert "Qwen3-Coder" in able
    assert all("tools" in family["abilities"] for family in shown(run, "--ability", "tools", "--search", "coder"))
    assert "no model" in run("models", "--ability", "flying").stdout.lower()


def test_words_that_nothing_has_are_an_error_with_what_is_near(run: Run) -> None:
    result = run("models", "tiny-chad")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Did you mean tiny-chat " in result.stderr


def test_a_family_with_the_memory_of_each_model(run: Run) -> None:
    result = run("models", "QWEN3", "--gpu-memory", "24")
    rows = {tuple(line.split()[:3]): line.split()[3:] for line in result.stdout.splitlines() if "Qwen/" in line}
    assert rows["8", "pytorch", "none"] == ["19.9", "1", "Qwen/Qwen3-8B"]
    assert rows["32", "pytorch", "none"][1] == "4"
    assert "1 sequence of 32768 tokens" in result.stdout
    assert "with 24 GiB each (--gpu-memory)" in result.stdout
    assert "xinfer launch qwen3" in result.stdout


def test_context_sequences_and_json(run: Run) -> None:
    eight = "8", "pytorch", "none"
    usual = needs(run, "qwen3", "--gpu-memory", "24")[eight]
    assert (usual["tokens"], usual["kv_cache_gib"], usual["n_gpu"], usual["not_counted"]) == (32768, 4.5, 1, [])
    assert usual["memory_gib"] == pytest.approx(usual["weights_gib"] + 4.5 + 0.5, abs=0.02)
    short = needs(run, "qwen3", "--gpu-memory", "24", "--context-length", "8192", "--sequences", "4")[eight]
    assert (short["tokens"], short["kv_cache_gib"]) == (8192, 4.5)
    longest = needs(run, "qwen3", "--gpu-memory", "24", "--context-length", "1000000")[eight]
    assert longest["tokens"] == 40960, "the model takes no more"


def test_a_model_that_is_here_is_measured(run: Run) -> None:
    (tiny,) = needs(run, "tiny-chat").values()
    assert tiny["measured"] is True
    assert tiny["weights_gib"] == round((model_path() / "model.safetensors").stat().st_size / GIB, 2)


def test_gpus_are_the_cluster_s_if_it_tells(run: Run, server: ScriptedServer) -> None:
    head = {"node_type": "Supervisor", "gpu_count": 0, "gpu_vram_total": 640 * GIB}
    nodes = [{"gpu_count": 8, "gpu_vram_total": 640 * GIB}, {"gpu_count": 2, "gpu_vram_total": 48 * GIB}]
    server.reply("GET", "/v1/cluster/info", [head, *nodes])
    told = shown(run, "qwen3")[0]
    assert (told["gpu_memory_gib"], told["gpu_memory_source"]) == (24, "the cluster's")
    assert needs(run, "qwen3")["32", "pytorch", "none"]["n_gpu"] == 4
    assert shown(run, "qwen3", "--gpu-memory", "80")[0]["gpu_memory_gib"] == 80


@pytest.mark.parametrize("nodes", [[], [{"gpu_count": 2}], [{"gpu_count": 2, "gpu_vram_total": 0}]])
def test_gpus_are_assumed_if_the_cluster_does_not_tell(run: Run, server: ScriptedServer, nodes: list[Any]) -> None:
    server.reply("GET", "/v1/cluster/info", nodes)
    assert "with 80 GiB each (assumed, as the cluster's is not known" in run("models", "qwen3").stdout


def test_no_server_is_needed(run: Run, server: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINFER_ENDPOINT", "http://127.0.0.1:9")
    assert "with 80 GiB each (assumed, as there is no server" in run("models", "gpt-oss").stdout
    assert "tiny-chat" in names(run("models"))


def test_a_folder_shows_what_its_files_tell(run: Run, tmp_path: Path) -> None:
    told = shown(run, str(model_path()))
    assert told["abilities"] == ["chat", "generate", "tools", "reasoning", "hybrid"]
    assert (told["thinking"], told["tool_parser"], told["context_length"]) == ("switch", "hermes", 4096)
    assert "Qwen3ForCausalLM" in run("models", str(model_path())).stdout
    missing = run("models", str(tmp_path / "nowhere"))
    assert (missing.exit_code, "no such folder" in missing.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-n", "qwen3", "-s", "8", "-f", "pytorch", "-c", "32768"), (15259, 4608)),
        (
            ("-n", "qwen3", "-s", "8", "-f", "pytorch", "-q", "none", "-c", "32768", "--kv-cache-dtype", "8"),
            (15259, 2304),
        ),
        (("-s", "1_8", "-f", "pytorch", "-c", "4096"), (3433, 0)),
    ],
)
def test_cal_model_mem(run: Run, words: tuple[str, ...], expected: tuple[int, int]) -> None:
    told = json.loads(run("cal-model-mem", *words, "--json").stdout)
    assert (told["model_mem"], told["kv_cache"]) == expected
    assert told["total"] == pytest.approx(sum(expected) + told["overhead"], abs=2)
    assert bool(told["not_counted"]) is (expected[1] == 0)
    assert f"  total: {told['total']} MB" in run("cal-model-mem", *words).stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-n", "qwen3", "-s", "7", "-f", "pytorch", "-c", "9"), 1),
        (("-s", "big", "-f", "pytorch", "-c", "9"), 2),
        (("-n", "qwen3"), 2),
    ],
)
def test_cal_model_mem_of_nothing(run: Run, words: tuple[str, ...], code: int) -> None:
    assert run("cal-model-mem", *words).exit_code == code
