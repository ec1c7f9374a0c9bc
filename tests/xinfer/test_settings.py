"""Settings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from xinfer.settings import DEFAULT_ENDPOINT, GatewaySettings, endpoint, home


@pytest.mark.parametrize("name", [each.name for each in fields(GatewaySettings)])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_bad_value_stops_the_start_with_its_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name}={value}: expected a number above 0"):
        GatewaySettings(**{name: value})


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XINFER_HOME", str(tmp_path))
    assert home() == tmp_path
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XINFER_HOME", "relative")
    assert home() == tmp_path / "relative"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XINFER_HOME", "~/x")
    assert home() == tmp_path / "x"
    monkeypatch.setenv("XINFER_HOME", "")
    assert home() == tmp_path / ".xinfer"


def test_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XINFER_ENDPOINT", raising=False)
    monkeypatch.delenv("XINFERENCE_ENDPOINT", raising=False)
    assert endpoint() == DEFAULT_ENDPOINT == "http://127.0.0.1:9997"
    monkeypatch.setenv("XINFERENCE_ENDPOINT", "http://a:1")
    assert endpoint() == "http://a:1"
    monkeypatch.setenv("XINFER_ENDPOINT", "http://b:2")
    assert endpoint() == "http://b:2"
