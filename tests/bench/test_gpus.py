"""GPUs of the machine that the load is made on: whether they are busy, and what they are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.bench.nvml import made_up_nvml
from tests.bench.samples import leg, result, sample
from xinfer.bench import machine, report, tables
from xinfer.bench.aggregates import median_leg
from xinfer.bench.gpus import Gpus, GpuUse, busy_share, memory_peak_mib, uses
from xinfer.bench.metrics import Leg, LegMetrics
from xinfer.bench.result import Round
from xinfer.gpus import driver_cuda_version

OUTLIVED = """
import time
from xinfer.bench.gpus import Gpus
with Gpus.watched(period_s=0.02):
    print(flush=True)
    time.sleep(60)
"""


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs, of which the first is busy."""
    made_up_nvml(tmp_path, monkeypatch)


def readers() -> list[psutil.Process]:
    """The processes that read the driver, of this process and of those that it started."""
    found = psutil.Process().children(recursive=True)
    return [process for process in found if "xinfer.bench.gpus" in process.cmdline()]


def wait_for(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def busy(**shares: float | None) -> LegMetrics:
    """A leg of one request, with GPUs that were busy for these shares."""
    return LegMetrics.of(Leg([sample()], 1.0, 0.1, gpus={name: GpuUse(share, 100) for name, share in shares.items()}))


def test_readings() -> None:
    text = "0 10 500\n1 None None\n0 80 700\n1 None None\n0 90 600\n"
    assert uses(text) == {"0": GpuUse(pytest.approx(0.6), 700), "1": GpuUse(None, None)}
    assert uses(text, skipped=1)["0"] == GpuUse(pytest.approx(0.85), 700)
    assert uses(text, skipped=3)["0"] == GpuUse(None, 700)
    assert uses("") == {}


def test_gpus_that_had_nothing_to_do_are_left_out_of_the_mean() -> None:
    two, idle, silent = GpuUse(0.9, 70000), GpuUse(0.0, 4), GpuUse(None, 9)
    assert busy_share({"0": two, "1": idle, "2": silent, "3": GpuUse(0.7, 1)}) == pytest.approx(0.8)
    assert memory_peak_mib({"0": two, "1": idle}) == 70000
    assert (busy_share({"1": idle}), memory_peak_mib({"1": idle})) == (0.0, 4)
    assert (busy_share({"2": silent}), memory_peak_mib({"2": silent})) == (None, 9)
    assert (busy_share({}), memory_peak_mib({})) == (None, None)


def test_a_leg_has_its_own_readings(two_gpus: None) -> None:
    with Gpus.watched(period_s=0.02, window_s=0.1) as gpus:
        mark = gpus.mark()
        wait_for(lambda: (gpus.uses_since(mark) or {"0": GpuUse(None, None)})["0"].busy_share)
        assert gpus.uses_since(mark) == {"0": GpuUse(pytest.approx(0.9), 70000), "1": GpuUse(0.0, None)}
        (reader,) = readers()
    assert not psutil.pid_exists(reader.pid)


def test_only_some_gpus(two_gpus: None) -> None:
    with Gpus.watched(["1"], period_s=0.02) as gpus:
        assert gpus.uses_since(0).keys() == {"1"}


def test_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up_nvml(tmp_path, monkeypatch, [])
    with Gpus.watched() as gpus:
        assert gpus.uses_since(gpus.mark()) == {}


def test_a_driver_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up_nvml(tmp_path, monkeypatch, fails=True)
    with Gpus.watched() as gpus:
        assert gpus.uses_since(0) == {}
    facts = machine.facts()
    assert (facts["gpus"], facts["driver"], facts["cuda"]) == ([], None, None)


def test_nobody_watches_when_the_one_who_reads_was_killed(two_gpus: None) -> None:
    reader = subprocess.Popen([sys.executable, "-c", OUTLIVED], stdout=subprocess.PIPE)
    wait_for(readers)
    (watching,) = readers()
    os.kill(reader.pid, signal.SIGKILL)
    reader.communicate()
    wait_for(lambda: not psutil.pid_exists(watching.pid))


def test_what_the_machine_has(two_gpus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = machine.facts()
    assert facts["gpus"] == ["NVIDIA H100 80GB HBM3", "NVIDIA GB10"]
    assert (facts["gpu_memory_mib"], facts["driver"], facts["cuda"]) == ([81559, None], "580.159.04", "13.0")
    (hardware, software) = machine.describe(facts)
    gpus = "1 x NVIDIA H100 80GB HBM3 (81559 MiB), 1 x NVIDIA GB10 (unknown MiB)"
    assert hardware.endswith(f"; {gpus}, driver 580.159.04, CUDA 13.0")
    assert f"xinfer {facts['versions']['xinfer']}" in software
    made_up_nvml(tmp_path, monkeypatch, cuda=0)
    assert driver_cuda_version() is None


def test_a_machine_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up_nvml(tmp_path, monkeypatch, [])
    assert machine.describe(machine.facts())[0].endswith("; no GPU")


def test_columns() -> None:
    one = tables.table(result(Round({"a": busy(x=0.912)})))
    cells = dict(zip(one.headers, one.rows[0], strict=True))
    assert (cells["GPU BUSY"], cells["GPU MIB"]) == ("91.2%", "100")
    two = tables.table(result(Round({"a": busy(x=0.9), "b": busy(x=0.8)})))
    cells = dict(zip(two.headers, two.rows[0], strict=True))
    assert (cells["GPU BUSY A"], cells["GPU BUSY B"]) == ("90.0%", "80.0%")
    assert not [header for header in tables.table(result(Round({"a": leg(sample())}))).headers if "GPU" in header]


def test_summary_has_both() -> None:
    rounds = Round({"a": busy(x=0.9), "b": busy(x=0.8)}), Round({"b": busy(x=0.82), "a": busy(x=0.92)})
    assert report.summary(result(*rounds))[-1] == "GPUs of this machine busy, A and B: 91.0% and 81.0% at 8 streams."
    assert "GPU" not in " ".join(report.summary(result(Round({"a": leg(sample()), "b": leg(sample())}))))


def test_a_typical_leg_and_json() -> None:
    legs = [busy(x=0.5, y=None), busy(x=0.7), busy(x=0.9)]
    assert median_leg(legs).gpus == {"x": GpuUse(0.7, 100), "y": GpuUse(None, 100)}
    facts = json.loads(json.dumps(result(*(Round({"a": each}) for each in legs)).to_json()))
    assert facts["levels"][0]["a"]["gpus"]["x"] == {"busy_share": 0.7, "memory_peak_mib": 100}
    assert facts["levels"][0]["rounds"][2]["a"]["gpus"]["x"]["busy_share"] == 0.9
