"""What ``autoscaling_config`` means for a model, at its launch and later."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.launching.autoscaling_request import AutoscalingRequest, as_json
from supervisor.launching.launch_request import LaunchRequest
from supervisor.launching.resolve import resolve
from tests.conftest import ROOT
from tests.supervisor.samples import spec
from xinfer.errors import LaunchRefused
from xinfer.messages import ModelSpec

MODEL = str(ROOT / "xinfer" / "tiny_chat" / "model")


def launched(config: dict[str, Any] | None, **fields: Any) -> ModelSpec:
    body = {"model_name": "x", "model_path": MODEL, "n_gpu": None, "autoscaling_config": config, **fields}
    return resolve(LaunchRequest.read(body), uids=set())


def test_without_it_nothing_is_scaled() -> None:
    assert launched(None).autoscaling is None


@pytest.mark.parametrize(
    ("config", "fields", "least", "most", "first", "idle"),
    [
        ({"max_replicas": 8}, {}, 1, 8, 1, None),
        ({"min_replicas": 3}, {}, 3, 3, 3, None),
        ({"min_replicas": 2, "max_replicas": 8, "initial_replicas": 4}, {}, 2, 8, 4, None),
        ({"max_replicas": 8}, {"replica": 20}, 1, 20, 8, None),
        ({"min_replicas": 0, "max_replicas": 2}, {}, 0, 2, 1, 300),
        ({"min_replicas": 0, "max_replicas": 2, "downscale_to_zero_delay_s": 9}, {}, 0, 2, 1, 9),
        ({"min_replicas": 0, "max_replicas": 2}, {"idle_timeout": 60}, 0, 2, 1, 60),
        ({"max_replicas": 2}, {"idle_timeout": 60}, 0, 2, 1, 60),
        ({"max_replicas": 2, "schedules": ["Sat,Sun min=0"]}, {}, 1, 2, 1, 300),
    ],
)
def test_bounds(config: Any, fields: Any, least: int, most: int, first: int, idle: float | None) -> None:
    found = launched(config, **fields)
    assert found.autoscaling is not None
    most = config.get("max_replicas", most)
    assert (found.autoscaling.min_replicas, found.autoscaling.max_replicas) == (least, most)
    assert (found.replicas, found.idle_timeout_s) == (first, idle)


@pytest.mark.parametrize(
    ("config", "fields", "message"),
    [
        ({"min_replicas": 3, "max_replicas": 2}, {}, "more than max_replicas"),
        ({"min_replicas": 1, "max_replicas": 2}, {"idle_timeout": 60}, "never sleeps"),
        ({"target_ongoing_requests": 2, "target_ttft_s": 1}, {}, "one target"),
        ({"schedules": ["whenever"]}, {}, "schedule 'whenever'"),
        ({"look_back_period_s": 5}, {}, "autoscaling_config.look_back_period_s"),
        ({"max_replicas": 0}, {}, "autoscaling_config.max_replicas"),
        ({"target_ttft_s": float("inf")}, {}, "autoscaling_config.target_ttft_s"),
    ],
)
def test_refused(config: Any, fields: Any, message: str) -> None:
    with pytest.raises(LaunchRefused, match=message):
        launched(config, **fields)


def test_what_is_left_out_stays() -> None:
    before = launched({"max_replicas": 8, "target_ongoing_requests": 4, "schedules": ["daily min=2"]})
    after = AutoscalingRequest(max_replicas=9).applied_to(before)
    assert after.autoscaling is not None
    assert as_json(after.autoscaling) == {**as_json(before.autoscaling), "max_replicas": 9}  # type: ignore[arg-type]
    timed = AutoscalingRequest(target_ttft_s=0.5, schedules=[]).applied_to(after).autoscaling
    assert timed is not None
    assert (timed.target_ttft_s, timed.target_ongoing_requests, timed.schedules) == (0.5, None, ())


def test_a_model_that_had_a_number_keeps_it_as_its_most() -> None:
    config = AutoscalingRequest().applied_to(spec(replicas=4)).autoscaling
    assert config is not None
    assert (config.min_replicas, config.max_replicas) == (1, 4)
