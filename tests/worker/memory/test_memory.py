"""Whether a model fits, with the memory of the node handed in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worker.memory import limits, node_memory
from worker.memory.check import check_memory, memory_requirement
from worker.memory.node_memory import Memory, cgroup_limits, machine_memory, memories
from xinfer.catalog.memory import CPU_OVERHEAD_BYTES, GIB
from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings

MIB = 1024**2
CONFIG = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,  # 1 GiB of KV cache
    "torch_dtype": "bfloat16",
}
Make = Callable[..., ModelSpec]


@pytest.fixture(autouse=True)
def gpu_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM as it is installed on machines with a GPU, whatever is installed here; and no variable from outside."""
    monkeypatch.setattr(limits, "is_cpu_build", lambda: False)
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)


@pytest.fixture
def model(tmp_path: Path) -> Make:
    """The record of a model of 16 GiB and 1 GiB of KV cache, whose file takes no room on the disk."""

    def make(*, weights_gib: float = 16, config: dict[str, Any] = CONFIG, **facts: Any) -> ModelSpec:
        write(tmp_path, weights_gib, config)
        return ModelSpec(**{"uid": "m", "name": "f", "path": str(tmp_path), **facts})

    return make


def write(folder: Path, weights_gib: float, config: dict[str, Any] = CONFIG) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "model.safetensors").open("wb") as content:
        content.truncate(int(weights_gib * GIB))


def node(*free_and_total_gib: tuple[float, float]) -> Callable[[Sequence[str]], list[Memory]]:
    """What a look finds, each time."""
    return lambda _gpus: [Memory(int(total * GIB), int(free * GIB)) for free, total in free_and_total_gib]


def refused(spec: ModelSpec, look: Any, gpus: Sequence[str] = (), settings: EngineSettings | None = None) -> str:
    with pytest.raises(LaunchRefused) as refusal:
        check_memory(spec, settings or EngineSettings(), gpus, look=look, patience_s=0)
    message = refusal.value.message
    assert "\n" not in message
    assert message.endswith(".")
    return message


def fits(spec: ModelSpec, look: Any, gpus: Sequence[str] = (), settings: EngineSettings | None = None) -> None:
    check_memory(spec, settings or EngineSettings(), gpus, look=look, patience_s=0)


def test_on_the_cpu(model: Make) -> None:
    """16 GiB of weights, 1 of KV cache, 1 for the engine, 1 that stays free."""
    fits(model(), node((19, 64)))
    said = refused(model(), node((18.9, 64)))
    for figure in ("needs 18.00 GiB", "weights 16.00 GiB", "KV cache 1.00 GiB as set", "overhead 1.00 GiB"):
        assert figure in said
    assert "18.90 GiB are free, 1.00 GiB of which stay with the machine" in said
    assert "quantized" in said


def test_what_the_operator_has_set_counts(model: Make) -> None:
    settings = EngineSettings(cpu_kv_cache_gib=4, memory_margin_gib=8)
    assert "KV cache 4.00 GiB as set" in refused(model(), node((28, 64)), settings=settings)
    fits(model(), node((29, 64)), settings=settings)


def test_cache_too_small_for_one_request(model: Make) -> None:
    """vLLM would say so after loading."""
    said = refused(model(), node((60, 64)), settings=EngineSettings(cpu_kv_cache_gib=0.5))
    assert "8192 tokens" in said
    assert "needs 1.00 GiB of KV cache, and 0.50 GiB are set" in said
    assert "--context-length of at most 4096" in said
    assert "XINFER_CPU_KV_CACHE_GIB" in said
    fits(model(context_length=4096), node((60, 64)), settings=EngineSettings(cpu_kv_cache_gib=0.5))
    fits(model(kv_cache_gib=1.0), node((60, 64)), settings=EngineSettings(cpu_kv_cache_gib=0.5))
    fits(model(engine_args={"max_model_len": "auto"}), node((60, 64)), settings=EngineSettings(cpu_kv_cache_gib=0.5))


def test_cache_whose_need_is_not_sure_is_left_to_vllm(model: Make) -> None:
    strange = {**CONFIG, "layer_types": ["full_attention"] * 31 + ["holographic_attention"]}
    fits(model(config=strange), node((60, 64)), settings=EngineSettings(cpu_kv_cache_gib=0.5))


