"""``/v1/models/{uid}/scale``, with a registry that is played."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.supervisor.samples import report
from tests.supervisor.servers import RegistryDouble, fake_engine
from tests.waiting import eventually
from xinfer.messages import AutoscalingConfig, ScalingDecision, ScalingStatus

SCALE = "/v1/models/m/scale"
CONFIG = AutoscalingConfig(1, 4, target_ongoing_requests=8)


async def test_status(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await registry.tell_replicas(report())
    registry.answers["scaling"] = ScalingStatus(
        3, 1, 2, 0, CONFIG, 1, 4, "no GPUs", {"in_flight": 7}, (ScalingDecision(5.0, 1, 3, "7 requests"),)
    )
    told = (await http.get(SCALE)).json()
    assert [told[name] for name in ("desired", "ready", "starting", "leaving", "max_replicas")] == [3, 1, 2, 0, 4]
    assert told["autoscaling_config"]["target_ongoing_requests"] == 8
    assert told["blocked"] == "no GPUs"
    assert told["decisions"] == [{"at": 5.0, "before": 1, "desired": 3, "reason": "7 requests"}]


async def test_a_number_ends_autoscaling(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await registry.tell_replicas(report(), autoscaling=CONFIG, replicas=3)
    reply = await http.post(SCALE, json={"replicas": 2})
    assert reply.status_code == 200, reply.text
    assert [each for each in registry.asked if each[0] in ("scale", "autoscale")] == [
        ("scale", "m", 2),
        ("autoscale", "m", None, None),
    ]


async def test_settings_are_changed_or_dropped(
    http: httpx.AsyncClient, registry: RegistryDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    await registry.tell_replicas(report(), autoscaling=CONFIG)

    async def autoscale(uid: str, autoscaling: Any, idle_timeout_s: float | None) -> None:
        registry.asked.append(("autoscale", autoscaling, idle_timeout_s))
        await registry.tell_replicas(report(), autoscaling=autoscaling)

    monkeypatch.setattr(registry, "autoscale", autoscale)
    assert (await http.post(SCALE, json={"autoscaling_config": {"max_replicas": 9}})).status_code == 200
    assert (await http.post(SCALE, json={"autoscaling_config": False})).status_code == 200
    told = [each for each in registry.asked if each[0] == "autoscale"]
    assert told == [("autoscale", AutoscalingConfig(1, 9, target_ongoing_requests=8), None), ("autoscale", None, None)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"replicas": 0},
        {"replicas": 2, "autoscaling_config": {}},
        {"autoscaling_config": {"min_replicas": 9, "max_replicas": 2}},
        {"autoscaling_config": {"metrics_interval_s": 1}},
        {"autoscaling_config": True},
    ],
)
async def test_refused(http: httpx.AsyncClient, registry: RegistryDouble, body: dict[str, Any]) -> None:
    await registry.tell_replicas(report())
    reply = await http.post(SCALE, json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"]
    assert not [each for each in registry.asked if each[0] in ("scale", "autoscale")]


async def test_unknown_model(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/models/ghost/scale")).status_code == 404
    assert (await http.post("/v1/models/ghost/scale", json={"replicas": 1})).status_code == 404


async def test_supervisors_report_load_of_scaled_models_only(
    gateway: Callable[..., Any], registry: RegistryDouble
) -> None:
    http = await gateway()
    async with fake_engine(tokens=1, first_token_s=1.5) as engine:
        await registry.tell_replicas(engine)
        body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
        assert (await http.post("/v1/chat/completions", json={**body, "max_tokens": 1})).status_code == 200
        assert not [each for each in registry.asked if each[0] == "report_load"]
        await registry.tell_replicas(engine, autoscaling=CONFIG)
        assert (await http.post("/v1/chat/completions", json=body)).status_code == 200

        def loads() -> list[Any]:
            return [each[3]["m"] for each in registry.asked if each[0] == "report_load"]

        await eventually(lambda: loads() and loads()[-1].in_flight == 0)
    busy = next(load for load in loads() if load.in_flight)
    assert busy.replicas == {engine.replica: 1}
    assert 0 < busy.oldest_unanswered_s < 1.6
    assert (loads()[-1].arrived, sum(loads()[-1].first_tokens), loads()[-1].refused) == (2, 2, 0)
