"""What the gateway tells of a request as it goes on, for its trace. While traces are off, nobody listens."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from xinfer.traces import traces_target

if TYPE_CHECKING:
    from supervisor.gateway.exchange import Exchange
    from supervisor.gateway.request_line import RequestLine
    from xinfer.messages import ReplicaReport

_NO_HEADERS: Mapping[str, str] = {}


class RequestTrace:
    """A context manager around one request, which begins in the stage ``receive``. This one does nothing."""

    __slots__ = ()

    def __enter__(self) -> RequestTrace:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        return None

    def stage(self, name: str) -> None:
        """The next stage begins, and the one before ends."""

    def asks(self, uid: str, body: Mapping[str, Any], *, streams: bool) -> None:
        """The request is for this model, which exists."""

    def sends(self, replica: ReplicaReport) -> Mapping[str, str]:  # noqa: ARG002
        """The stage ``first byte`` begins: the request goes to ``replica``, with these headers."""
        return _NO_HEADERS

    def fails(self, why: str) -> None:
        """The stage under way has failed; another attempt may follow."""

    def breaks_off(self) -> None:
        """The response ends with an error after its status has been sent."""

    def took(self, line: RequestLine) -> None:
        """What is known of the request at its end."""


UNTRACED = RequestTrace()


class Traces(Protocol):
    """Where requests get their traces from."""

    def request(self, exchange: Exchange, key_id: str | None) -> RequestTrace:
        """Begin the trace of one request."""

    def stop(self) -> None:
        """Send what is left. Blocks for two seconds at most."""


class NoTraces:
    """Traces are off."""

    def request(self, exchange: Exchange, key_id: str | None) -> RequestTrace:  # noqa: ARG002
        return UNTRACED

    def stop(self) -> None:
        return None


def make_traces() -> Traces:
    """As this process's environment has it."""
    target = traces_target()
    if target is None:
        return NoTraces()

    from supervisor.gateway.recorded_trace import SentTraces

    return SentTraces(target)
