"""The schema of ``autoscaling_config``, with Ray Serve's names, and what it means for a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from xinfer.errors import LaunchRefused
from xinfer.messages import AutoscalingConfig, ModelSpec
from xinfer.schedules import parse_schedule

_MOST = 1024
_DAY_S = 86_400.0


class AutoscalingRequest(BaseModel):
    """How the number of a model's replicas follows its load. Unset fields are null, and stay as they are on a running model."""

    model_config = ConfigDict(extra="forbid")

    min_replicas: int | None = Field(None, ge=0, le=_MOST)
    max_replicas: int | None = Field(None, ge=1, le=_MOST)
    initial_replicas: int | None = Field(None, ge=1, le=_MOST)
    target_ongoing_requests: float | None = Field(None, gt=0, allow_inf_nan=False)
    target_ttft_s: float | None = Field(None, gt=0, allow_inf_nan=False)
    upscale_delay_s: float | None = Field(None, ge=0, le=_DAY_S)
    downscale_delay_s: float | None = Field(None, ge=0, le=_DAY_S)
    downscale_to_zero_delay_s: float | None = Field(None, gt=0, le=_DAY_S)
    drain_timeout_s: float | None = Field(None, ge=0, le=_DAY_S)
    priority: float | None = Field(None, gt=0, le=1000)
    schedules: list[str] | None = Field(None, max_length=32)

    def applied_to(self, spec: ModelSpec) -> ModelSpec:
        """``spec`` with these settings over those that it has. Raises ``LaunchRefused``."""
        config = self._over(spec.autoscaling or _first(spec))
        sleeps = config.min_replicas == 0 or any(each.min_replicas == 0 for each in config.schedules)
        idle_timeout_s = spec.idle_timeout_s
        if self.downscale_to_zero_delay_s is not None:
            idle_timeout_s = self.downscale_to_zero_delay_s
        if sleeps and idle_timeout_s is None:
            idle_timeout_s = max(1.0, config.downscale_delay_s)
        if not sleeps and idle_timeout_s is not None:
            raise LaunchRefused(
                f"With at least {config.min_replicas} replicas the model never sleeps: leave out the idle timeout, "
                "or set min_replicas to 0.",
                param="min_replicas",
            )
        return replace(spec, autoscaling=config, idle_timeout_s=idle_timeout_s)

    def first_replicas(self, config: AutoscalingConfig, asked: int) -> int:
        """How many replicas a launch begins with that asks for ``asked``."""
        wanted = self.initial_replicas or asked
        return min(max(wanted, config.min_replicas, 1), config.max_replicas)

    def _over(self, config: AutoscalingConfig) -> AutoscalingConfig:
        given: dict[str, Any] = {}
        for name in AutoscalingConfig.__dataclass_fields__:
            value = getattr(self, name)
            if value is not None:
                given[name] = value
        if self.schedules is not None:
            given["schedules"] = tuple(map(parse_schedule, self.schedules))
        if self.target_ongoing_requests is not None and self.target_ttft_s is not None:
            raise LaunchRefused(
                "Give one target: target_ongoing_requests or target_ttft_s.", param="target_ongoing_requests"
            )
        # Another kind of target takes the place of the one there is.
        if self.target_ongoing_requests is not None:
            given["target_ttft_s"] = None
        if self.target_ttft_s is not None:
            given["target_ongoing_requests"] = None
        merged = replace(config, **given)
        if self.max_replicas is None and merged.max_replicas < merged.min_replicas:
            merged = replace(merged, max_replicas=merged.min_replicas)
        if merged.max_replicas < merged.min_replicas:
            raise LaunchRefused(
                f"min_replicas={merged.min_replicas} is more than max_replicas={merged.max_replicas}.",
                param="min_replicas",
            )
        return merged


def _first(spec: ModelSpec) -> AutoscalingConfig:
    """Where a model begins that had no autoscaling."""
    least = 1 if spec.idle_timeout_s is None else 0
    return AutoscalingConfig(min_replicas=least, max_replicas=max(1, spec.replicas))


def as_json(config: AutoscalingConfig) -> dict[str, Any]:
    """The settings as ``autoscaling_config`` has them."""
    found = {name: getattr(config, name) for name in AutoscalingConfig.__dataclass_fields__}
    return {**found, "schedules": [schedule.text for schedule in config.schedules]}
