"""When models fall asleep: only when it is certain that nobody uses them, and never under a request."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from supervisor.registry.idleness import Drain, Idleness, Resume, Sleep, Verdict
from tests.supervisor.samples import model_status, report, table
from xinfer.messages import ModelState, Usage

READY, SLEEPING, LAUNCHING = ModelState.READY, ModelState.SLEEPING, ModelState.LAUNCHING
DRAINING = ModelState.DRAINING
STATES = {Drain: DRAINING, Resume: READY, Sleep: SLEEPING}
TIMEOUT_S = 60.0
UP = 1000.0
NEVER_USED = Usage()


class Sleeper:
    """One model with an idle timeout, and what becomes of it by the verdicts."""

    def __init__(self, supervisors: tuple[str, ...] = ("s",), timeout_s: float | None = TIMEOUT_S) -> None:
        self.idleness = Idleness(now=0.0)
        self.route = model_status(report(), idle_timeout_s=timeout_s)
        self.version = 1
        self.supervisors = supervisors
        self.decide(UP)

    def hear(self, now: float, usage: Usage = NEVER_USED, *, version: int | None = None, of: str = "") -> None:
        for name in [of] if of else self.supervisors:
            self.idleness.hear(name, version or self.version, {"m": usage}, now)

    def decide(self, now: float) -> list[Verdict]:
        verdicts = self.idleness.decide(table(self.route, version=self.version), now)
        for verdict in verdicts:
            self.become(STATES[type(verdict)])
            if isinstance(verdict, Drain):
                self.idleness.announced("m", self.version, now)
        return verdicts

    def become(self, state: ModelState) -> None:
        self.route = replace(self.route, state=state)
        self.version += 1

    def until_it_dozes(self) -> float:
        """Let the time pass that it takes."""
        now = UP + TIMEOUT_S
        self.hear(now)
        assert self.decide(now) == [Drain("m")]
        return now


def test_a_model_never_used_counts_from_when_it_was_ready() -> None:
    model = Sleeper()
    model.hear(UP + TIMEOUT_S - 1)
    assert model.decide(UP + TIMEOUT_S - 1) == []
    assert model.decide(UP + TIMEOUT_S) == [Drain("m")]


def test_it_sleeps_when_everybody_knows_and_nobody_uses_it() -> None:
    model = Sleeper(("a", "b"))
    now = model.until_it_dozes()
    assert model.decide(now) == []
    model.hear(now + 0.1, of="a")
    assert model.decide(now + 0.1) == []
    model.hear(now + 0.2, of="b")
    assert model.decide(now + 0.2) == [Sleep("m")]
    assert model.decide(now + 0.3) == []


def test_without_a_timeout_it_stays_up() -> None:
    model = Sleeper(timeout_s=None)
    model.hear(UP + 10 * TIMEOUT_S)
    assert model.decide(UP + 10 * TIMEOUT_S) == []


@pytest.mark.parametrize("timeout_s", [None, TIMEOUT_S])
def test_asked_to_it_sleeps_whatever_its_timeout(timeout_s: float | None) -> None:
    model = Sleeper(("a", "b"), timeout_s=timeout_s)
    model.hear(UP + 1, Usage(0, 0.5))
    model.idleness.ask("m", UP + 1)
    assert model.decide(UP + 1) == [Drain("m")]
    model.hear(UP + 1.1, Usage(0, 0.6), of="a")
    assert model.decide(UP + 1.1) == []
    model.hear(UP + 1.2, Usage(0, 0.7), of="b")
    assert model.decide(UP + 1.2) == [Sleep("m")]


def test_asked_to_it_stays_up_under_a_request() -> None:
    model = Sleeper(("a", "b"), timeout_s=None)
    model.hear(UP + 1)
    model.hear(UP + 1, Usage(1), of="b")
    model.idleness.ask("m", UP + 1)
    assert model.decide(UP + 1) == []
    model.hear(UP + 2, Usage(0, 0.1))
    assert model.decide(UP + 2) == [Drain("m")]
    model.hear(UP + 2.1, Usage(1))
    assert model.decide(UP + 2.1) == [Resume("m")]
    model.hear(UP + 2.2, Usage(0, 0.1))
    assert model.decide(UP + 2.2) == [], "nobody wants it any more"


def test_a_wish_that_is_withdrawn_is_not_granted() -> None:
    model = Sleeper(timeout_s=None)
    model.hear(UP + 1)
    model.idleness.ask("m", UP + 1)
    model.idleness.withdraw("m")
    assert model.decide(UP + 1) == []


def test_a_wish_for_sleep_is_forgotten_if_it_cannot_be_granted() -> None:
    model = Sleeper(timeout_s=None)
    model.idleness.ask("m", UP)
    for now in (UP + 1, UP + 5, UP + 10, UP + 14):
        model.hear(now, Usage(1))
        assert model.decide(now) == []
    model.hear(UP + 16, Usage(0, 1.0))
    assert model.decide(UP + 16) == []


@pytest.mark.parametrize("usage", [Usage(1, 999.0), Usage(1), Usage(0, TIMEOUT_S - 1), Usage(0, 0.0)])
def test_used_anywhere_it_stays_up(usage: Usage) -> None:
    model = Sleeper(("a", "b"))
    now = UP + 5 * TIMEOUT_S
    model.hear(now)
    model.hear(now, usage, of="b")
    assert model.decide(now) == []


def test_last_use_by_a_supervisor_that_is_gone_counts() -> None:
    model = Sleeper()
    model.hear(UP + 100, Usage(1), of="old")
    model.hear(UP + 100 + TIMEOUT_S - 1, of="new")
    assert model.decide(UP + 100 + TIMEOUT_S - 1) == []
    model.hear(UP + 100 + TIMEOUT_S, of="new")
    assert model.decide(UP + 100 + TIMEOUT_S) == [Drain("m")]


@pytest.mark.parametrize("usage", [Usage(1, 999.0), Usage(0, 0.1), Usage(3)])
def test_used_while_it_dozes_it_is_roused_at_once(usage: Usage) -> None:
    model = Sleeper(("a", "b"))
    now = model.until_it_dozes()
    model.hear(now + 0.1, usage, of="b")
    assert model.decide(now + 0.1) == [Resume("m")]
    model.hear(now + 0.2)
    assert model.decide(now + 0.2) == [], "a whole timeout has to pass"
    model.hear(now + 0.2 + TIMEOUT_S)
    assert model.decide(now + 0.2 + TIMEOUT_S) == [Drain("m")]


def test_supervisor_on_an_older_table_has_not_agreed() -> None:
    model = Sleeper()
    now = model.until_it_dozes()
    model.hear(now + 1, version=model.version - 1)
    assert model.decide(now + 1) == []
    assert model.decide(now + 4.9) == []
    assert model.decide(now + 5) == [Resume("m")]


def test_woken_while_it_dozes() -> None:
    """The registry has put it back to READY by itself: what supervisors said before means nothing any more."""
    model = Sleeper()
    now = model.until_it_dozes()
    model.become(READY)
    model.hear(now + 0.1)
    assert model.decide(now + 0.1) == []
    assert model.decide(now + 1) == []


def test_after_waking_a_whole_timeout_passes() -> None:
    model = Sleeper()
    now = model.until_it_dozes()
    model.hear(now)
    assert model.decide(now) == [Sleep("m")]
    for state in (LAUNCHING, READY):
        model.become(state)
        model.hear(now + 1)
        assert model.decide(now + 1) == []
    model.hear(now + 1 + TIMEOUT_S)
    assert model.decide(now + 1 + TIMEOUT_S) == [Drain("m")]


def test_next_launch_of_the_uid_counts_anew() -> None:
    model = Sleeper()
    model.route = replace(model.route, spec=replace(model.route.spec, created_at=5.0))
    now = UP + TIMEOUT_S
    model.hear(now)
    assert model.decide(now) == []


def test_silent_supervisor_holds_it_up_until_it_is_forgotten() -> None:
    model = Sleeper()
    start = UP + TIMEOUT_S
    model.hear(start, of="silent")
    for late, verdicts in ((8, []), (14.9, []), (15, [Drain("m")])):
        model.hear(start + late, of="s")
        assert model.decide(start + late) == verdicts


def test_nothing_sleeps_until_every_supervisor_had_the_time_to_report() -> None:
    """The registry has just been restarted."""
    idleness = Idleness(now=0.0)
    up = table(model_status(report(), idle_timeout_s=1.0))
    assert idleness.decide(up, 0.0) == []
    idleness.hear("s", 1, {"m": NEVER_USED}, 14)
    assert idleness.decide(up, 14.9) == []
    assert idleness.decide(up, 15) == [Drain("m")]


class AnyUse(RuleBasedStateMachine):
    """Two supervisors that act on the tables they have seen, a registry that follows the verdicts, time in any steps."""

    @initialize()
    def begin(self) -> None:
        self.now, self.version = 100.0, 1
        self.idleness = Idleness(now=0.0)
        self.route = model_status(report(), idle_timeout_s=3.0)
        self.seen = {"a": (1, READY), "b": (1, READY)}
        self.running = {"a": 0, "b": 0}
        self.ended = {"a": -1e9, "b": -1e9}
        self.slept = False
        self.heard_at: dict[str, float] = {}
        for name in self.seen:
            self.watch(name)

    def become(self, state: ModelState) -> None:
        self.route = replace(self.route, state=state)
        self.version += 1

    @rule(name=st.sampled_from("ab"))
    def request(self, name: str) -> None:
        """Goes to the engine if the supervisor's table says so, else it wakes the model."""
        if self.seen[name][1] is READY:
            self.running[name] += 1
        elif self.route.state in (DRAINING, SLEEPING):
            self.slept = False
            self.become(READY)

    @rule(name=st.sampled_from("ab"))
    def end(self, name: str) -> None:
        if self.running[name]:
            self.running[name] -= 1
            self.ended[name] = self.now

    @rule(name=st.sampled_from("ab"))
    def watch(self, name: str) -> None:
        heard = self.idleness._supervisors.get(name)
        if name in self.heard_at and (heard is None or self.now - heard.at >= 15):
            # Unheard for so long it counts as gone, and its requests with it. This is another one, which has the table anew.
            self.running[name] = 0
            self.seen[name] = (self.version, self.route.state)
        self.heard_at[name] = self.now
        usage = Usage(self.running[name], self.now - self.ended[name])
        self.idleness.hear(name, self.seen[name][0], {"m": usage}, self.now)
        self.mind()
        self.seen[name] = (self.version, self.route.state)

    @rule(step=st.sampled_from([0.1, 1.0, 3.0]))
    def wait(self, step: float) -> None:
        self.now += step
        self.mind()

    def mind(self) -> None:
        for verdict in self.idleness.decide(table(self.route, version=self.version), self.now):
            self.become(STATES[type(verdict)])
            if isinstance(verdict, Drain):
                self.idleness.announced("m", self.version, self.now)
            self.slept = isinstance(verdict, Sleep)

    @invariant()
    def asleep_nothing_runs_and_nobody_sends(self) -> None:
        if getattr(self, "slept", False) and all(
            self.now - heard.at < 15 for heard in self.idleness._supervisors.values()
        ):
            known = self.idleness._supervisors
            assert not any(self.running[name] for name in known)
            assert all(self.seen[name][1] in (DRAINING, SLEEPING) for name in known)


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
