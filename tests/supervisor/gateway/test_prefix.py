"""How prompts begin, and who has seen which beginnings."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from supervisor.gateway.prefix import BLOCK_BYTES, PrefixMemory, PromptKey, prompt_key
from supervisor.gateway.request_body import parse_object

LONG = "word " * 400


def blocks(prompt: Any = LONG, uid: str = "m", **fields: Any) -> tuple[int, ...]:
    return prompt_key(uid, {"prompt": prompt, **fields}).blocks


def shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many blocks two keys begin with alike; what follows has to differ altogether."""
    count = next((n for n, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), None)
    count = min(len(one), len(other)) if count is None else count
    assert not set(one[count:]) & set(other[count:])
    return count


PIECES = st.lists(st.sampled_from(["a", "鯨", '"', "\n", "b" * 100, "c" * 255, "d" * 256, "e" * 1000]), max_size=6).map(
    "".join
)


@given(PIECES, PIECES, PIECES)
@example("", "", "")
@example("x" * 255, "a" * 300, "b" * 300)
@example("x" * 254, "a" * 300, "b" * 300)
def test_keys_are_alike_exactly_up_to_the_first_block_that_differs(same: str, one: str, other: str) -> None:
    texts = [msgspec.json.encode(same + rest) for rest in (one, other)]
    alike = next((n for n, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    assert shared(blocks(same + one), blocks(same + other)) == alike // BLOCK_BYTES


def test_conversation_that_goes_on_keeps_its_beginning() -> None:
    turns = [{"role": role, "content": LONG} for role in ("system", "user", "assistant", "user")]
    first, second = (prompt_key("m", {"messages": turns[:count]}).blocks for count in (2, 4))
    assert len(first) > 10
    assert len(second) > 20
    assert shared(first, second) >= len(first) - 1


@pytest.mark.parametrize(
    "other",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"uid": "n"},
    ],
    ids=str,
)
def test_what_comes_before_the_prompt_changes_all_of_it(other: dict[str, Any]) -> None:
    assert len(blocks()) > 5
    assert shared(blocks(), blocks(**other)) == 0


def test_what_does_not_change_the_prompt_changes_nothing() -> None:
    assert blocks() == blocks(temperature=0, stream=True, max_tokens=5, seed=1)


def test_prompt_is_compared_up_to_64_kib() -> None:
    megabyte = "x" * 1_000_000
    assert len(blocks(megabyte)) * BLOCK_BYTES == 64 * 1024
    assert blocks(megabyte) == blocks("x" * 65_536 + "y" * 100_000)
    assert blocks(megabyte) != blocks("x" * 65_000 + "y" * 100_000)


@pytest.mark.parametrize("prompt", ["", "hello", "x" * (BLOCK_BYTES - 3)])
def test_short_prompt_has_no_blocks(prompt: str) -> None:
    assert prompt_key("m", {"prompt": prompt}) == PromptKey((), None)
    assert prompt_key("m", {"messages": [{"role": "user", "content": prompt}]}).session is None


def test_owner_is_in_any_of_three_fields() -> None:
    sessions = [prompt_key("m", {"prompt": "hi", name: "anna"}).session for name in ("session_id", "user")]
    assert sessions[0] is not None
    assert sessions == [prompt_key("m", {"prompt": LONG, "prompt_cache_key": "anna"}).session] * 2
    assert prompt_key("m", {"user": "bert"}).session != sessions[0]
    assert prompt_key("n", {"user": "anna"}).session != sessions[0]
    assert prompt_key("m", {"session_id": "anna", "user": "bert"}).session == sessions[0]


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=8)
FIELDS = ("messages", "prompt", "tools", "chat_template_kwargs", "session_id", "prompt_cache_key", "user")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
@example({"messages": [{"role": "user", "content": [{"type": "text", "text": LONG}, {"type": "image_url"}]}]})
@example({"prompt": list(range(1000))})
@example({"prompt": [LONG, LONG]})
@example({"prompt": 10**400, "user": 5})
@example({"messages": None, "prompt": None, "tools": 0, "user": None})
@settings(max_examples=50, deadline=None)
def test_odd_bodies_have_a_key_and_the_same_one_each_time(body: dict[str, Any]) -> None:
    key, again = (prompt_key("m", parse_object(json.dumps(body).encode())) for _ in range(2))
    assert key == again


def test_list_of_tokens_is_compared_like_text() -> None:
    tokens = list(range(1000))
    assert len(blocks(tokens)) > 10
    assert 0 < shared(blocks(tokens), blocks([*tokens[:500], 0, *tokens[501:]])) < len(blocks(tokens))


def best(memory: PrefixMemory, key: PromptKey, among: str = "abc") -> tuple[str, int]:
    names, blocks = memory.best(key, lambda name: name in among)
    return "".join(sorted(names)), blocks


