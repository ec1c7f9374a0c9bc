"""What a worker of a gang tells its engine of the others."""

from __future__ import annotations

import pytest

from worker.command import engine_argv
from worker.gang.seat import Seat, interface_of, seat_env
from xinfer.messages import ModelSpec
from xinfer.settings import EngineSettings

NETWORKS = {
    "lo": ["127.0.0.1/255.0.0.0", "::1"],
    "eth0": ["10.0.0.1/255.255.255.0", "fe80::1"],
    "ib0": ["10.1.0.1/255.255.255.0"],
}


@pytest.mark.parametrize(
    ("host", "interface"),
    [
        ("10.1.0.1", "ib0"),
        ("10.0.0.1", "eth0"),
        ("127.0.0.3", "lo"),
        ("::1", "lo"),
        ("fe80::1", "eth0"),
        ("192.168.0.1", None),
    ],
)
def test_interface_of_a_node_s_address(host: str, interface: str | None) -> None:
    assert interface_of(host, NETWORKS) == interface


def test_engines_talk_by_the_node_s_address() -> None:
    assert seat_env("127.0.0.3") == {
        "VLLM_HOST_IP": "127.0.0.3",
        "GLOO_SOCKET_IFNAME": "lo",
        "NCCL_SOCKET_IFNAME": "lo",
    }


def words(rank: int, **facts: object) -> dict[str, str | None]:
    """The command line of one worker of two, by name; flags without a value have None."""
    spec = ModelSpec("m", "f", "/models/m", workers=2, **facts)  # type: ignore[arg-type]
    argv = engine_argv(spec, EngineSettings(), "10.0.0.2", 4711, Seat(rank, 2, "10.0.0.1", 29500))
    found: dict[str, str | None] = {}
    for name, following in zip(argv, [*argv[1:], "--"], strict=True):
        if name.startswith("--"):
            found[name] = None if following.startswith("--") else following
    return found


def test_leader_has_the_server_and_a_follower_has_none() -> None:
    leader, follower = words(0), words(1)
    both = {
        "--nnodes": "2",
        "--master-addr": "10.0.0.1",
        "--master-port": "29500",
        "--distributed-executor-backend": "mp",
    }
    assert leader.items() >= {**both, "--node-rank": "0", "--host": "10.0.0.2", "--port": "4711"}.items()
    assert "--headless" not in leader
    assert follower.items() >= {**both, "--node-rank": "1", "--headless": None}.items()
    assert not {"--host", "--port", "--middleware"} & follower.keys()


def test_parallelism(monkeypatch: pytest.MonkeyPatch) -> None:
    from worker.memory import limits

    monkeypatch.setattr(limits, "is_cpu_build", lambda: True)
    without_gpus = words(0)
    assert (without_gpus["--tensor-parallel-size"], without_gpus["--pipeline-parallel-size"]) == ("2", "1")
    monkeypatch.setattr(limits, "is_cpu_build", lambda: False)
    with_gpus = words(1, gpus=4)
    assert (with_gpus["--tensor-parallel-size"], with_gpus["--pipeline-parallel-size"]) == ("4", "2")
