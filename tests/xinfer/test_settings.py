"""Settings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from xinfer.settings import (
    CPU_COMPILATION_VARIABLE,
    DEFAULT_ENDPOINT,
    ENGINE_VARIABLES,
    EngineSettings,
    GatewaySettings,
    QueueDrop,
    Routing,
    endpoint,
    home,
)

WORDS = ("routing", "cors_origins", "queue_drop", "grafana_url")
NUMBERS = [each.name for each in fields(GatewaySettings) if each.name not in WORDS]
MAY_BE_0 = {"queue_depth", "refusals_per_s"}


@pytest.mark.parametrize("name", sorted({*NUMBERS} - MAY_BE_0))
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_bad_value_stops_the_start_with_its_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name}={value}: expected a number above 0"):
        GatewaySettings(**{name: value})


@pytest.mark.parametrize("name", sorted(MAY_BE_0))
@pytest.mark.parametrize("value", [-1, float("nan")])
def test_some_may_be_0_but_no_less(name: str, value: float) -> None:
    assert getattr(GatewaySettings(**{name: 0}), name) == 0
    with pytest.raises(ValueError, match=rf"{name}={value}: expected 0 or more"):
        GatewaySettings(**{name: value})


def test_who_is_dropped_is_one_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_environment().queue_drop is QueueDrop.GREEDIEST
    monkeypatch.setenv("XINFER_QUEUE_DROP", "newest")
    assert from_environment().queue_drop is QueueDrop.NEWEST
    monkeypatch.setenv("XINFER_QUEUE_DROP", "oldest")
    with pytest.raises(ValueError, match="XINFER_QUEUE_DROP='oldest': expected greediest or newest"):
        from_environment()


def from_environment() -> GatewaySettings:
    return GatewaySettings.from_environment(supervisors=2, routing=Routing.ROUND_ROBIN)


def test_every_number_can_be_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Apart from what ``xinfer start`` has options for."""
    for name in NUMBERS:
        monkeypatch.setenv(f"XINFER_{name.upper()}", "7")
    monkeypatch.setenv("XINFER_ROUTING", "prefix")
    assert from_environment() == GatewaySettings(
        **{**dict.fromkeys(NUMBERS, 7), "supervisors": 2}, routing=Routing.ROUND_ROBIN
    )


def test_what_the_environment_does_not_set_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINFER_WRITE_TIMEOUT_S", "")
    assert from_environment() == GatewaySettings(supervisors=2, routing=Routing.ROUND_ROBIN)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("XINFER_WRITE_TIMEOUT_S", "soon", "XINFER_WRITE_TIMEOUT_S='soon': expected a number"),
        ("XINFER_MAX_BODY_BYTES", "1e6", "XINFER_MAX_BODY_BYTES='1e6': expected a whole number"),
        ("XINFER_IDLE_TIMEOUT_S", "0", "idle_timeout_s=0.0: expected a number above 0"),
    ],
)
def test_bad_value_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=expected):
        from_environment()


def test_grafana_has_an_address_of_the_web(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINFER_GRAFANA_URL", "https://grafana.example/d/xinfer")
    assert from_environment().grafana_url == "https://grafana.example/d/xinfer"
    monkeypatch.setenv("XINFER_GRAFANA_URL", "javascript:alert(1)")
    with pytest.raises(ValueError, match="grafana_url='javascript:"):
        from_environment()


@pytest.mark.parametrize(
    "origins",
    [
        ("https://chat.example",),
        ("http://localhost:3000", "http://[::1]:5173"),
        ("tauri://localhost", "chrome-extension://abcdefgh"),
        ("*",),
    ],
)
def test_origins_as_browsers_send_them(origins: tuple[str, ...]) -> None:
    assert GatewaySettings(cors_origins=origins).cors_origins == origins


@pytest.mark.parametrize(
    "origin",
    [
        *(
            "",
            "null",
            "chat.example",
            "https://",
            "https://chat.example/",
            "https://chat.example/app",
            "https://*.example/",
        ),
        *("HTTPS://chat.example", "https://Chat.example", "https://chat.example:443", "http://chat.example:80"),
        *(
            "https://me@chat.example",
            "https://chat.example ",
            "https://a.example,https://b.example/",
            "https://chat.example\n",
        ),
    ],
)
def test_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="expected '\\*' or an origin as browsers send it"):
        GatewaySettings(cors_origins=(origin,))


def test_any_origin_stands_alone() -> None:
    with pytest.raises(ValueError, match="not both"):
        GatewaySettings(cors_origins=("https://chat.example", "*"))


@pytest.mark.parametrize("name", ENGINE_VARIABLES)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_bad_value_for_engines_stops_the_start_with_its_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{name}={value}: expected a number above 0"):
        EngineSettings(**{name: value})


def test_every_number_for_engines_can_be_set_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(ENGINE_VARIABLES) == {each.name for each in fields(EngineSettings)} - {"extra_env", "cpu_compilation"}
    monkeypatch.delenv(CPU_COMPILATION_VARIABLE, raising=False)
    for variable in ENGINE_VARIABLES.values():
        monkeypatch.setenv(variable, "0.5")
    assert EngineSettings.from_environment() == EngineSettings(**dict.fromkeys(ENGINE_VARIABLES, 0.5))
    for variable in ENGINE_VARIABLES.values():
        monkeypatch.setenv(variable, "")
    assert EngineSettings.from_environment() == EngineSettings()


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("XINFER_CPU_KV_CACHE_GIB", "all", "XINFER_CPU_KV_CACHE_GIB='all': expected a number"),
        ("XINFER_CPU_KV_CACHE_GIB", "0", "cpu_kv_cache_gib=0.0: expected a number above 0"),
        ("XINFER_GPU_MEMORY_SHARE", "92", "gpu_memory_share=92.0: expected a share, above 0 and at most 1"),
        ("XINFER_ENGINE_START_TIMEOUT_S", "1h", "XINFER_ENGINE_START_TIMEOUT_S='1h': expected a number"),
    ],
)
def test_bad_value_for_engines_in_the_environment_is_named(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=expected):
        EngineSettings.from_environment()


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
