"""When to try again, and how long to wait before."""

from __future__ import annotations

import random
from dataclasses import dataclass

from xinfer.client._responses import Failure


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits that double, unless the server names one; never longer than ``max_delay_s``."""

    max_retries: int = 2
    first_delay_s: float = 0.25
    max_delay_s: float = 10.0

    def __post_init__(self) -> None:
        if self.max_retries < 0:
            raise ValueError(f"max_retries={self.max_retries!r}: expected 0 or more")

    def delay_s(self, failure: Failure, retries: int) -> float | None:
        """Seconds to wait before another attempt, after ``retries`` of them; None to give up."""
        if not failure.again or retries >= self.max_retries:
            return None
        if failure.error.retry_after_s is not None:
            return min(failure.error.retry_after_s, self.max_delay_s)
        # Spread out, so that many clients turned away together do not come back together.
        return min(self.first_delay_s * 2.0**retries, self.max_delay_s) * random.uniform(0.75, 1.0)