def test_on_a_gpu(model: Make) -> None:
    """What is left of the share beside 17.5 GiB is for more requests."""
    fits(model(gpus=1), node((20, 20)), ["0"])
    said = refused(model(gpus=1), node((19, 19)), ["0"])
    for figure in ("needs 17.50 GiB on its GPU", "weights 16.00 GiB", "KV cache 1.00 GiB for 8192 tokens"):
        assert figure in said
    assert "its share of 0.92 of 19.00 GiB is 17.48 GiB" in said
    for advice in ("--context-length", "--n-gpu", "quantized", "larger share"):
        assert advice in said
    fits(model(gpus=1), node((19, 19)), ["0"], EngineSettings(gpu_memory_share=0.95))
    fits(model(gpus=1, context_length=4096), node((19, 19)), ["0"])


def test_two_gpus_share(model: Make) -> None:
    fits(model(gpus=2), node((10, 10), (10, 10)), ["0", "1"])
    said = refused(model(gpus=2), node((10, 10), (9, 9)), ["0", "1"])
    assert "needs 9.00 GiB on each of its 2 GPUs (weights 8.00 GiB, KV cache 0.50 GiB" in said


def test_share_of_a_gpu(model: Make) -> None:
    half = model(weights_gib=8, gpus=0.5)
    fits(half, node((24, 24)), ["0"])
    fits(half, node((12, 24)), ["0"])  # beside another one
    assert "its share of 0.46 of 20.00 GiB is 9.20 GiB" in refused(half, node((20, 20)), ["0"])
    said = refused(half, node((10, 24)), ["0"])
    assert "share of 0.46 of a GPU is 11.04 GiB" in said
    assert "10.00 GiB of 24.00 GiB are free" in said
    assert "sleep or terminated" in said


@pytest.mark.parametrize(
    ("facts", "needed"),
    [
        ({"kv_cache_gib": 3.0}, "19.50"),
        ({"engine_args": {"kv_cache_memory_bytes": "4G"}}, "20.50"),
        ({"engine_args": {"kv_cache_dtype": "fp8"}}, "17.00"),
        ({"engine_args": {"max_model_len": 4096}}, "17.00"),
        ({"engine_args": {"max_model": 4096}}, "17.00"),
        ({"engine_args": {"cpu_offload_gb": 6}}, "11.50"),
        ({"engine_args": {"quantization": "fp8"}}, "9.50"),
        ({"engine_args": {"load_format": "dummy"}}, "17.50"),
        ({"engine_args": {"pipeline_parallel_size": 2}}, "9.00"),
        ({"format": "bnb"}, "5.50"),
    ],
)
def test_engine_arguments_count(model: Make, facts: dict[str, Any], needed: str) -> None:
    assert f"needs {needed} GiB" in refused(model(gpus=1, **facts), node((4, 4)), ["0"])


def test_no_refusal_on_a_guess(model: Make, tmp_path: Path) -> None:
    """No GPU's memory known, no such model here, no size of its weights, or a config that the launch rewrites."""
    nothing = node((0.1, 0.1))
    fits(model(gpus=1), lambda _gpus: None, ["0"])
    fits(model(gpus=1), nothing, [])
    fits(model(engine="fake"), nothing)
    fits(model(path="owner/of-a-model-that-is-not-here"), nothing)
    fits(model(engine_args={"hf_overrides": {"num_hidden_layers": 1}}), nothing)
    fits(model(engine_args={"hf_overrides.num_hidden_layers": 1}), nothing)
    spec = model()
    (tmp_path / "model.safetensors").unlink()
    fits(spec, nothing)
    write(tmp_path, 16)
    (tmp_path / "config.json").write_text("no JSON")
    fits(spec, nothing)


def test_model_in_the_hub_s_cache(model: Make, tmp_path: Path) -> None:
    commit = "0123456789012345678901234567890123456789"
    of_model = tmp_path / "hub" / "models--owner--large"
    (of_model / "refs").mkdir(parents=True)
    (of_model / "refs" / "main").write_text(commit)
    (of_model / "snapshots" / commit).mkdir(parents=True)
    write(of_model / "snapshots" / commit, 1024)
    env = {"HF_HUB_CACHE": str(tmp_path / "hub")}
    assert "weights 1024.00 GiB" in refused(model(path="owner/large", env=env), node((20, 24)))


