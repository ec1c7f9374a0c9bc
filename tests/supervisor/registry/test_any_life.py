"""What holds after any sequence of events."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from supervisor.registry.models import Delete, Deploy, Models
from supervisor.registry.record import InvalidTransition
from tests.supervisor.registry.states import (
    CANCELLED,
    DRAINING,
    FAILED,
    LAUNCHING,
    NOW,
    READY,
    SLEEPING,
    models_in,
)
from tests.supervisor.samples import report, spec
from xinfer.errors import Conflict, ModelNotFound
from xinfer.messages import ModelState, ReplicaStage

UIDS = st.sampled_from(["a", "b"])
REPLICAS = st.sampled_from(["r1", "r2", "r3", "r4"])


class AnyLife(RuleBasedStateMachine):
    """Everything that may happen to two models, in any order, with a Serve that does as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.models = Models(version=0)
        self.seen = self.followed = self.models.table()
        self.launches = 0
        self.owner: dict[str, str] = {}
        self.serve: dict[str, object] = {}

    def state(self, uid: str) -> ModelState | None:
        return self.models.get(uid).state if uid in self.owner else None

    @rule(uid=UIDS, waits=st.booleans())
    def launch(self, uid: str, waits: bool) -> None:
        self.launches += 1
        name = f"launch-{self.launches}"
        free = self.state(uid) in (None, FAILED, CANCELLED)
        try:
            self.models.add(spec(uid, name=name, wait_for_capacity=waits))
        except Conflict:
            assert not free
        else:
            assert free
            self.owner[uid] = name

    @rule(uid=UIDS, call=st.sampled_from(["terminate", "cancel", "drain", "sleep"]))
    def order(self, uid: str, call: str) -> None:
        try:
            getattr(self.models, call)(uid)
        except ModelNotFound:
            assert uid not in self.owner
        except Conflict:
            assert call == "cancel"
            assert self.state(uid) in (READY, DRAINING, SLEEPING)
        except InvalidTransition:
            assert call == "drain"
            assert self.state(uid) is not READY

    @rule(uid=UIDS, replicas=st.integers(1, 3))
    def scale(self, uid: str, replicas: int) -> None:
        try:
            self.models.scale(uid, replicas)
        except (ModelNotFound, Conflict):
            assert self.state(uid) is not READY or self.models.get(uid).end

    @rule(uid=UIDS, replicas=st.integers(1, 3))
    def resize(self, uid: str, replicas: int) -> None:
        try:
            self.models.resize(uid, replicas, [], NOW)
        except (ModelNotFound, Conflict):
            assert self.state(uid) is not READY or self.models.get(uid).end
        else:
            assert self.models.get(uid).desired == replicas

    @rule(uid=UIDS, replica=REPLICAS)
    def migrate(self, uid: str, replica: str) -> None:
        name = f"{self.owner.get(uid)}-{replica}"
        if name in [each.replica for each in self.models.may_migrate(uid)]:
            before = self.models.get(uid).desired
            self.models.migrate(uid, name)
            assert self.models.get(uid).desired == before

    @rule(uid=UIDS)
    def leave(self, uid: str) -> None:
        if uid in self.owner and (leaving := self.models.get(uid).leaving):
            self.models.may_leave(uid, next(iter(leaving)), at_once=False)

    @rule(uid=UIDS)
    def forget_left(self, uid: str) -> None:
        if uid in self.owner:
            self.models.forget_left(uid)

    @rule(uid=UIDS, call=st.sampled_from(["wake", "resume"]))
    def wake(self, uid: str, call: str) -> None:
        if uid in self.owner:
            getattr(self.models, call)(uid, NOW)

    @rule(uid=UIDS)
    def step(self, uid: str) -> None:
        match self.models.next_action(uid, NOW):
            case Deploy(wanted):
                there = self.serve.get(uid)
                assert there is None or there.name == wanted.name, "never over what is not its own"  # type: ignore[attr-defined]
                self.serve[uid] = wanted
            case Delete():
                self.serve.pop(uid, None)
                self.models.on_application_deleted(uid, NOW)
                if uid not in self.models.table().models:
                    self.owner.pop(uid, None)

    @rule(uid=UIDS)
    def serve_gives_up(self, uid: str) -> None:
        if uid in self.serve:
            self.models.deploy_failed(self.serve[uid], NOW)  # type: ignore[arg-type]

    @rule(uid=UIDS, replica=REPLICAS, stage=st.sampled_from(ReplicaStage), at=st.integers(0, 9))
    def report(self, uid: str, replica: str, stage: ReplicaStage, at: int) -> None:
        self.models.report(report(f"{self.owner.get(uid)}-{replica}", stage, uid, updated_at=at))

    @rule(uid=UIDS, replica=REPLICAS)
    def lose(self, uid: str, replica: str) -> None:
        self.models.lost(uid, f"{self.owner.get(uid)}-{replica}", NOW)

    @rule(oldest=st.integers(0, 9))
    def expire(self, oldest: int) -> None:
        self.models.expire(oldest, NOW)

    @invariant()
    def one_owner_per_uid(self) -> None:
        assert {uid: each.spec.name for uid, each in self.models.table().models.items()} == self.owner

    @invariant()
    def ready_means_that_some_replica_takes_requests(self) -> None:
        for each in self.models.table().models.values():
            if each.state in (LAUNCHING, READY):
                assert (each.state is READY) == bool(each.targets)

    @invariant()
    def some_replica_is_wanted_and_none_of_those_that_leave_is_routed_to(self) -> None:
        for each in self.models.table().models.values():
            assert each.desired >= 1
            assert not {target.replica for target in each.targets} & set(each.leaving)

    @invariant()
    def waking_means_on_its_way_up(self) -> None:
        for each in self.models.table().models.values():
            assert not each.waking or each.state is LAUNCHING

    @invariant()
    def version_grows_with_what_can_be_seen(self) -> None:
        now = self.models.table()
        assert now.version >= self.seen.version
        if _routable(now.models) != _routable(self.seen.models):
            assert now.version > self.seen.version
        self.seen = now

    @invariant()
    def changes_lead_to_the_same_table(self) -> None:
        """Also for somebody who has missed some: the rule ``look`` is not called after every event."""
        later = self.models.table(since=self.followed.version).applied_to(self.followed)
        assert _routable(later.models) == _routable(self.models.table().models)
        assert later.version == self.models.version

    @rule()
    def look(self) -> None:
        self.followed = self.models.table(since=self.followed.version).applied_to(self.followed)

    def teardown(self) -> None:
        """Left alone, everything comes to rest: what is wanted is there, and nothing else."""
        for uid in ("a", "b"):
            for _ in range(10):
                self.step(uid)
            assert self.models.next_action(uid, NOW) is None
            route = self.models.table().models.get(uid)
            wanted = route is not None and self.models.get(uid).is_wanted
            assert self.serve.get(uid) == (route.spec if route and wanted else None)
            assert route is None or self.models.get(uid).end is None


def _routable(routes: dict) -> dict:
    return {uid: (each.spec, each.state, {r.replica for r in each.targets}) for uid, each in routes.items()}


TestAnyLife = AnyLife.TestCase
TestAnyLife.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)


@given(st.lists(st.tuples(REPLICAS, st.sampled_from(ReplicaStage)), max_size=30))
@settings(max_examples=40, deadline=None)
def test_a_launch_given_up_is_not_ready_again(reports: list[tuple[str, ReplicaStage]]) -> None:
    models = models_in(LAUNCHING)
    given_up = False
    for replica, stage in reports:
        was = models.get("m").state
        models.report(report(replica, stage))
        assert not given_up or models.get("m").state in (was, LAUNCHING)
        given_up = models.get("m").end is not None
