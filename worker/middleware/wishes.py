"""How the supervisor wants an answer, read from the headers of its request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

import msgspec

from worker.middleware.reasoning import Inline, MakeShape, Omit, Split
from xinfer.wire.paths import (
    INCREMENTAL,
    OMIT,
    REASONING_HEADER,
    REQUEST_ID_HEADER,
    TOOL_CALLS_HEADER,
    USAGE_HEADER,
    USAGE_MERGED,
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """Of a request that says nothing: the engine's own usage chunk, tool calls whole, reasoning beside the content."""

    merge_usage: bool = False
    whole_calls: bool = True
    reasoning: MakeShape = Split
    request_id: str | None = None

    @classmethod
    def read(cls, headers: Iterable[tuple[bytes, bytes]]) -> Wishes:
        named = dict(headers)
        request_id = named.get(REQUEST_ID_HEADER)
        return cls(
            merge_usage=named.get(USAGE_HEADER) == USAGE_MERGED,
            whole_calls=named.get(TOOL_CALLS_HEADER) != INCREMENTAL,
            reasoning=_shape(named.get(REASONING_HEADER)),
            request_id=None if request_id is None else unquote(request_id.decode()),
        )


def _shape(value: bytes | None) -> MakeShape:
    if value is None:
        return Split
    if value == OMIT:
        return Omit
    start, end = msgspec.json.decode(unquote(value.decode()), type=tuple[str, str])
    return partial(Inline, start, end)
