"""vLLM's command line and environment."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from worker.command import engine_argv, engine_env, flags
from worker.fake.command import fake_argv
from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings


def spec(**facts: Any) -> ModelSpec:
    return ModelSpec(**{"uid": "m", "name": "f", "path": "/models/m", **facts})


def options(model: ModelSpec) -> dict[str, str | None]:
    """The command line as names and values, however the two are joined."""
    argv = engine_argv(model, "127.0.0.1", 4711)
    assert argv[:3] == [sys.executable, "-m", "worker.engine_server"]
    found: dict[str, str | None] = {}
    for word in argv[3:]:
        if word.startswith("--"):
            name, joined, value = word.partition("=")
            assert name not in found
            found[name] = value if joined else None
        else:
            found[name] = word
    return found


def test_on_the_cpu() -> None:
    got = options(spec())
    assert (
        got.items()
        >= {
            "--model": "/models/m",
            "--served-model-name": "m",
            "--host": "127.0.0.1",
            "--port": "4711",
            "--middleware": "worker.middleware.ContractMiddleware",
        }.items()
    )
    unset = {"--tensor-parallel-size", "--gpu-memory-utilization", "--trust-remote-code", "--no-trust-remote-code"}
    unset |= {"--revision", "--max-model-len", "--quantization", "--reasoning-parser", "--tool-call-parser"}
    assert not unset & got.keys()
    assert "--enable-auto-tool-choice" not in got


@pytest.mark.parametrize(
    ("gpus", "parallel", "share"), [(1, None, None), (2, "2", None), (8.0, "8", None), (0.5, None, "0.46")]
)
def test_gpus(gpus: float, parallel: str | None, share: str | None) -> None:
    got = options(spec(gpus=gpus))
    assert (got.get("--tensor-parallel-size"), got.get("--gpu-memory-utilization")) == (parallel, share)


def test_facts_of_the_model() -> None:
    got = options(
        spec(
            revision="abc",
            context_length=2048,
            reasoning_parser="qwen3",
            tool_parser="hermes",
            trust_remote_code=True,
            format="bnb",
        )
    )
    assert (got["--revision"], got["--max-model-len"], got["--quantization"]) == ("abc", "2048", "bitsandbytes")
    assert (got["--reasoning-parser"], got["--tool-call-parser"]) == ("qwen3", "hermes")
    assert {"--trust-remote-code", "--enable-auto-tool-choice"} <= got.keys()


def test_arguments_of_the_launch_win() -> None:
    args = {"gpu_memory_utilization": 0.3, "max_model_len": 16, "tool_call_parser": None, "max_num_seqs": 4}
    got = options(spec(gpus=0.5, context_length=2048, tool_parser="hermes", engine_args=args))
    assert (got["--gpu-memory-utilization"], got["--max-model-len"], got["--max-num-seqs"]) == ("0.3", "16", "4")
    assert "--tool-call-parser" not in got


def test_flags_say_each_value_in_vllm_s_way() -> None:
    words = flags(
        {"a_b": True, "c": False, "d": None, "e": {"x": [1, None]}, "f": [1, "y"], "g": 0, "h": "-1", "i": ""}
    )
    text = " ".join(words).replace("=", " ").split(" --")
    assert text == ["--a-b", "no-c", 'e {"x": [1, null]}', 'f [1, "y"]', "g 0", "h -1", "i "]


def test_value_that_looks_like_a_flag_stays_a_value() -> None:
    """With a flag whose value may be left out, it would be taken as the next flag."""
    assert flags({"a": "--middleware=evil", "b": "-x"}) == ["--a=--middleware=evil", "--b=-x"]
    assert flags({"a": "x=--y"}) == ["--a", "x=--y"]


@pytest.fixture
def plain_env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("VLLM_CPU_KVCACHE_SPACE", "VLLM_CPU_OMP_THREADS_BIND", "VLLM_NO_USAGE_STATS", "A"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return monkeypatch


def test_environment_on_the_cpu_is_bounded(plain_env: pytest.MonkeyPatch) -> None:
    env = engine_env(spec(), EngineSettings(cpu_kv_cache_gib=0.5))
    assert (env["VLLM_CPU_KVCACHE_SPACE"], env["VLLM_NO_USAGE_STATS"]) == ("0.5", "1")
    assert int(env["OMP_NUM_THREADS"]) >= 1
    assert "PATH" in env


def test_environment_on_a_gpu_knows_nothing_of_the_cpu_s_cache(plain_env: pytest.MonkeyPatch) -> None:
    env = engine_env(spec(gpus=1), EngineSettings())
    assert "VLLM_CPU_KVCACHE_SPACE" not in env
    assert env.get("OMP_NUM_THREADS") != "1", "what Ray sets for itself is not for the engine"


def test_who_wins_in_the_environment(plain_env: pytest.MonkeyPatch) -> None:
    name = "VLLM_CPU_KVCACHE_SPACE"
    plain_env.setenv(name, "operator")
    assert engine_env(spec(), EngineSettings())[name] == "operator"
    settings = EngineSettings(extra_env={name: "settings", "A": "settings"})
    assert engine_env(spec(), settings)[name] == "settings"
    env = engine_env(spec(env={name: "launch"}), settings)
    assert (env[name], env["A"]) == ("launch", "settings")


def test_command_of_the_fake_engine() -> None:
    argv = fake_argv(spec(context_length=7, engine_args={"tokens": 2}), "127.0.0.1", 1)
    assert argv == [sys.executable, "-m", "worker.fake.server", "127.0.0.1", "1", "m", "7", '{"tokens": 2}']
