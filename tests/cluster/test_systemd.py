"""systemd units: their text, that systemd takes it, and the word that the server is up."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from xinfer.cluster.systemd import Unit, check_command, notify, start_words


def settings(unit: Unit) -> dict[str, str]:
    lines = [line for line in unit.text().splitlines() if "=" in line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_head_and_node() -> None:
    head, node = Unit("/x/xinfer", user="llm"), Unit("/x/xinfer", ("--join", "10.0.0.1:6379"), user="llm")
    assert (head.name, node.name) == ("xinfer-head.service", "xinfer-node.service")
    assert Unit("/x/xinfer", ("--join=10.0.0.1:6379",)).is_node
    assert settings(node)["ExecStart"] == "/x/xinfer start --foreground --drain-timeout 10 --join 10.0.0.1:6379"
    assert settings(node)["User"] == "llm"


def test_stop_drains() -> None:
    given = settings(Unit("/x/xinfer", user="llm", drain_timeout_s=300))
    assert "--drain-timeout 300" in given["ExecStart"]
    # SIGTERM only to xinfer, and SIGKILL long after the drain.
    assert (given["KillMode"], "KillSignal" in given) == ("mixed", False)
    assert float(given["TimeoutStopSec"]) > 300 + 8


def test_unit_of_one_user() -> None:
    unit = Unit("/x/xinfer")
    assert unit.folder.parts[-2:] == ("systemd", "user")
    given = settings(unit)
    assert "User" not in given
    assert given["WantedBy"] == "default.target"


@pytest.mark.parametrize(
    ("word", "written"), [("50%", "50%%"), ("a b", '"a b"'), ("$HOME", "$$HOME"), ('say "hi"', '"say \\"hi\\""')]
)
def test_words_reach_the_program_as_they_are(word: str, written: str) -> None:
    assert settings(Unit("/x/xinfer", ("--launch", word)))["ExecStart"].endswith(f"--launch {written}")


def test_gpus_stay_visible() -> None:
    """These would hide /dev/nvidia*, or refuse code that torch compiles."""
    given = settings(Unit("/x/xinfer", user="llm"))
    assert given.keys().isdisjoint({"PrivateDevices", "ProtectClock", "DevicePolicy", "DeviceAllow"})
    assert "MemoryDenyWriteExecute" not in given


def test_program_below_a_home_can_be_read() -> None:
    assert settings(Unit("/home/a/bin/xinfer", user="a"))["ProtectHome"] == "read-only"
    assert settings(Unit("/opt/xinfer/bin/xinfer", user="a"))["ProtectHome"] == "yes"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("words", [(), ("--join", "10.0.0.1:6379"), ("--launch", "a b$c%d")])
@pytest.mark.parametrize("user", [None, "root"])
def test_systemd_takes_it(tmp_path: Path, words: tuple[str, ...], user: str | None) -> None:
    unit = Unit(sys.executable, words, user)
    # Under another name: a unit of the real one may be masked on this machine.
    file = tmp_path / f"checked-{unit.name}"
    file.write_text(unit.text())
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    file.write_text(unit.text().replace("RestartSec=10", "RestartSec=never\nNoSuchSetting=1"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "NoSuchSetting" in done.stderr


def test_words_that_the_unit_sets_itself() -> None:
    assert start_words(["--port", "1"]) == ("--port", "1")
    for word in ("--foreground", "--drain-timeout", "--drain-timeout=5"):
        with pytest.raises(ValueError, match="is set by the unit"):
            start_words([word])


def test_command_has_to_be_one() -> None:
    check_command(sys.executable)
    for wrong in ("xinfer", "/nonexistent/xinfer", ""):
        with pytest.raises(ValueError, match="absolute path"):
            check_command(wrong)


@pytest.mark.parametrize("abstract", [False, True])
def test_notify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service_manager:
        address = str(tmp_path / "notify")
        service_manager.bind(f"\0{address}" if abstract else address)
        service_manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{address}" if abstract else address)
        assert notify("READY=1", "STATUS=up")
        assert service_manager.recv(100) == b"READY=1\nSTATUS=up"


@pytest.mark.parametrize("address", ["", "relative", "/nonexistent/socket"])
def test_notify_without_a_service_manager(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not notify("READY=1")
