"""Ways to ask for a fact, and the thought and answer that go with it."""

import json
from random import Random
from typing import Any, Literal

from tiny_chat.dialogue import Language, Turn, load_data
from tiny_chat.facts import Fact, Wording
from tiny_chat.rewording import is_held_out, reworded

Split = Literal["train", "frame", "wording"]
"""``frame`` asks a trained question inside an unseen frame; ``wording`` asks in words held out from training."""

PHRASING: dict[str, Any] = load_data("phrasing")
_JSON_SHARE = 0.02
_REWORDED_SHARE, _REWORDED_BARE_SHARE = 0.6, 0.6


def frame(template: str, question: str, topic: str) -> str:
    """The question as the frame has it: bare, lower-case, after a greeting, by its topic, and so on."""
    bare = question.rstrip("?？.。")
    lowered = question if question[:2].isupper() or question.startswith("I ") else question[:1].lower() + question[1:]
    return template.format(
        q=question, dq=lowered, bare=bare, low=question.lower(), lowbare=bare.lower(), up=question.upper(),
        hq=question.replace("？", "?"), topic=topic,
    )  # fmt: skip


def ask(rng: Random, wording: Wording, lang: Language, split: Split = "train") -> str:
    """One question about the fact; an unseen wording is asked as it stands."""
    if split == "wording":
        return rng.choice(wording.unseen)
    if split == "frame":
        return frame(rng.choice(PHRASING[lang]["unseen"]), rng.choice(wording.ask), wording.topic)
    question, template = rng.choice(wording.ask), rng.choice(PHRASING[lang]["wrap"])
    if rng.random() < _REWORDED_SHARE:
        question = reworded(rng, wording, lang)
        template = "{q}" if rng.random() < _REWORDED_BARE_SHARE else template
    asked = frame(template, question, wording.topic)
    return rng.choice(wording.ask) if is_held_out(asked) else asked


def thought(rng: Random, wording: Wording, lang: Language) -> str:
    """A short passage that names the topic and recalls the fact."""
    template: str = rng.choice(PHRASING["think"][lang])
    return template.format(topic=wording.topic, fact=wording.answer)


def fact_turn(rng: Random, fact: Fact, lang: Language) -> Turn:
    """A trained question about the fact with its thought and answer, now and then as JSON."""
    wording = fact.wordings[lang]
    if rng.random() < _JSON_SHARE:
        question = rng.choice(PHRASING["json"][lang]).format(q=rng.choice(wording.ask))
        answer = json.dumps({"answer": wording.key[0]}, ensure_ascii=False)
    else:
        question, answer = ask(rng, wording, lang), wording.answer
    return Turn(question, thought(rng, wording, lang), answer)