def test_memory_that_comes_back_is_waited_for(model: Make) -> None:
    """As of an engine that ends just now."""
    free = iter([1, 1, 30])
    check_memory(model(), EngineSettings(), look=lambda _gpus: [Memory(32 * GIB, next(free) * GIB)], patience_s=10)
    assert next(free, None) is None


def test_what_will_never_fit_is_refused_at_once(model: Make) -> None:
    looks: list[Sequence[str]] = []
    with pytest.raises(LaunchRefused):
        check_memory(
            model(),
            EngineSettings(),
            look=lambda gpus: looks.append(gpus) or [Memory(16 * GIB, 16 * GIB)],
            patience_s=10,
        )
    assert looks == [()]


def test_need_says_what_is_counted(model: Make) -> None:
    need = memory_requirement(model(engine_args={"tensor_parallel_size": 2}), EngineSettings())
    assert need is not None
    assert (need.ranks, need.weights_bytes, need.kv_cache_bytes) == (2, 8 * GIB, GIB)
    assert (need.longest_request, need.estimate.overhead_bytes) == (8192, CPU_OVERHEAD_BYTES)
    assert "needs 19.00 GiB" in refused(model(engine_args={"tensor_parallel_size": 2}), node((1, 1)))


def test_memory_of_this_machine() -> None:
    (here,) = memories(()) or ()
    assert 0 < here.free_bytes <= here.total_bytes
    assert machine_memory().total_bytes == here.total_bytes


def group(folder: Path, files: dict[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")


def test_control_groups_of_version_2(tmp_path: Path) -> None:
    """Each of the groups around may limit; the page cache can be had."""
    stat = f"anon 1\ninactive_file {30 * MIB}\nactive_file {20 * MIB}\nfile_dirty 5"
    group(tmp_path / "c" / "outer", {"memory.max": 1000 * MIB, "memory.current": 600 * MIB, "memory.stat": stat})
    group(tmp_path / "c" / "outer" / "inner", {"memory.max": "max", "memory.current": 5, "memory.stat": stat})
    (tmp_path / "m").write_text("0::/outer/inner\n")
    assert list(cgroup_limits(tmp_path / "m", tmp_path / "c")) == [Memory(1000 * MIB, 450 * MIB)]


def test_control_groups_of_version_1_in_a_container(tmp_path: Path) -> None:
    """Which sees its own group as the root."""
    stat = f"total_inactive_file {10 * MIB}\ntotal_active_file 0"
    files = {"memory.limit_in_bytes": 500 * MIB, "memory.usage_in_bytes": 600 * MIB, "memory.stat": stat}
    group(tmp_path / "c" / "memory", files)
    (tmp_path / "m").write_text("9:name=systemd:/x\n4:cpu,memory:/docker/abc\n0::/\n")
    assert list(cgroup_limits(tmp_path / "m", tmp_path / "c")) == [Memory(500 * MIB, 0)]


def test_no_control_groups(tmp_path: Path) -> None:
    assert list(cgroup_limits(tmp_path / "none", tmp_path)) == []


class FakeNvml:
    """NVIDIA's library with one GPU, as far as it is used."""

    class NVMLError(Exception):
        """Its own error."""

    def __init__(self) -> None:
        self.is_open = False

    def nvmlInit(self) -> None:  # noqa: N802
        self.is_open = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.is_open = False

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return self.nvmlDeviceGetHandleByUUID({0: "GPU-aa"}.get(index, ""))

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid != "GPU-aa":
            raise self.NVMLError
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:  # noqa: N802
        assert self.is_open
        return SimpleNamespace(total=3 * GIB, free=GIB, used=2 * GIB)


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """By index and by UUID; nothing is known if one of them is not."""
    nvml = FakeNvml()
    monkeypatch.setattr(node_memory, "pynvml", nvml)
    assert memories(["0", "GPU-aa"]) == [Memory(3 * GIB, GIB)] * 2
    assert memories(["0", "1"]) is None
    assert not nvml.is_open


def test_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = FakeNvml()

    def fail() -> None:
        raise nvml.NVMLError

    monkeypatch.setattr(nvml, "nvmlInit", fail)
    monkeypatch.setattr(node_memory, "pynvml", nvml)
    assert memories(["0"]) is None


def test_sentences_name_no_path(model: Make, tmp_path: Path) -> None:
    assert not re.search(r"/\w", refused(model(), node((1, 1)))), "messages are for callers"
