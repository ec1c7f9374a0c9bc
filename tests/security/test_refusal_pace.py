"""Who shows no valid key is refused, and from some rate on not at once."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from supervisor.access.refusal_pace import RefusalPace
from tests.security.guarded import guarded
from xinfer.api_key import new_id, new_key
from xinfer.messages import KeyScope

PER_S = 20


def test_they_go_out_evenly() -> None:
    now = 100.0
    pace = RefusalPace(PER_S, lambda: now)
    delays = [pace.delay_s() for _ in range(9)]
    assert delays == pytest.approx([0, 0, 0, 0, 0, 0.05, 0.1, 0.15, 0.2]), "a quarter of a second's at once"
    now += 0.25
    assert pace.delay_s() == pytest.approx(0)
    assert pace.delay_s() == pytest.approx(0.05)
    now += 3600
    assert sum(pace.delay_s() < 1e-6 for _ in range(9)) == PER_S / 4, "what was not used is not saved"


def test_a_slow_pace_lets_one_out_at_a_time() -> None:
    pace = RefusalPace(2, lambda: 0.0)
    assert [pace.delay_s() for _ in range(3)] == [0, 0.5, 1]


def test_those_who_leave_put_nobody_off_for_long() -> None:
    pace = RefusalPace(1, lambda: 0.0)
    assert max(pace.delay_s() for _ in range(100)) == 10


def test_none_waits_if_that_is_asked_for() -> None:
    pace = RefusalPace(0)
    assert not any(pace.delay_s() for _ in range(1000))


async def test_only_so_many_wait() -> None:
    pace = RefusalPace(1, lambda: 0.0)
    waiting = [asyncio.create_task(pace.wait()) for _ in range(1001)]
    await asyncio.sleep(0)
    assert pace.delay_s() == 0, "a thousand wait"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert pace.delay_s() > 0, "none that has left is counted"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/chat/completions"), ("GET", "/v1/models"), ("POST", "/token"), ("GET", "/nowhere")],
)
async def test_wrong_keys_wait_and_others_do_not(tmp_path: Path, method: str, path: str) -> None:
    async with guarded(tmp_path, gateway={"refusals_per_s": 10}) as found:
        key = await found.key(KeyScope.ADMIN)
        wrong = new_key(new_id())
        login = {"json": {"username": "x", "password": wrong}} if path == "/token" else {}
        shown = None if login else wrong

        async def ask() -> float:
            began = time.monotonic()
            assert (await found.ask(method, path, shown, **login)).status_code == 401
            return time.monotonic() - began

        took = await asyncio.gather(*(ask() for _ in range(10)))
        assert min(took) < 0.5
        assert max(took) >= 0.7
        began = time.monotonic()
        assert (await found.ask("GET", "/v1/models", key)).status_code == 200
        assert time.monotonic() - began < 0.5
