"""When a cluster that is being stopped has nothing under way any more."""

from __future__ import annotations

from supervisor.registry.cluster_drain import ClusterDrain


def test_over_when_every_supervisor_has_said_so() -> None:
    drain = ClusterDrain()
    for supervisor in ("a", "b", "gone"):
        drain.hear(supervisor, 0.0)
    drain.begin(stops_at=1000.0)
    for supervisor in ("a", "b"):
        drain.hear(supervisor, 20.0)
        assert not drain.is_over(20.0)
        drain.drained(supervisor)
    assert drain.is_over(20.0), "one that is gone is not waited for"


def test_the_first_end_counts() -> None:
    drain = ClusterDrain()
    drain.begin(stops_at=1000.0)
    drain.begin(stops_at=2000.0)
    assert drain.stops_at == 1000.0


def test_taking_requests_again_if_nobody_stops_the_cluster() -> None:
    drain = ClusterDrain()
    assert not drain.forget_if_not_stopped(0.0)
    drain.hear("a", 0.0)
    drain.begin(stops_at=1000.0)
    drain.drained("a")
    assert not drain.forget_if_not_stopped(1059.0)
    assert drain.forget_if_not_stopped(1060.0)
    drain.begin(stops_at=2000.0)
    assert not drain.is_over(0.0), "what was said of the first end does not count for the second"
