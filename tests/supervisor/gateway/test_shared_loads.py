"""What a supervisor tells of its load, and does with that of others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from supervisor.background import Background
from supervisor.gateway import shared_loads
from supervisor.gateway.balancer import Balancer
from supervisor.gateway.shared_loads import SharedLoads, exchange_period_s
from supervisor.registry.supervisor_loads import SupervisorLoads
from tests.supervisor.samples import model_status, report
from tests.supervisor.servers import RegistryDouble, fake_engine
from tests.waiting import eventually
from xinfer.messages import ClusterLoad

A, B = AB = [report(name) for name in "ab"]


@pytest.fixture
def registry() -> RegistryDouble:
    return RegistryDouble()


@pytest.fixture
async def balancer(registry: RegistryDouble, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Balancer]:
    monkeypatch.setattr(shared_loads, "exchange_period_s", lambda _supervisors: 0.01)
    made = Balancer()
    background = Background()
    background.spawn(SharedLoads(made, registry, "s1").run())
    yield made
    await background.stop()


async def test_load_is_told_and_heard(registry: RegistryDouble, balancer: Balancer) -> None:
    for _ in range(3):
        balancer.begin([A], 100)
    await eventually(lambda: registry.in_flight == {"s1": {"a": 3}})
    registry.answers["exchange_loads"] = ClusterLoad(3, {"a": 3, "b": 40})
    await eventually(lambda: balancer.supervisors == 3)
    assert [balancer.begin(AB, 100).replica for _ in range(5)] == ["a"] * 5


async def test_old_news_is_forgotten_while_the_registry_is_away(
    registry: RegistryDouble, balancer: Balancer, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.answers["exchange_loads"] = ClusterLoad(2, {"b": 40})
    await eventually(lambda: balancer.supervisors == 2)
    monkeypatch.setattr(shared_loads, "_STALE_S", 0.0)
    registry.away = True

    def takes_both() -> bool:
        chosen = [balancer.begin(AB, 100) for _ in range(4)]
        for each in chosen:
            balancer.end(each)
        return {each.replica for each in chosen} == {"a", "b"}

    await eventually(takes_both)
    assert balancer.supervisors == 2, "they are there, unheard"


@pytest.mark.parametrize(
    ("supervisors", "seconds"), [(1, 2.0), (2, 0.25), (10, 0.25), (20, 0.5), (40, 1.0), (400, 1.0)]
)
def test_many_supervisors_exchange_less_often(supervisors: int, seconds: float) -> None:
    """Each hears of all, so that the registry's work is their square."""
    assert exchange_period_s(supervisors) == seconds


async def test_supervisors_give_two_engines_half_of_the_requests_each(
    registry: RegistryDouble, gateway: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them sends more than three of eight."""
    monkeypatch.setattr(shared_loads, "exchange_period_s", lambda _supervisors: 0.02)
    loads = SupervisorLoads()

    async def exchange(supervisor: str, in_flight: Any, moved: Any) -> ClusterLoad:
        return loads.exchange(supervisor, in_flight, moved, time.monotonic())

    monkeypatch.setattr(registry, "exchange_loads", exchange)
    async with fake_engine(gap_s=0.05) as one, fake_engine(gap_s=0.05) as other:
        supervisors = [await gateway() for _ in range(3)]
        await registry.tell(model_status(one, other, abilities=("chat", "generate")))

        async def chat(number: int) -> str:
            body = {"model": "m", "stream": True, "max_tokens": 60}
            body["messages"] = [{"role": "user", "content": f"{number}" * 300}]
            answer: str = (await supervisors[number % 3].post("/v1/chat/completions", json=body)).text
            return answer

        running = []
        for number in range(8):
            running.append(asyncio.create_task(chat(number)))
            await asyncio.sleep(0.15)
        heard = loads.exchange("the test", {}, [], time.monotonic())
        assert heard.supervisors == 4
        assert sorted(heard.in_flight.values()) == [4, 4]
        for text in await asyncio.gather(*running):
            assert text.endswith("data: [DONE]\n\n")
