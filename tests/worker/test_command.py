"""vLLM's command line and environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from worker.command import engine_argv, engine_env, flags
from worker.engine_kind import fake_argv
from worker.memory import limits as bounds
from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec
from xinfer.settings import ENGINE_VARIABLES, RUST_FRONTEND, EngineSettings

DEFAULTS = EngineSettings()
UNIPROC = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
KV_CACHE_SPACE = "VLLM_CPU_KVCACHE_SPACE"


def spec(**facts: Any) -> ModelSpec:
    return ModelSpec(**{"uid": "m", "name": "f", "path": "/models/m", **facts})


@pytest.fixture
def gpu_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM as it is installed on machines with a GPU, whatever is installed here."""
    monkeypatch.setattr(bounds, "is_cpu_build", lambda: False)


def options(model: ModelSpec, settings: EngineSettings = DEFAULTS) -> dict[str, str | None]:
    """The command line as names and values, however the two are joined."""
    argv = engine_argv(model, settings, "127.0.0.1", 4711)
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


@pytest.mark.parametrize(
    ("facts", "executor"),
    [
        ({}, UNIPROC),
        ({"gpus": 1}, UNIPROC),
        ({"gpus": 2}, None),
        ({"engine_args": {"tensor_parallel_size": 2}}, None),
        ({"engine_args": {"data_parallel": 2}}, None),
        ({"engine_args": {"distributed_executor_backend": "mp"}}, "mp"),
        ({"env": {"VLLM_CPU_OMP_THREADS_BIND": "0-3"}}, None),
    ],
)
def test_one_model_on_the_cpu_is_run_by_the_engine_core(facts: dict[str, Any], executor: str | None) -> None:
    assert options(spec(**facts)).get("--distributed-executor-backend") == executor


@pytest.mark.usefixtures("gpu_build")
def test_on_a_gpu_vllm_chooses_who_runs_the_model() -> None:
    assert "--distributed-executor-backend" not in options(spec(gpus=1))


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
    ("gpus", "parallel", "share"), [(1, None, "0.92"), (2, "2", "0.92"), (8.0, "8", "0.92"), (0.5, None, "0.46")]
)
def test_gpus(gpu_build: None, gpus: float, parallel: str | None, share: str | None) -> None:
    got = options(spec(gpus=gpus))
    assert (got.get("--tensor-parallel-size"), got.get("--gpu-memory-utilization")) == (parallel, share)
    assert "--kv-cache-memory-bytes" not in got


def test_share_of_a_gpu_is_the_operator_s_to_set(gpu_build: None) -> None:
    settings = EngineSettings(gpu_memory_share=0.8)
    assert options(spec(gpus=1), settings)["--gpu-memory-utilization"] == "0.8"
    assert options(spec(gpus=0.25), settings)["--gpu-memory-utilization"] == "0.2"


@pytest.mark.parametrize(("gib", "size"), [(1.0, 2**30), (0.5, 2**29), (2.5, 5 * 2**29)])
def test_kv_cache_in_bytes(gpu_build: None, plain_env: pytest.MonkeyPatch, gib: float, size: int) -> None:
    """vLLM's variable would take whole GiB only."""
    assert options(spec(), EngineSettings(cpu_kv_cache_gib=gib))["--kv-cache-memory-bytes"] == str(size)
    for gpus in (0, 0.5, 1):
        assert options(spec(gpus=gpus, kv_cache_gib=gib))["--kv-cache-memory-bytes"] == str(size)


def test_vllm_without_gpus_takes_its_cache_from_the_machine(
    monkeypatch: pytest.MonkeyPatch, plain_env: pytest.MonkeyPatch
) -> None:
    """Whatever resources Ray has been told of."""
    monkeypatch.setattr(bounds, "is_cpu_build", lambda: True)
    got = options(spec(gpus=0.5))
    assert got["--kv-cache-memory-bytes"] == str(2**30)
    assert "--gpu-memory-utilization" not in got


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


def test_arguments_of_the_launch_win(gpu_build: None) -> None:
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
    for name in (KV_CACHE_SPACE, "VLLM_CPU_OMP_THREADS_BIND", "VLLM_NO_USAGE_STATS", "A"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return monkeypatch


def test_environment_on_the_cpu(plain_env: pytest.MonkeyPatch) -> None:
    env = engine_env(spec(), DEFAULTS)
    assert (env["VLLM_CPU_OMP_THREADS_BIND"], env["VLLM_NO_USAGE_STATS"]) == ("nobind", "1")
    assert int(env["OMP_NUM_THREADS"]) >= 1
    assert "PATH" in env


def test_environment_on_a_gpu(gpu_build: None, plain_env: pytest.MonkeyPatch) -> None:
    env = engine_env(spec(gpus=1), DEFAULTS)
    assert "VLLM_CPU_OMP_THREADS_BIND" not in env
    assert env.get("OMP_NUM_THREADS") != "1", "what Ray sets for itself is not for the engine"


@pytest.mark.parametrize("gpus", [0, 1])
def test_importing_libraries_begins_no_threads(gpu_build: None, plain_env: pytest.MonkeyPatch, gpus: int) -> None:
    """Else a fork server on a machine with many cores could not fork: it would be one for each core, or for each of OpenMP's."""
    env = engine_env(spec(gpus=gpus), DEFAULTS) | ({} if gpus else {"OMP_NUM_THREADS": "8"})
    script = "import os, numpy; print(len(os.listdir('/proc/self/task')))"
    said = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True).stdout
    assert said == "1\n"
    assert env["JE_ARROW_MALLOC_CONF"] == "background_thread:false"  # PyArrow is not here to be imported


