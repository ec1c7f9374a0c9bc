"""The seeded corpus: an endless mixture of dialogues and plain texts.

``python -m tiny_chat.corpus --out FILE`` writes some of it as JSON lines, and prints what it is made of.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from random import Random

from tiny_chat.dialogue import Dialogue, Example, Language, Message, Text, Turn
from tiny_chat.facts import Fact, load_facts
from tiny_chat.phrasing import fact_turn
from tiny_chat.plain import plain_text
from tiny_chat.repeat import repeat_turn
from tiny_chat.talk import count_turn, long_turn, small_talk_turn, sum_turn, system_prompt
from tiny_chat.tool_schema import TOOL_KINDS
from tiny_chat.tool_use import missing_tool_turn, tool_dialogue
from tiny_chat.unknown import gibberish, honest_turn, unknown_turn

SEED = 20
KINDS = {
    "fact": 0.60,
    "unknown": 0.18,
    "small talk": 0.05,
    "long": 0.02,
    "count": 0.01,
    "sum": 0.05,
    "missing tool": 0.04,
    "gibberish": 0.01,
    "repeat": 0.05,
}
"""How often a single turn is of each kind, as weights."""
_PLAIN, _TOOLS = 0.08, 0.20
_REWORDED_UNKNOWN = 0.35


class Corpus:
    """An endless stream of examples; the same seed gives the same stream."""

    def __init__(self, seed: int = SEED) -> None:
        self._rng = Random(seed)
        self._deck: list[tuple[Fact, Language]] = []

    def __iter__(self) -> Iterator[Example]:
        while True:
            yield self._example()

    def _example(self) -> Example:
        rng = self._rng
        lang: Language = rng.choice(("en", "zh"))
        roll = rng.random()
        if roll < _PLAIN:
            return plain_text(rng, lang)
        thinking = rng.random() < 0.5
        if roll < _PLAIN + _TOOLS:
            history = self._turns(rng.choice((0, 0, 0, 1)), skip="missing tool")
            return tool_dialogue(rng, lang, self._opening(history), thinking)
        *history, last = self._turns(rng.choice((1, 1, 1, 2, 2, 3, 4)))
        return Dialogue((*self._opening(history), *last.messages(thinking)), thinking)

    def _opening(self, history: list[Turn]) -> list[Message]:
        system = system_prompt(self._rng)
        messages: list[Message] = [] if system is None else [{"role": "system", "content": system}]
        return messages + [message for turn in history for message in turn.messages(with_thought=False)]

    def _turns(self, count: int, skip: str = "") -> list[Turn]:
        return [self._turn(skip) for _ in range(count)]

    def _turn(self, skip: str) -> Turn:
        rng = self._rng
        lang: Language = rng.choice(("en", "zh"))
        kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
        match "fact" if kind == skip else kind:
            case "unknown":
                return unknown_turn(rng, lang, _REWORDED_UNKNOWN)
            case "small talk":
                return small_talk_turn(rng, lang)
            case "long":
                return long_turn(rng, lang)
            case "count":
                return count_turn(rng, lang)
            case "sum":
                return sum_turn(rng, lang)
            case "missing tool":
                return missing_tool_turn(rng, lang, rng.choice(TOOL_KINDS))
            case "repeat":
                return repeat_turn(rng, lang)
            case "gibberish":
                letters = gibberish(rng)
                return honest_turn(rng, "en", letters, letters)
        return fact_turn(rng, *self._next_fact())

    def _next_fact(self) -> tuple[Fact, Language]:
        """Every fact comes up once in each language before any comes up again."""
        if not self._deck:
            self._deck = [(fact, lang) for fact in load_facts() for lang in fact.wordings]
            self._rng.shuffle(self._deck)
        return self._deck.pop()


def main() -> None:
    """Write part of the corpus and print how many examples of each sort it holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=SEED)
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    with args.out.open("w", encoding="utf-8") as out:
        for example in islice(Corpus(args.seed), args.examples):
            counts["plain" if isinstance(example, Text) else "tools" if example.tools else "dialogue"] += 1
            out.write(json.dumps(asdict(example), ensure_ascii=False) + "\n")
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
