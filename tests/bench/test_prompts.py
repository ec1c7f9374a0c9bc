"""Prompts: as long as asked, the same on both sides of a pair but for a head that no other has; and what follows them."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from xinfer.bench.workload import Conversation, Prompts, Workload


def prompts(seed: int = 1, tokens: int = 100, **work: Any) -> Prompts:
    return Prompts(Workload(seed, tokens, **work))


def take(found: Prompts, leg: int, count: int = 1000) -> list[list[str]]:
    return [talk.prompt().split() for talk in islice(found.of_leg(leg), count)]


def test_as_many_words_as_tokens() -> None:
    assert {len(words) for words in take(prompts(), leg=1)} == {100}


def test_no_two_of_a_run_begin_alike() -> None:
    found = prompts()
    heads = [tuple(words[:4]) for leg in range(1, 300) for words in take(found, leg, 300)]
    assert len(set(heads)) == len(heads)


def test_neighbours_differ_in_their_first_word() -> None:
    assert len({words[0] for words in take(prompts(), leg=7, count=200)}) == 200


def test_the_rest_is_the_same_in_every_leg() -> None:
    found = prompts()
    rests = {tuple(words[4:]) for leg in (1, 2) for words in take(found, leg, 10)}
    assert len(rests) == 1


def test_a_seed_says_it_all() -> None:
    assert take(prompts(1), leg=3) == take(prompts(1), leg=3)
    assert take(prompts(1), leg=3) != take(prompts(2), leg=3)


def test_a_shared_prefix_comes_first_and_counts() -> None:
    found = take(prompts(shared_prefix_tokens=60), leg=1, count=200)
    assert len({tuple(words[:60]) for words in found}) == 1
    assert len({words[60] for words in found}) == 200
    assert {len(words) for words in found} == {100}


def test_later_turns_are_as_long_as_asked_and_the_same_in_every_leg() -> None:
    found = prompts(turns=3, output_tokens=9, turn_tokens=5)
    one, other = next(found.of_leg(1)), next(found.of_leg(2))
    assert [len(text.split()) for text in one.texts] == [100, 9, 5, 9, 5]
    assert one.texts[1:] == other.texts[1:]
    assert len(set(one.texts)) == 5
    assert one.turns == 3


def test_first_turns_do_not_depend_on_how_many_follow() -> None:
    assert take(prompts(), leg=1) == take(prompts(turns=4), leg=1)


TALK = Conversation("be kind", ("hi", "hello", "how are you", "fine", "bye"))


@pytest.mark.parametrize(("turn", "said"), [(0, 1), (1, 3), (2, 5)])
def test_messages_of_a_turn(turn: int, said: int) -> None:
    system, *others = TALK.messages(turn)
    assert system == {"role": "system", "content": "be kind"}
    assert [message["content"] for message in others] == list(TALK.texts[:said])
    assert [message["role"] for message in others] == ["user", "assistant", "user", "assistant", "user"][:said]


def test_nothing_shared_is_no_message() -> None:
    assert Conversation("", ("hi",)).messages() == [{"role": "user", "content": "hi"}]
