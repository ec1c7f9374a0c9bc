"""Other words for a question about a fact, made from its trained wordings by patterns, never a held-out wording."""

import re
from functools import cache
from random import Random
from typing import Any

from tiny_chat.dialogue import LANGUAGES, Language, load_data
from tiny_chat.facts import Wording, capitalised, load_facts

REWORDINGS: dict[str, Any] = load_data("rewordings")
_PATTERN_SHARE, _OWN_SHARE, _SWAP_SHARE, _NOISE_SHARE = 0.7, 0.6, 0.2, 0.1


def reworded(rng: Random, wording: Wording, lang: Language) -> str:
    """A question about the fact in words that no list holds: by a pattern, with synonyms, or carelessly typed."""
    question = rng.choice(wording.ask)
    others = rewordings(wording, lang)
    if rng.random() < _PATTERN_SHARE:
        question = rng.choice(wording.more if wording.more and rng.random() < _OWN_SHARE else others)
    if rng.random() < _SWAP_SHARE:
        question = _swapped(rng, question, lang)
    if rng.random() < _NOISE_SHARE:
        question = _careless(rng, question, lang)
    return rng.choice(wording.ask) if is_held_out(question) else question


@cache
def rewordings(wording: Wording, lang: Language) -> tuple[str, ...]:
    """What the patterns make of the trained wordings, and the further wordings that the fact brings along."""
    made: dict[str, None] = dict.fromkeys(wording.more)
    for question in wording.ask:
        made |= dict.fromkeys(by_patterns(question, wording.topic, lang))
    return tuple(text for text in made if not is_held_out(text) and text not in wording.ask)


def by_patterns(question: str, topic: str, lang: Language) -> list[str]:
    """What the patterns make of one question."""
    made: list[str] = []
    for pattern, templates in REWORDINGS[lang]["rules"]:
        if found := re.fullmatch(pattern, question):
            parts = [part or "" for part in found.groups()]
            made += [capitalised(template.format(*parts, topic=topic)) for template in templates]
    return made


def is_held_out(question: str) -> bool:
    """Whether the question is a held-out wording but for case, spaces and punctuation."""
    return _bare(question) in _held_out()


@cache
def _held_out() -> frozenset[str]:
    return frozenset(_bare(q) for fact in load_facts() for lang in LANGUAGES for q in fact.wordings[lang].unseen)


def _bare(question: str) -> str:
    return "".join(letter for letter in question.lower() if letter.isalnum())


def _swapped(rng: Random, question: str, lang: Language) -> str:
    """The question with one or two expressions replaced by synonyms."""
    for old, new in rng.sample(REWORDINGS[lang]["swaps"], len(REWORDINGS[lang]["swaps"]))[: rng.choice((8, 20, 40))]:
        if old in question:
            question = " ".join(re.sub(rf"\b{old}\b", rng.choice(new), question, count=1).split()) if lang == "en" else (
                question.replace(old, rng.choice(new), 1)
            )  # fmt: skip
            if rng.random() < 0.6:
                break
    return question


def _careless(rng: Random, question: str, lang: Language) -> str:
    """The question without its small words, or with a slip of the fingers; in Chinese without its end mark."""
    if lang == "zh":
        return question.rstrip("？。")
    words = question.rstrip("?.").split()
    if rng.random() < 0.5:
        return " ".join(word for word in words if word.lower() not in REWORDINGS["en"]["small"]).lower() or question
    spot = rng.randrange(len(words))
    word = words[spot]
    if len(word) > 3:
        n = rng.randrange(1, len(word) - 1)
        words[spot] = rng.choice((word[:n] + word[n + 1 :], word[:n] + word[n + 1] + word[n] + word[n + 2 :]))
    return " ".join(words) + rng.choice(("?", ""))