def test_memory_knows_who_has_seen_most() -> None:
    memory = PrefixMemory()
    memory.remember(PromptKey((1, 2, 3), session=9), "a")
    memory.remember(PromptKey((1, 2)), "b")
    memory.remember(PromptKey((1, 2)), "c")
    asked = PromptKey((1, 2, 3, 4), session=9)
    assert best(memory, asked) == ("a", 3)
    assert best(memory, asked, among="bc") == ("bc", 2)
    assert best(memory, PromptKey((1, 2), session=9)) == ("a", 2)
    assert best(memory, PromptKey((7,))) == ("", 0)
    assert best(memory, PromptKey((7,), session=9)) == ("a", 0)
    assert best(memory, PromptKey((7,), session=9), among="bc") == ("", 0)


def test_block_that_very_many_have_seen() -> None:
    memory = PrefixMemory()
    many = [f"r{number}" for number in range(30)]
    for name in many + many:
        memory.remember(PromptKey((1,)), name)
    assert sorted(memory.best(PromptKey((1,)), lambda _: True)[0]) == sorted(many)
    assert memory.known_blocks(PromptKey((1,)), "r29") == 1
    memory.forget(frozenset(many[:25]))
    assert sorted(memory.best(PromptKey((1,)), lambda _: True)[0]) == sorted(many[25:])


@given(st.lists(st.tuples(st.lists(st.integers(0, 40), max_size=20, unique=True), st.sampled_from("abc")), max_size=30))
def test_memory_is_bounded(prompts: list[tuple[list[int], str]]) -> None:
    memory = PrefixMemory(capacity=10)
    for marks, replica in prompts:
        memory.remember(PromptKey(tuple(marks)), replica)
        assert len(memory) <= 10


def test_what_was_not_met_for_longest_is_forgotten_first() -> None:
    memory = PrefixMemory(capacity=3)
    for mark in (1, 2, 3, 1, 4):
        memory.remember(PromptKey((mark,)), "a")
    assert [mark for mark in range(1, 5) if memory.known_blocks(PromptKey((mark,)), "a")] == [1, 3, 4]


def test_replica_that_is_gone_is_forgotten_and_its_room_is_free() -> None:
    memory = PrefixMemory()
    memory.remember(PromptKey((1, 2), session=9), "a")
    memory.remember(PromptKey((1,)), "b")
    memory.forget(frozenset("ac"))
    assert best(memory, PromptKey((1, 2), session=9)) == ("b", 1)
    assert len(memory) == 1


def test_responses_and_messages_have_beginnings_too() -> None:
    turns = [{"role": "user", "content": LONG}, {"role": "assistant", "content": LONG}]
    for field in ("input", "messages"):
        first, second = (prompt_key("m", {field: turns[:count]}).blocks for count in (1, 2))
        assert shared(first, second) >= len(first) - 1 > 5
    assert prompt_key("m", {"input": LONG}) == prompt_key("m", {"prompt": LONG})


@pytest.mark.parametrize(
    "fields", [{"system": "a"}, {"system": [{"type": "text", "text": "a"}]}, {"instructions": "a"}], ids=repr
)
def test_system_prompt_comes_before_the_messages(fields: dict[str, Any]) -> None:
    assert shared(blocks(), blocks(**fields)) == 0
    assert blocks(**fields) == blocks(**fields)


def test_what_claude_code_marks_each_request_with_makes_no_difference() -> None:
    def key(mark: str) -> tuple[int, ...]:
        system = [{"type": "text", "text": f"x-anthropic-billing-header: {mark}"}, {"type": "text", "text": "a"}, 1]
        return blocks(system=system)

    assert key("1") == key("2")
    assert key("1") != blocks(system="b")


def home(body: dict[str, Any], uid: str = "m") -> int | None:
    return prompt_key(uid, body, with_home=True).home


def said(*texts: str) -> list[dict[str, Any]]:
    """A conversation with a system prompt, which user and assistant take turns in."""
    roles = ("system", "user", "assistant", "user")
    return [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


def test_turns_of_a_conversation_have_one_home() -> None:
    first = prompt_key("m", {"messages": said(LONG, "Anna asks" * 100)}, with_home=True)
    third = prompt_key("m", {"messages": said(LONG, "Anna asks" * 100, "yes", "and then?")}, with_home=True)
    assert first.home is not None
    assert (first.home, first.opening_blocks) == (third.home, third.opening_blocks)
    assert first.opening_blocks in (len(first.blocks) - 1, len(first.blocks))
    assert home({"messages": said(LONG, "Bert asks" * 100)}) != first.home
    assert home({"messages": said(LONG, "Anna asks" * 100)}, uid="n") != first.home
    assert prompt_key("m", {"messages": said(LONG, "Anna asks")}).home is None, "one supervisor needs none"


def test_owner_has_a_home_and_a_prompt_alone_has_none() -> None:
    assert home({"prompt": LONG}) is None
    assert home({"messages": [{"role": "system", "content": LONG}]}) is None
    assert home({"prompt": "hi", "user": "anna"}) == home({"prompt": LONG, "session_id": "anna"}) is not None


def test_home_is_the_same_in_every_process() -> None:
    """Python's own hashes are not."""
    assert home({"messages": said("be brief", "hello")}) == 7304986869468750505