def test_who_wins_in_the_environment(plain_env: pytest.MonkeyPatch) -> None:
    name = "VLLM_NO_USAGE_STATS"
    plain_env.setenv(name, "operator")
    assert engine_env(spec(), DEFAULTS)[name] == "operator"
    settings = EngineSettings(extra_env={name: "settings", "A": "settings"})
    assert engine_env(spec(), settings)[name] == "settings"
    env = engine_env(spec(env={name: "launch"}), settings)
    assert (env[name], env["A"]) == ("launch", "settings")


def test_vllm_s_own_variable_becomes_bytes(plain_env: pytest.MonkeyPatch) -> None:
    """The one that is nearest to the launch counts; engines are not shown it, since it would win over what they are told."""

    def size(model: ModelSpec, settings: EngineSettings = DEFAULTS) -> int:
        assert KV_CACHE_SPACE not in engine_env(model, settings)
        return int(options(model, settings)["--kv-cache-memory-bytes"] or 0)

    plain_env.setenv(KV_CACHE_SPACE, "")
    assert size(spec()) == 2**30
    plain_env.setenv(KV_CACHE_SPACE, "2")
    assert size(spec()) == 2 * 2**30
    settings = EngineSettings(extra_env={KV_CACHE_SPACE: "0.25"})
    assert size(spec(), settings) == 2**28
    assert size(spec(env={KV_CACHE_SPACE: "3"}), settings) == 3 * 2**30
    assert size(spec(env={KV_CACHE_SPACE: "3"}, kv_cache_gib=0.5), settings) == 2**29
    assert size(spec(kv_cache_gib=0.5, engine_args={"kv_cache_memory_bytes": 4096}), settings) == 4096


def test_engines_are_not_shown_the_variable_for_vllm_s_rust_server(plain_env: pytest.MonkeyPatch) -> None:
    """Where the wheel lacks that server, as the CPU build does, an engine core ends at the mere sight of it."""
    plain_env.setenv(RUST_FRONTEND, "1")
    assert RUST_FRONTEND not in engine_env(spec(), DEFAULTS)
    assert RUST_FRONTEND not in engine_env(spec(env={RUST_FRONTEND: "0"}), DEFAULTS)


@pytest.mark.parametrize("value", ["much", "-1", "nan", "inf"])
def test_bad_value_of_vllm_s_own_variable_is_named(plain_env: pytest.MonkeyPatch, value: str) -> None:
    with pytest.raises(LaunchRefused, match=f"{KV_CACHE_SPACE}='{value}': expected a number of GiB above 0"):
        options(spec(env={KV_CACHE_SPACE: value}))


@pytest.mark.parametrize("value", ["all", [], "nan"])
def test_bad_share_is_named(gpu_build: None, value: object) -> None:
    with pytest.raises(LaunchRefused, match="gpu_memory_utilization="):
        options(spec(gpus=1, engine_args={"gpu_memory_utilization": value}))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *((8192, 8192), ("8192", 8192), ("8K", 8192), ("8k", 8000), ("1.5g", 1_500_000_000), ("2G", 2 * 2**30)),
        *((-1, None), ("-1", None), ("auto", None), ("", None), (None, None), (True, None)),
    ],
)
def test_numbers_as_vllm_reads_them(text: object, number: int | None) -> None:
    assert bounds.whole_number(text) == number


def test_command_of_the_fake_engine() -> None:
    argv = fake_argv(spec(context_length=7, engine_args={"tokens": 2}), EngineSettings(), "127.0.0.1", 1)
    assert argv == [sys.executable, "-m", "worker.fake.server", "127.0.0.1", "1", "m", "7", '{"tokens": 2}']


@pytest.mark.parametrize(
    ("size", "gpus", "timeout_s"),
    [("8", 0, 120.0), ("1_8", 0, 27.0), ("0.6", 0, 15.0), ("8", 1, 15.0), (None, 0, 30.0), ("small", 0, 30.0)],
)
def test_time_for_one_step_of_the_core(
    gpu_build: None, tmp_path: Path, size: str | None, gpus: float, timeout_s: float
) -> None:
    """On a CPU it grows with the model, whose files tell its size where the launch does not."""
    with (tmp_path / "model.safetensors").open("wb") as weights:
        weights.truncate(4 * 10**9)  # sparse
    model = spec(path=str(tmp_path), size_in_billions=size, gpus=gpus)
    found = engine_env(model, DEFAULTS)[ENGINE_VARIABLES["core_timeout_s"]]
    assert float(found) == pytest.approx(timeout_s)


def test_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off without an endpoint; with one, vLLM is told of it, and of the protocol, which it takes for gRPC else."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"):
        monkeypatch.delenv(name, raising=False)
    assert "--otlp-traces-endpoint" not in options(spec())
    assert "OTEL_SERVICE_NAME" not in engine_env(spec(), DEFAULTS)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    assert options(spec())["--otlp-traces-endpoint"] == "http://collector:4318/v1/traces"
    env = engine_env(spec(), DEFAULTS)
    assert (env["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"], env["OTEL_SERVICE_NAME"]) == ("http/protobuf", "vllm")
    other = spec(engine_args={"otlp_traces_endpoint": "http://other"})
    assert options(other)["--otlp-traces-endpoint"] == "http://other"
