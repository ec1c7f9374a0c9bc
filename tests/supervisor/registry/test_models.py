"""The life of models: which moves there are, what reports do, and what holds after any sequence of events."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from supervisor.registry.models import GiveUp, InvalidTransition, Models
from tests.supervisor.samples import report, spec
from xinfer.errors import Conflict, ModelNotFound
from xinfer.messages import ModelState, ReplicaStage

PENDING, LAUNCHING, READY, FAILED, TERMINATING = ModelState
WAY_TO = {
    PENDING: [],
    LAUNCHING: [LAUNCHING],
    READY: [LAUNCHING, READY],
    FAILED: [FAILED],
    TERMINATING: [TERMINATING],
}
LEGAL = {
    (PENDING, LAUNCHING),
    (PENDING, FAILED),
    (PENDING, TERMINATING),
    (LAUNCHING, FAILED),
    (LAUNCHING, TERMINATING),
    (READY, FAILED),
    (READY, TERMINATING),
    (FAILED, TERMINATING),
}


def models_in(state: ModelState) -> Models:
    models = Models(version=0)
    models.add(spec())
    for step in WAY_TO[state]:
        if step is READY:
            models.report(report())
        else:
            models.move("m", step)
    assert models.get("m").state is state
    return models


@pytest.mark.parametrize(("start", "target"), sorted(LEGAL))
def test_legal_move(start: ModelState, target: ModelState) -> None:
    models = models_in(start)
    before = models.version
    models.move("m", target, "because")
    record = models.get("m")
    assert (record.state, record.reason) == (target, "because")
    assert record.history[-2:] == [start, target]
    assert models.version > before


ILLEGAL = [
    (start, target)
    for start in ModelState
    for target in ModelState
    if start is not target and (start, target) not in LEGAL | {(LAUNCHING, READY), (READY, LAUNCHING)}
]


@pytest.mark.parametrize(("start", "target"), ILLEGAL)
def test_impossible_move_tells_the_history(start: ModelState, target: ModelState) -> None:
    models = models_in(start)
    history = list(models.get("m").history)
    with pytest.raises(InvalidTransition) as caught:
        models.move("m", target)
    assert str(caught.value) == f"model 'm': {' -> '.join(history)} does not lead to {target}"
    assert models.get("m").history == history


@pytest.mark.parametrize("state", [PENDING, LAUNCHING, READY, TERMINATING])
def test_uid_in_use_is_a_conflict_that_says_what_to_do(state: ModelState) -> None:
    models = models_in(state)
    before = models.table()
    with pytest.raises(Conflict) as caught:
        models.add(spec(name="other"))
    message = caught.value.message
    assert f"'m' is in use ({state.lower()})" in message
    assert "--model-uid" in message
    assert "`xinfer terminate m`" in message
    assert models.table() == before


def test_uid_of_a_failed_launch_is_free_again() -> None:
    models = models_in(FAILED)
    models.add(spec(name="second"))
    record = models.get("m")
    assert (record.spec.name, record.history, record.reason, record.failures) == ("second", [PENDING], "", 0)


def test_unknown_uid() -> None:
    models = Models(version=0)
    with pytest.raises(ModelNotFound, match="xinfer list"):
        models.get("ghost")
    with pytest.raises(ModelNotFound):
        models.move("ghost", LAUNCHING)
    models.remove("ghost")
    models.lost("ghost", "r1")
    assert models.report(report(uid="ghost")) == []
    assert models.version == 0


def test_ready_report_makes_the_model_ready_and_routable() -> None:
    models = models_in(LAUNCHING)
    models.report(report("r1", ReplicaStage.LOADING))
    assert models.get("m").state is LAUNCHING
    assert models.table().routes["m"].targets == ()
    models.report(report("r1"))
    assert models.get("m").state is READY
    assert [r.replica for r in models.table().routes["m"].targets] == ["r1"]


def test_replica_that_reports_before_the_model_is_marked_launching_counts() -> None:
    """After a restart of the registry, replicas report while it is still asking Serve what runs."""
    models = models_in(PENDING)
    models.report(report())
    models.move("m", LAUNCHING)
    assert models.get("m").state is READY


def test_failure_before_ready_gives_up_at_once() -> None:
    models = models_in(LAUNCHING)
    assert models.report(report("r1", ReplicaStage.FAILED, info="out of memory")) == [GiveUp("m", "out of memory")]
    assert models.get("m").reason == "out of memory"


def test_many_replicas_that_fail_give_up_once() -> None:
    """A second order could hit the next launch of the same UID."""
    models = models_in(LAUNCHING)
    orders = [order for n in range(4) for order in models.report(report(f"r{n}", ReplicaStage.FAILED, info=str(n)))]
    assert orders == [GiveUp("m", "0")]


def test_failures_after_ready_give_up_at_the_third_in_a_row() -> None:
    models = models_in(READY)
    assert models.report(report("r1", ReplicaStage.FAILED, info="one")) == []
    assert (models.get("m").state, models.get("m").reason) == (LAUNCHING, "one")
    assert models.report(report("r2", ReplicaStage.FAILED, info="two")) == []
    assert models.report(report("r3", ReplicaStage.FAILED, info="three")) == [GiveUp("m", "three")]


def test_a_ready_replica_starts_the_count_again() -> None:
    models = models_in(READY)
    for number in range(10):
        assert models.report(report(f"r{number}", ReplicaStage.FAILED)) == []
        models.report(report(f"s{number}"))
        assert models.report(report(f"s{number}", ReplicaStage.FAILED)) == []
        models.report(report(f"t{number}"))
    assert models.get("m").state is READY


def test_one_of_two_replicas_may_fail_and_the_model_stays_ready() -> None:
    models = models_in(READY)
    models.report(report("r2"))
    assert models.report(report("r1", ReplicaStage.FAILED)) == []
    assert models.get("m").state is READY
    assert [r.replica for r in models.table().routes["m"].targets] == ["r2"]


@pytest.mark.parametrize("state", [LAUNCHING, READY, TERMINATING])
def test_stopping_is_no_failure(state: ModelState) -> None:
    models = models_in(state)
    for number in range(5):
        assert models.report(report(f"x{number}", ReplicaStage.STOPPED)) == []
    assert models.get("m").failures == 0


def test_failure_while_terminating_is_no_failure() -> None:
    models = models_in(TERMINATING)
    assert models.report(report("r1", ReplicaStage.FAILED)) == []
    assert models.get("m").state is TERMINATING


@pytest.mark.parametrize("end", [ReplicaStage.STOPPED, ReplicaStage.FAILED])
def test_replica_that_has_ended_is_not_believed_any_more(end: ReplicaStage) -> None:
    models = models_in(READY)
    models.report(report("r1", end))
    before = models.table()
    assert models.report(report("r1")) == []
    assert models.report(report("r1", end)) == []
    assert models.table() == before


def test_report_to_a_failed_model_is_ignored() -> None:
    models = models_in(FAILED)
    before = models.table()
    assert models.report(report()) == []
    assert models.table() == before


def test_failed_model_has_no_replicas() -> None:
    models = models_in(READY)
    models.move("m", FAILED, "gone")
    assert models.table().routes["m"].replicas == ()


def test_lost_replica_comes_back_with_its_next_report() -> None:
    models = models_in(READY)
    models.lost("m", "r1")
    assert models.get("m").state is LAUNCHING
    version = models.version
    models.lost("m", "r1")
    assert models.version == version
    models.report(report("r1"))
    assert models.get("m").state is READY


def test_silent_replicas_expire_unless_on_their_way_up() -> None:
    models = models_in(LAUNCHING)
    models.report(report("old", updated_at=10))
    models.report(report("new", updated_at=20))
    models.report(report("loading", ReplicaStage.LOADING, updated_at=1))
    models.expire(oldest=20)
    assert sorted(models.get("m").replicas) == ["loading", "new"]
    models.expire(oldest=21)
    assert sorted(models.get("m").replicas) == ["loading"]
    assert models.get("m").state is LAUNCHING


def test_version_grows_on_visible_change_only() -> None:
    models = models_in(READY)
    version = models.version
    models.report(report("r1", updated_at=5))
    models.expire(oldest=5)
    assert models.version == version
    assert models.get("m").replicas["r1"].updated_at == 5
    models.report(report("r1", updated_at=6, context_length=128))
    assert models.version == version + 1


def test_gpus_of_failed_models_are_free() -> None:
    models = Models(version=0)
    models.add(spec("a", gpus=2, replicas=2))
    models.add(spec("b", gpus=0.5))
    assert models.gpus_wanted() == 4.5
    models.move("a", FAILED)
    assert models.gpus_wanted() == 0.5
    models.remove("b")
    assert models.gpus_wanted() == 0


UIDS = st.sampled_from(["a", "b"])
REPLICAS = st.sampled_from(["r1", "r2", "r3"])


class AnyLife(RuleBasedStateMachine):
    """Launches, reports, losses and ends in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.models = Models(version=0)
        self.seen = self.models.table()
        self.launches = 0
        self.owner: dict[str, str] = {}

    @rule(uid=UIDS)
    def launch(self, uid: str) -> None:
        self.launches += 1
        name = f"launch-{self.launches}"
        free = uid not in self.owner or self.models.get(uid).state is FAILED
        try:
            self.models.add(spec(uid, name=name))
        except Conflict:
            assert not free
        else:
            assert free
            self.owner[uid] = name

    @rule(uid=UIDS, to=st.sampled_from([LAUNCHING, FAILED, TERMINATING]))
    def move(self, uid: str, to: ModelState) -> None:
        try:
            self.models.move(uid, to)
        except ModelNotFound:
            assert uid not in self.owner
        except InvalidTransition:
            assert self.models.get(uid).state in (FAILED, TERMINATING)

    @rule(uid=UIDS)
    def remove(self, uid: str) -> None:
        self.models.remove(uid)
        self.owner.pop(uid, None)

    @rule(uid=UIDS, replica=REPLICAS, stage=st.sampled_from(ReplicaStage), at=st.integers(0, 9))
    def report(self, uid: str, replica: str, stage: ReplicaStage, at: int) -> None:
        for order in self.models.report(report(replica, stage, uid, updated_at=at)):
            assert order.uid == uid
            assert stage is ReplicaStage.FAILED

    @rule(uid=UIDS, replica=REPLICAS)
    def lose(self, uid: str, replica: str) -> None:
        self.models.lost(uid, replica)

    @rule(oldest=st.integers(0, 9))
    def expire(self, oldest: int) -> None:
        self.models.expire(oldest)

    @invariant()
    def one_owner_per_uid(self) -> None:
        assert {uid: each.spec.name for uid, each in self.models.table().routes.items()} == self.owner

    @invariant()
    def ready_means_that_some_replica_takes_requests(self) -> None:
        for each in self.models.table().routes.values():
            if each.state in (LAUNCHING, READY):
                assert (each.state is READY) == bool(each.targets)

    @invariant()
    def version_grows_with_what_can_be_seen(self) -> None:
        now = self.models.table()
        assert now.version >= self.seen.version
        if _routable(now.routes) != _routable(self.seen.routes):
            assert now.version > self.seen.version
        self.seen = now


def _routable(routes: dict) -> dict:
    return {uid: (each.spec.name, each.state, {r.replica for r in each.targets}) for uid, each in routes.items()}


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@given(st.lists(st.tuples(REPLICAS, st.sampled_from(ReplicaStage)), max_size=30))
@settings(max_examples=40, deadline=None)
def test_at_most_one_order_to_give_up_per_launch(reports: list[tuple[str, ReplicaStage]]) -> None:
    models = models_in(LAUNCHING)
    orders = [order for replica, stage in reports for order in models.report(report(replica, stage))]
    assert len(orders) <= 1


def test_another_try_is_for_engines_that_were_good_once() -> None:
    """An engine may answer and die before Serve has seen it up: that is a death, not a start that cannot work."""
    models = models_in(LAUNCHING)
    assert not models.deserves_another_try("m")
    models.report(report("r1"))
    models.report(report("r1", ReplicaStage.FAILED))
    assert models.deserves_another_try("m")
    for number in (2, 3):
        models.report(report(f"r{number}", ReplicaStage.FAILED))
    assert not models.deserves_another_try("m")
