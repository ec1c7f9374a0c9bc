"""Which key is next when a model is full."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from supervisor.gateway.fair_queue import FairQueue
from xinfer.settings import QueueDrop

HIGH, NORMAL, LOW = range(3)
KEEP_S = 60.0
DEEP = 1000


def queue(depth: int = DEEP, drop: QueueDrop = QueueDrop.GREEDIEST, keep_s: float = KEEP_S) -> FairQueue[str]:
    return FairQueue(depth, drop, keep_s)


def come(line: FairQueue[str], names: str, band: int = NORMAL, cost: float = 1.0, now: float = 0.0) -> list[str | None]:
    """A request for each of these names, whose first letter is its key; what is dropped for each."""
    return [line.arrive(name[0], band, name, cost, now) for name in names.split()]


def let_in(line: FairQueue[str], free: int, places: int = 100, now: float = 0.0) -> str:
    """The requests that begin when so many places are free."""
    names: list[str] = []
    while (name := line.take(free - len(names), places, now)) is not None:
        names.append(name)
    return " ".join(names)


def test_keys_of_one_band_take_turns() -> None:
    line = queue()
    come(line, "a1 a2 a3 a4 b1 b2 c1")
    assert let_in(line, 7) == "a1 b1 c1 a2 b2 a3 a4"
    assert len(line) == 0
    assert line.take(1, 100, 0.0) is None


def test_turns_are_of_tokens_and_not_of_requests() -> None:
    line = queue()
    come(line, "a1 a2 a3", cost=100)
    come(line, "b1 b2 b3 b4", cost=50)
    assert let_in(line, 7) == "a1 b1 b2 a2 b3 b4 a3"


def test_what_a_request_has_really_cost_is_charged_when_it_is_over() -> None:
    line = queue()
    come(line, "a1 b1")
    assert let_in(line, 2) == "a1 b1"
    for key, cost in (("a", 500), ("b", 3)):
        line.end(key, NORMAL)
        line.charge(key, NORMAL, cost - 1, generated=0)
    come(line, "a2 a3 b2 b3 b4")
    assert let_in(line, 5) == "b2 b3 b4 a2 a3"


def test_what_a_key_s_requests_generate_is_expected_of_its_next_one() -> None:
    line = queue()
    assert line.expected("a", NORMAL) == 0, "nothing is known of it"
    for number in range(20):
        name = f"a{number}"
        come(line, name)
        assert let_in(line, 1) == name
        line.end("a", NORMAL)
        line.charge("a", NORMAL, 64, generated=64)
    assert 60 < line.expected("a", NORMAL) <= 64
    assert line.expected("b", NORMAL) == 0


def test_higher_bands_go_first() -> None:
    line = queue()
    come(line, "l1 l2", LOW)
    come(line, "n1 n2", NORMAL)
    come(line, "h1 h2", HIGH)
    assert let_in(line, 5) == "h1 h2 n1 n2 l1"


def test_a_newcomer_has_no_credit_for_the_time_before() -> None:
    line = queue()
    come(line, "a1 a2 a3 a4 a5 a6")
    assert let_in(line, 3) == "a1 a2 a3"
    come(line, "b1 b2 b3")
    assert let_in(line, 4) == "b1 a4 b2 a5"


def test_a_place_is_kept_for_a_key_between_two_requests() -> None:
    line = queue()
    come(line, "b1")
    assert let_in(line, 4, places=4) == "b1"
    line.end("b", NORMAL)
    come(line, "a1 a2 a3 a4", now=1)
    assert let_in(line, 4, places=4, now=1) == "a1 a2 a3"
    come(line, "b2", now=2)
    assert let_in(line, 1, places=4, now=2) == "b2"
    line.end("b", NORMAL)
    assert let_in(line, 1, places=4, now=2 + KEEP_S) == ""
    assert let_in(line, 1, places=4, now=2.1 + KEEP_S) == "a4"


def test_a_kept_place_is_for_any_key_that_uses_none() -> None:
    """Two keys are between two requests and one place is kept: the first of them to come has it."""
    line = queue()
    come(line, "b1 c1")
    assert let_in(line, 2, places=4) == "b1 c1"
    for key in "bc":
        line.end(key, NORMAL)
    come(line, "a1 a2 a3 a4")
    assert let_in(line, 4, places=4) == "a1 a2 a3"
    come(line, "b2")
    assert let_in(line, 1, places=4) == "b2"


def test_a_place_kept_for_a_higher_band_is_not_for_a_lower_one() -> None:
    line = queue()
    come(line, "h1", HIGH)
    come(line, "n1", NORMAL)
    assert let_in(line, 2, places=4) == "h1 n1"
    line.end("h", HIGH)
    line.end("n", NORMAL)
    come(line, "a1 a2 a3", NORMAL)
    assert let_in(line, 4, places=4) == "a1 a2 a3"
    come(line, "n2", NORMAL)
    assert let_in(line, 1, places=4) == ""
    come(line, "h2", HIGH)
    assert let_in(line, 1, places=4) == "h2"


def test_a_quarter_of_the_places_is_kept_at_most() -> None:
    line = queue()
    come(line, "b1 c1 d1 e1")
    let_in(line, 4)
    for key in "bcde":
        line.end(key, NORMAL)
    come(line, "a1 a2 a3 a4 a5 a6 a7 a8")
    assert let_in(line, 8, places=8) == "a1 a2 a3 a4 a5 a6"
    assert let_in(line, 1, places=3) == "a7"


def test_nothing_is_kept_for_lower_bands() -> None:
    line = queue()
    come(line, "l1", LOW)
    let_in(line, 4)
    line.end("l", LOW)
    come(line, "h1 h2 h3 h4", HIGH)
    assert let_in(line, 4, places=4) == "h1 h2 h3 h4"


def test_the_last_one_of_the_greediest_key_is_dropped() -> None:
    line = queue(depth=3)
    assert come(line, "a1 a2 a3 b1 a4 b2") == [None, None, None, "a3", "a4", "b2"]
    assert come(line, "l1", LOW) == ["l1"]
    assert come(line, "h1 h2 h3", HIGH) == ["a2", "a1", "b1"]
    assert let_in(line, 3) == "h1 h2 h3"


def test_the_newest_one_is_dropped_if_asked_for() -> None:
    line = queue(depth=2, drop=QueueDrop.NEWEST)
    assert come(line, "a1 a2 b1") == [None, None, "b1"]
    assert come(line, "h1", HIGH) == ["h1"]


def test_one_that_leaves_is_not_called() -> None:
    line = queue()
    come(line, "a1 a2 b1")
    line.leave("a", NORMAL, "a1")
    line.leave("a", NORMAL, "a1")
    line.leave("x", NORMAL, "x1")
    assert len(line) == 2
    assert let_in(line, 3) == "a2 b1"


def test_one_whose_replica_was_lost_is_the_next_one_of_its_key() -> None:
    line = queue()
    come(line, "a1 a2")
    assert line.take(1, 100, 0.0) == "a1"
    line.end("a", NORMAL)
    assert line.arrive("a", NORMAL, "a1", 0.0, 0.0, again=True) is None
    assert let_in(line, 2) == "a1 a2"


def test_keys_that_have_left_are_forgotten() -> None:
    line = queue()
    for key in range(100):
        line.arrive(str(key), NORMAL, f"{key}", 1.0, 0.0)
    let_in(line, 100)
    for key in range(99):
        line.end(str(key), NORMAL)
    line.forget(KEEP_S + 1)
    assert len(line._bands[NORMAL].lines) > 1, "while others run, a lead counts"
    line.end("99", NORMAL)
    line.forget(KEEP_S + 1)
    assert not line._bands[NORMAL].lines
    line.charge("99", NORMAL, 5, generated=0)


EVENTS = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 2), st.integers(1, 50)), max_size=60)


@given(EVENTS, st.integers(1, 12), st.sampled_from(QueueDrop), st.integers(1, 6))
def test_bounds_hold_whatever_comes(
    events: list[tuple[str, int, int]], depth: int, drop: QueueDrop, places: int
) -> None:
    """Never more than ``depth`` wait nor than there is room for run, everybody is let in or dropped once, and none stays."""
    line = queue(depth, drop)
    gone: Counter[str] = Counter()
    running: list[tuple[str, int]] = []
    owners: dict[str, tuple[str, int]] = {}

    def serve(now: float) -> None:
        while (name := line.take(places - len(running), places, now)) is not None:
            gone[name] += 1
            running.append(owners[name])

    for number, (key, band, cost) in enumerate(events):
        name = f"{key}{number}"
        owners[name] = (f"{key}{band}", band)
        dropped = line.arrive(*owners[name], name, cost, number)
        if dropped is not None:
            gone[dropped] += 1
        serve(number)
        assert len(line) <= depth
        assert len(running) <= places
        if running and cost % 3 == 0:
            ended = running.pop(0)
            line.end(*ended)
            line.charge(*ended, cost - 10, generated=cost)
            serve(number)
    now = float(len(events))
    while running:
        line.end(*running.pop())
        serve(now)
    assert len(line) == 0
    assert gone == Counter(owners.keys())


@given(
    st.lists(st.integers(1, 100), min_size=40, max_size=40),
    st.lists(st.integers(1, 100), min_size=40, max_size=40),
    st.integers(1, 5),
)
def test_two_keys_that_always_wait_get_alike(first: list[int], second: list[int], places: int) -> None:
    """What they get differs by no more than a request of each, whatever their requests cost: the bound of the method."""
    line: FairQueue[tuple[str, int]] = FairQueue(DEEP, QueueDrop.GREEDIEST, KEEP_S)
    for key, costs in (("a", first), ("b", second)):
        for cost in costs:
            line.arrive(key, NORMAL, (key, cost), cost, 0.0)
    served = {"a": 0, "b": 0}
    left = {"a": len(first), "b": len(second)}
    while all(left.values()):
        taken = line.take(1, places, 0.0)
        assert taken
        key, cost = taken
        served[key] += cost
        left[key] -= 1
        line.end(key, NORMAL)
        assert abs(served["a"] - served["b"]) <= max(first) + max(second)
