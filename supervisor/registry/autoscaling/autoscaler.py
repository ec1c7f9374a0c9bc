"""How many replicas a model should have, as a plain class: measurements go in, a number and its reason come out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from supervisor.registry.autoscaling.load import Load
from supervisor.registry.autoscaling.needs import Needs
from supervisor.registry.autoscaling.windows import Window
from xinfer.messages import AutoscalingConfig, ScalingDecision
from xinfer.schedules import holds

# For so long requests have to find no room before the delay is not waited for.
_PANIC_S = 0.4
# With others in want of its GPUs, a model gives up what it has not needed for so long.
_PRESSED_S = 5.0
_BACKOFF_S = 30.0
_LONGEST_BACKOFF_S = 480.0
_DECISIONS_KEPT = 10


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a model may have at a moment."""

    least: int
    most: int
    why: str = ""
    """The schedule that says so, if one does."""


def bounds(config: AutoscalingConfig, at: datetime) -> Bounds:
    """By the last of the schedules that hold ``at`` this moment, and otherwise as configured."""
    least, most, why = config.min_replicas, config.max_replicas, ""
    for schedule in config.schedules:
        if not holds(schedule, at):
            continue
        why = f"by the schedule {schedule.text!r}"
        least = config.min_replicas if schedule.min_replicas is None else schedule.min_replicas
        most = config.max_replicas if schedule.max_replicas is None else schedule.max_replicas
    return Bounds(min(least, most), most, why)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model should have. ``reason`` is a sentence without its end."""

    desired: int
    reason: str


class Autoscaler:
    """Decides for one model. Times are seconds of any clock that does not go back.

    Every measurement says how many replicas it needs. There are more only if each one of the last ``upscale_delay_s`` asked for
    more, and only as many as all of them asked for; there are fewer only if each one of the last ``downscale_delay_s`` did with
    fewer, and no fewer than one of them asked for. So a load that goes up and down between two numbers changes nothing, and no
    change is taken back before the measurements have changed for a whole delay. Requests that no replica has room for do not
    wait for the delay.
    """

    def __init__(self, config: AutoscalingConfig, decisions: Iterable[ScalingDecision] = ()) -> None:
        self.config = config
        self.decisions = deque(decisions, maxlen=_DECISIONS_KEPT)
        self._needs = Needs(config)
        self._asked = Window(config.upscale_delay_s, smallest=True)
        self._used = Window(max(config.downscale_delay_s, config.upscale_delay_s))
        self._used_lately = Window(_PRESSED_S)
        self._urgent_since: float | None = None
        self._held_until = 0.0
        self._backoff_s = _BACKOFF_S
        self._last_need = 0

    @property
    def need(self) -> int:
        """What the last measurement needs, whatever there may be."""
        return self._last_need

    def need_lately(self, now: float) -> int:
        """The most that a measurement of the last seconds needs."""
        return int(self._used_lately.extreme(now) or self._last_need)

    def decide(self, load: Load, limits: Bounds, now: float, *, pressed: bool = False) -> Verdict:
        """What there should be from now on. ``pressed`` if other models want for what this one does not need."""
        need = self._needs.of(load, now)
        used = need.replicas
        if not load.is_whole:
            # What is not known of may need all there is.
            used = max(used, load.desired)
        self._last_need = need.replicas
        self._asked.add(need.replicas, now)
        self._used.add(used, now)
        self._used_lately.add(used, now)

        current = load.desired
        least = max(1, limits.least)
        if current < least:
            return self._changed(least, f"at least {least} {limits.why}".rstrip())
        if current > limits.most:
            return self._changed(limits.most, f"at most {limits.most} {limits.why}".rstrip())

        more = min(self._wanted(load, need.is_urgent, need.replicas, now), limits.most)
        if more > current and now >= self._held_until:
            return self._changed(more, need.why)

        fewer = max(self._enough(pressed, now), least)
        if fewer < current:
            window_s = _PRESSED_S if pressed else self.config.downscale_delay_s
            why = f"for {window_s:g} s {fewer} would have been enough; now {need.why}"
            if pressed:
                why += "; other models wait for its GPUs"
            return Verdict(fewer, why)
        return Verdict(current, need.why)

    def failed(self, now: float) -> None:
        """Replicas that were asked for did not come up: ask for none for a while, each time for longer."""
        self._held_until = now + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, _LONGEST_BACKOFF_S)

    def came_up(self) -> None:
        """All replicas that were asked for are ready."""
        self._backoff_s = _BACKOFF_S

    def _changed(self, desired: int, reason: str) -> Verdict:
        # The next step is measured with this one done.
        self._asked.clear()
        return Verdict(desired, reason)

    def _wanted(self, load: Load, is_urgent: bool, need: int, now: float) -> int:
        if not is_urgent:
            self._urgent_since = None
        elif self._urgent_since is None:
            self._urgent_since = now
        asked = int(self._asked.extreme(now) or 0)
        # Replicas on their way may be all that is missing.
        if self._urgent_since is not None and now - self._urgent_since >= _PANIC_S and load.starting == 0:
            return max(asked, need)
        return asked

    def _enough(self, pressed: bool, now: float) -> int:
        used = self._used.extreme(now)
        if used is None and not pressed:
            return self.config.max_replicas
        if pressed:
            lately = self._used_lately.extreme(now)
            return self.config.max_replicas if lately is None else int(lately)
        return int(used or 0)
