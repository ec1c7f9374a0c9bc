"""The parts of the soak test that need no cluster: its client, its goals, its comparison of processes."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice

import pytest

from tests.soak import load
from tests.soak.cluster import Role
from tests.soak.kills import Kill, deck
from tests.soak.load import Attempt, Result, Sender, Shape
from tests.soak.report import Report
from tests.soak.resources import MIB, Comparison, ProcessUse, Snapshot
from tests.soak.settings import Part, SoakSettings

Reply = tuple[int, str]
EVENT = 'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
WHOLE = json.dumps({"choices": [{"message": {"content": "x"}}]})
ERROR = json.dumps({"error": {"message": "why"}})


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Sender]]:
    """``sender((503, ""), (200, WHOLE))``: a client of a server that gives these replies, one after the other."""
    monkeypatch.setattr(load, "_FIRST_DELAY_S", 0.01)
    replies: list[Reply] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, text = replies.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    senders: list[Sender] = []

    def make(*given: Reply) -> Sender:
        replies.extend(given)
        senders.append(Sender(f"http://127.0.0.1:{server.server_port}", random.Random(1)))
        return senders[-1]

    yield make
    for each in senders:
        each.close()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_stream_that_ends_well(sender: Callable[..., Sender]) -> None:
    result = sender((200, EVENT * 3 + "data: [DONE]\n\n")).send(Shape.STREAM)
    assert result.succeeded_at_once


@pytest.mark.parametrize(
    ("broken", "failure"), [(EVENT, "cut"), (EVENT + f"data: {ERROR}\n\n", "error event: why")], ids=["cut", "error"]
)
def test_a_broken_stream_is_repeated(sender: Callable[..., Sender], broken: str, failure: str) -> None:
    result = sender((200, broken), (200, EVENT * 3 + "data: [DONE]\n\n")).send(Shape.STREAM)
    assert not result.succeeded_at_once
    assert result.succeeded
    assert result.attempts[0].failure == failure


def test_a_client_gives_up_after_two_retries(sender: Callable[..., Sender]) -> None:
    result = sender((503, ERROR), (429, ERROR), (500, ERROR), (200, WHOLE)).send(Shape.WHOLE)
    assert not result.succeeded
    assert len(result.attempts) == 3


def test_a_client_that_leaves_reads_no_end(sender: Callable[..., Sender]) -> None:
    assert sender((200, EVENT * 3)).send(Shape.LEAVING).succeeded


def test_bad_requests(sender: Callable[..., Sender]) -> None:
    assert sender((400, ERROR)).send(Shape.BAD).succeeded
    assert sender((503, ERROR), (404, ERROR)).send(Shape.BAD).succeeded
    (answered,) = sender((200, WHOLE)).send(Shape.BAD).attempts
    assert answered.wrong


def test_an_event_after_the_end_is_wrong(sender: Callable[..., Sender]) -> None:
    late = EVENT * 2 + "data: [DONE]\n\n" + EVENT
    result = sender(*[(200, late)] * 3).send(Shape.STREAM)
    assert result.attempts[0].wrong


def snapshot(**processes: list[ProcessUse]) -> Snapshot:
    return Snapshot({Role[role]: uses for role, uses in processes.items()}, 0, frozenset())


def report(
    results: list[Result] | None = None, before: Snapshot | None = None, after: Snapshot | None = None
) -> Report:
    good = [Result(shape, (Attempt(0, 1),)) for shape in Shape for _ in range(250)]
    resources = Comparison.of(before or snapshot(), after or snapshot())
    settings = SoakSettings(parts=(Part.WORKER,))
    kills = [Kill(Part.WORKER, 1, 0.5, 3.0)]
    return Report(settings, 60.0, good + (results or []), kills, [], resources, [], 0, 0, [], [])


def missed(measured: Report) -> set[str]:
    return {goal.name for goal in measured.missed}


def test_all_goals_met() -> None:
    measured = report()
    assert not measured.missed
    assert not measured.sanity_errors
    json.dumps(measured.as_json())
    assert any("worker" in line and "3.0 s" in line for line in measured.lines())


def test_success_rates() -> None:
    failed = Attempt(0, 1, failure="status 503")
    retried = Result(Shape.WHOLE, (failed, Attempt(2, 3)))
    lost = Result(Shape.WHOLE, (failed, failed, failed))
    assert missed(report([retried] * 5)) == set()
    assert missed(report([retried] * 20)) == {"success without retries"}
    assert missed(report([lost] * 2)) == {"success with retries"}


def test_what_is_left_over() -> None:
    use = ProcessUse(1, 100 * MIB, 10)
    other = replace(use, pid=2)
    assert missed(report(None, snapshot(WORKER=[use]), snapshot(WORKER=[use, other]))) == {"processes left over"}
    # Ray keeps idle workers as it likes.
    assert missed(report(None, snapshot(IDLE=[use]), snapshot(IDLE=[use, other]))) == set()
    more = replace(use, descriptors=30)
    assert missed(report(None, snapshot(WORKER=[use]), snapshot(WORKER=[more]))) == {"file descriptors"}


def test_memory_of_the_same_process_and_of_a_successor() -> None:
    use = ProcessUse(1, 100 * MIB, 10)
    larger = replace(use, rss_bytes=106 * MIB)
    successor = replace(larger, pid=2)
    assert missed(report(None, snapshot(GCS=[use]), snapshot(GCS=[larger]))) == {"memory of the same process"}
    assert missed(report(None, snapshot(GCS=[use]), snapshot(GCS=[successor]))) == {"memory of a successor"}
    small = replace(use, rss_bytes=10 * MIB)
    slightly_larger = replace(use, rss_bytes=11 * MIB)
    assert missed(report(None, snapshot(HAPROXY=[small]), snapshot(HAPROXY=[slightly_larger]))) == set()


def test_a_wrong_response_is_a_sanity_error() -> None:
    wrong = Result(Shape.BAD, (Attempt(0, 1, failure="status 200", wrong="answered with 200"),))
    assert report([wrong]).sanity_errors == ["answered with 200, 1 times"]


def test_each_part_comes_before_any_comes_again() -> None:
    order = list(islice(deck(tuple(Part), random.Random(3)), 2 * len(Part)))
    assert set(order[: len(Part)]) == set(order[len(Part) :]) == set(Part)


def test_settings_of_the_environment() -> None:
    settings = SoakSettings.from_environment({"SOAK_MINUTES": "0.5", "SOAK_KILL_SECONDS": "7", "SOAK_SEED": "3"})
    assert (settings.duration_s, settings.kill_period_s, settings.seed) == (30, 7, 3)
    with pytest.raises(ValueError, match="duration_s"):
        SoakSettings(duration_s=0)
