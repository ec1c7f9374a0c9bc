"""Which replica takes a request."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.gateway.balancer import Balancer
from supervisor.gateway.first_tokens import FirstTokens
from supervisor.gateway.prefix import PromptKey
from tests.supervisor.samples import report
from xinfer.errors import ModelOverloaded
from xinfer.messages import ClusterLoad, ReplicaReport
from xinfer.settings import Routing

A, B, C = ABC = [report(name) for name in "abc"]
STORY = PromptKey((1, 2, 3))
NO_LIMIT = 1000


def begun(balancer: Balancer, count: int, replicas: list[ReplicaReport] = ABC, key: PromptKey | None = None) -> str:
    """The names of those that take so many requests, which do not end."""
    return "".join(balancer.begin(replicas, NO_LIMIT, key).replica for _ in range(count))


def done(balancer: Balancer, count: int, replicas: list[ReplicaReport] = ABC, key: PromptKey | None = None) -> str:
    """The names of those that take so many requests, one after the other."""
    names = ""
    for _ in range(count):
        replica = balancer.begin(replicas, NO_LIMIT, key)
        balancer.end(replica)
        names += replica.replica
    return names


@pytest.mark.parametrize("routing", [Routing.PREFIX, Routing.LEAST_BUSY])
def test_least_busy_first(routing: Routing) -> None:
    balancer = Balancer(routing)
    assert sorted(begun(balancer, 9)) == list("aaabbbccc")
    balancer.end(B)
    assert begun(balancer, 1) == "b"


@pytest.mark.parametrize("routing", Routing)
def test_equals_in_turn(routing: Routing) -> None:
    assert done(Balancer(routing), 6) == "abcabc"


def test_request_counts_from_the_choice_to_the_end() -> None:
    balancer = Balancer()
    begun(balancer, 2, [A])
    begun(balancer, 1, [B])
    assert [balancer.in_flight(name) for name in (*"abc", None)] == [2, 1, 0, 3]
    balancer.end(A)
    assert [balancer.in_flight(name) for name in (*"abc", None)] == [1, 1, 0, 2]


@pytest.mark.parametrize("routing", Routing)
def test_avoided_replica_is_taken_only_if_there_is_no_other(routing: Routing) -> None:
    balancer = Balancer(routing)
    begun(balancer, 3, [B], STORY)
    assert balancer.begin([A, B], NO_LIMIT, avoid={"a"}) is B
    assert balancer.begin([A, B], NO_LIMIT, STORY, avoid={"b"}) is A
    assert balancer.begin([A], NO_LIMIT, avoid={"a"}) is A


@pytest.mark.parametrize("routing", Routing)
def test_full_is_an_error_that_a_retry_may_cure(routing: Routing) -> None:
    balancer = Balancer(routing)
    assert {balancer.begin([A, B], 1, STORY).replica for _ in range(2)} == {"a", "b"}
    with pytest.raises(ModelOverloaded, match="'m'") as caught:
        balancer.begin([A, B], 1, STORY)
    assert caught.value.headers() == {"x-should-retry": "true", "retry-after": "1"}
    assert balancer.in_flight() == 2, "what was refused is not counted"
    balancer.end(A)
    assert balancer.begin([A, B], 1, STORY) is A


def test_round_robin_looks_at_neither_load_nor_prompt() -> None:
    balancer = Balancer(Routing.ROUND_ROBIN)
    begun(balancer, 5, [A], STORY)
    begun(balancer, 1, [B])
    begun(balancer, 1, [C])
    assert begun(balancer, 6, ABC, STORY) == "abcabc"


@pytest.mark.parametrize(
    ("routing", "replicas", "wanted"),
    [(Routing.PREFIX, ABC, True), (Routing.PREFIX, [A], False), (Routing.LEAST_BUSY, ABC, False)],
)
def test_key_is_wanted_where_it_makes_a_difference(
    routing: Routing, replicas: list[ReplicaReport], wanted: bool
) -> None:
    assert Balancer(routing).wants_key(replicas) is wanted


def test_prompt_goes_where_its_beginning_was_seen() -> None:
    balancer = Balancer()
    done(balancer, 1, [B], STORY)
    assert done(balancer, 5, ABC, PromptKey((1, 2, 9))) == "bbbbb"


def test_longest_match_wins() -> None:
    balancer = Balancer()
    done(balancer, 1, [A], PromptKey((1,)))
    done(balancer, 1, [C], PromptKey((1, 2)))
    done(balancer, 1, [B], PromptKey((8,)))
    assert done(balancer, 3, ABC, STORY) == "ccc"


def test_of_those_that_know_as_much_the_least_busy_one_wins() -> None:
    balancer = Balancer()
    for replica in (A, B):
        done(balancer, 1, [replica], STORY)
    assert begun(balancer, 4, ABC, STORY) == "abab"


@pytest.mark.parametrize(("elsewhere", "at_home"), [(0, 3), (3, 3), (4, 4), (7, 4), (8, 5)])
def test_prompt_goes_elsewhere_when_its_place_is_too_far_ahead(elsewhere: int, at_home: int) -> None:
    """By more than two, and one for four that the least busy one has."""
    balancer = Balancer()
    begun(balancer, elsewhere, [A])
    begun(balancer, elsewhere, [B])
    done(balancer, 1, [A], STORY)
    assert begun(balancer, at_home + 1, [A, B], STORY) == "a" * at_home + "b"


def test_prompt_that_went_elsewhere_is_known_at_both() -> None:
    balancer = Balancer()
    assert begun(balancer, 5, ABC, STORY) == "aaabb"
    for _ in range(3):
        balancer.end(A)
    assert begun(balancer, 1, ABC, STORY) == "a"


def test_owner_of_a_short_prompt_stays_at_home() -> None:
    balancer = Balancer()
    owner = PromptKey((), session=5)
    done(balancer, 1, [B], owner)
    assert done(balancer, 3, ABC, owner) == "bbb"
    assert done(balancer, 2, [A, C], PromptKey((), session=6)) == "aa", "another owner has another home"


def test_owner_decides_among_those_that_know_as_much_of_the_prompt() -> None:
    balancer = Balancer()
    for replica in ABC:
        done(balancer, 1, [replica], STORY)
    done(balancer, 1, [C], PromptKey((1, 2, 3), session=5))
    assert done(balancer, 3, ABC, PromptKey((1, 2, 3, 4), session=5)) == "ccc"


def test_what_is_gone_is_forgotten_and_the_rest_is_kept() -> None:
    balancer = Balancer()
    done(balancer, 1, [A], STORY)
    done(balancer, 1, [B], PromptKey((1,)))
    balancer.forget({"a"})
    assert done(balancer, 2, ABC, STORY) == "bb", "a, come again, knows nothing, and b still does"


def test_request_of_a_replica_that_is_gone_ends_as_any_other() -> None:
    balancer = Balancer()
    begun(balancer, 1, [A])
    balancer.forget({"a"})
    balancer.end(A)
    assert balancer.in_flight() == 0


@given(st.integers(1, 60), st.integers(2, 3))
def test_unknown_prompts_spread_evenly(requests: int, count: int) -> None:
    balancer, replicas = Balancer(), ABC[:count]
    for number in range(requests):
        balancer.begin(replicas, NO_LIMIT, PromptKey((number,), session=-number - 1))
    loads = [balancer.in_flight(each.replica) for each in replicas]
    assert max(loads) - min(loads) <= 1


KEYS = st.builds(PromptKey, st.lists(st.integers(0, 2), max_size=3).map(tuple), st.none() | st.integers(10, 11))


@given(st.sampled_from(Routing), st.lists(st.none() | KEYS, max_size=200))
def test_counts_are_those_of_requests_under_way(routing: Routing, steps: list[PromptKey | None]) -> None:
    """No replica is over its limit, one that is refused finds all full, and nothing is left when all are done."""
    balancer, limit = Balancer(routing), 5
    running: list[ReplicaReport] = []
    for step in steps:
        if step is not None:
            try:
                running.append(balancer.begin(ABC, limit, step))
            except ModelOverloaded:
                assert len(running) == 3 * limit
        elif running:
            balancer.end(running.pop(0))
        loads = [balancer.in_flight(each.replica) for each in ABC]
        assert max(loads) <= limit
        assert loads == [sum(each is replica for each in running) for replica in ABC]
    for replica in running:
        balancer.end(replica)
    assert balancer.in_flight() == 0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def with_first_tokens(*seconds: float) -> tuple[Balancer, Clock]:
    """A balancer that has seen streams of a, b and c begin after so many seconds."""
    clock = Clock()
    balancer = Balancer(first_tokens=FirstTokens(clock))
    for replica, first_token_s in zip(ABC, seconds, strict=True):
        balancer.streams(replica, first_token_s)
    return balancer, clock


def test_a_slow_replica_gets_less() -> None:
    """Six times as slow as the fastest one, it gets the seventh request, whatever prompts it knows."""
    balancer, _ = with_first_tokens(6.0, 1.0, 1.0)
    done(balancer, 1, [A], STORY)
    names = begun(balancer, 26, key=STORY)
    assert names.count("a") == 2
    assert abs(names.count("b") - names.count("c")) <= 1


@pytest.mark.parametrize("seconds", [(3.0, 1.0, 1.0), (0.45, 0.01, 0.01), (9.0, 9.0, 9.0)])
def test_differences_that_prompts_may_make_mean_nothing(seconds: tuple[float, float, float]) -> None:
    balancer, _ = with_first_tokens(*seconds)
    assert sorted(begun(balancer, 9)) == list("aaabbbccc")


def test_a_slow_replica_is_tried_again_after_a_while() -> None:
    balancer, clock = with_first_tokens(8.0, 1.0, 1.0)
    assert "a" not in begun(balancer, 6)
    clock.now += 31
    assert "a" in begun(balancer, 3)


def test_a_replica_that_recovers() -> None:
    balancer, _ = with_first_tokens(8.0, 1.0, 1.0)
    for _ in range(5):
        balancer.streams(A, 1.0)
    assert sorted(begun(balancer, 9)) == list("aaabbbccc")


def test_a_slow_replica_that_is_gone() -> None:
    balancer, _ = with_first_tokens(8.0, 1.0, 1.0)
    done(balancer, 1, [A])
    balancer.forget({"a"})
    assert "a" in begun(balancer, 3), "another one of its name is not known to be slow"


def one_of_two(others: dict[str, int] | None = None) -> Balancer:
    """A supervisor beside another one that has so much in flight at each replica."""
    balancer = Balancer(chance=Random(1))
    balancer.hear(ClusterLoad(2, others or {}), {})
    return balancer


def conversation(home: int, *blocks: int) -> PromptKey:
    return PromptKey((1, *blocks), home=home, opening_blocks=1)


def test_what_others_have_in_flight_counts() -> None:
    balancer = one_of_two({"a": 50, "b": 50})
    assert begun(balancer, 40).count("c") > 20
    own = {name: balancer.in_flight(name) for name in "abc"}
    balancer.hear(ClusterLoad(2, {"a": 50 + own["a"], "b": own["b"], "c": 200 + own["c"]}), own)
    assert set(done(balancer, 20, [B, C])) == {"b"} != set(done(balancer, 20, [A, C]))
    assert [balancer.in_flight(name) for name in "abc"] == [own[name] for name in "abc"]


def test_other_supervisors_put_a_conversation_in_the_same_place() -> None:
    first, second = one_of_two(), Balancer(chance=Random(9))
    second.hear(ClusterLoad(2), {})
    homes = [done(first, 1, ABC, conversation(number * 10**18)) for number in range(18)]
    assert homes == [done(second, 1, ABC, conversation(number * 10**18)) for number in range(18)]
    assert set(homes) == set("abc")


def test_what_is_known_of_a_conversation_weighs_more_than_its_place() -> None:
    balancer = one_of_two()
    (home,) = done(balancer, 1, ABC, conversation(5))
    other = next(each for each in ABC if each.replica != home)
    done(balancer, 1, [other], conversation(5, 2, 3))
    assert done(balancer, 1, ABC, conversation(5, 2, 3, 4)) == other.replica
    for number in range(6, 20):
        place = done(one_of_two(), 1, ABC, conversation(number))
        assert done(balancer, 1, ABC, conversation(number)) == place, "what all begin with is no reason"


def test_conversation_is_where_another_supervisor_has_taken_it() -> None:
    first, second = one_of_two(), one_of_two()
    (home,) = done(first, 1, ABC, conversation(5))
    assert first.news() == [], "the others look there anyway"
    first.hear(ClusterLoad(2, {home: 20}), {})
    moved = done(first, 1, ABC, conversation(5))
    assert first.news() == [(5, moved)]
    assert first.news() == []
    second.hear(ClusterLoad(2, {}, ((5, moved),)), {})
    assert done(second, 3, ABC, conversation(5)) == 3 * moved
    second.forget({moved})
    assert done(second, 1, [each for each in ABC if each.replica != moved], conversation(5)) == home


def test_place_that_is_too_busy_passes_a_conversation_on_to_the_same_next_one() -> None:
    (home,) = done(one_of_two(), 1, ABC, conversation(5))
    nexts = {done(one_of_two({home: 20}), 1, ABC, conversation(5)) for _ in range(5)}
    assert len(nexts) == 1
    assert home not in nexts


def test_supervisor_that_is_alone_again() -> None:
    balancer = one_of_two({"a": 50})
    balancer.hear(ClusterLoad(1), {})
    assert balancer.supervisors == 1
    assert sorted(begun(balancer, 9)) == list("aaabbbccc")


def test_replica_that_is_new_has_what_others_have_there() -> None:
    balancer = one_of_two({"b": 50})
    begun(balancer, 1, [A])
    assert set(done(balancer, 30, [A, B])) == {"a"}


def admitted(balancer: Balancer, limit: int) -> int:
    """So many more requests find a place at one replica."""
    for count in range(100):
        try:
            balancer.begin([A], limit)
        except ModelOverloaded:
            return count
    return 100


def test_supervisors_share_what_is_left_of_a_limit() -> None:
    """One that gets all requests soon has the whole limit; while nothing is heard, two have half of it each."""
    balancer = one_of_two()
    assert (balancer.places("a", 16), balancer.places("a", 1), Balancer().places("a", 16)) == (8, 1, 16)
    counts = []
    for _ in range(5):
        counts.append(admitted(balancer, 16))
        own = balancer.all_in_flight()
        balancer.hear(ClusterLoad(2, own), own)
    assert counts == [8, 4, 2, 1, 1]
    balancer.end(A)
    balancer.hear(ClusterLoad(2, {"a": 16}), balancer.all_in_flight())
    assert admitted(balancer, 16) == 0, "another one has taken the place"
    strangers = one_of_two()
    assert admitted(strangers, 16) == 8
    strangers.hear(ClusterLoad(2), {})
    assert admitted(strangers, 16) == 0
