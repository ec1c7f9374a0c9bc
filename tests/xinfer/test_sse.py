"""Server-sent events: what is encoded can be cut out again, however it arrives."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xinfer.wire.sse import DATA, DONE, END, EventSplitter, encode_event

JSON = st.dictionaries(st.text(max_size=4), st.text(max_size=8) | st.integers(-9, 9) | st.none(), max_size=3)


@given(st.lists(JSON, max_size=5), st.lists(st.integers(0, 200), max_size=8))
def test_events_survive_any_cuts(payloads: list[dict[str, Any]], cuts: list[int]) -> None:
    stream = b"".join(encode_event(payload) for payload in payloads) + DONE
    ends = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    splitter = EventSplitter()
    events: list[bytes] = []
    for start, end in pairwise(ends):
        events += splitter.feed(stream[start:end])
    assert [event + END for event in events[-1:]] == [DONE]
    assert [json.loads(event.removeprefix(DATA)) for event in events[:-1]] == payloads


def test_named_event_has_its_name_first() -> None:
    assert encode_event({"a": "鯨"}, b"error") == 'event: error\ndata: {"a":"鯨"}\n\n'.encode()


def test_half_an_event_is_none() -> None:
    assert EventSplitter().feed(b"data: 1\n") == []
