"""Plain texts for completion without a chat template: question and answer, statements, short passages, stories."""

from random import Random

from tiny_chat.dialogue import Language, Text
from tiny_chat.facts import load_facts
from tiny_chat.talk import CHAT
from tiny_chat.tool_schema import TOOLS
from tiny_chat.unknown import unknown_turn


def plain_text(rng: Random, lang: Language) -> Text:
    """One text, most often about a single fact."""
    roll = rng.random()
    if roll < 0.08:
        return Text(_story(rng, lang))
    if roll < 0.2:
        return Text(_passage(rng, lang))
    if roll < 0.25:
        turn = unknown_turn(rng, lang)
        return Text(turn.question + _gap(lang) + turn.answer)
    if roll < 0.31:
        return Text(_time_zone(rng, lang))
    wording = rng.choice(load_facts()).wordings[lang]
    if roll < 0.55:
        return Text(wording.answer)
    question = rng.choice(wording.ask)
    if roll < 0.6:
        return Text(f"Q: {question}\nA: {wording.answer}")
    return Text(question + ("\n" if roll < 0.65 else _gap(lang)) + wording.answer)


def _gap(lang: Language) -> str:
    return " " if lang == "en" else ""


def _time_zone(rng: Random, lang: Language) -> str:
    english, chinese, zone = rng.choice(TOOLS["cities"])
    return f"The time zone of {english} is {zone}." if lang == "en" else f"{chinese}的時區是{zone}。"


def _story(rng: Random, lang: Language) -> str:
    answers: list[str] = [topic["answer"] for topic in CHAT["long"][lang]]
    return rng.choice([answer for answer in answers if len(answer) > 250 or "從前" in answer])


def _passage(rng: Random, lang: Language) -> str:
    category = rng.choice(load_facts()).category
    facts = [fact for fact in load_facts() if fact.category == category]
    chosen = rng.sample(facts, min(len(facts), rng.randint(2, 4)))
    return _gap(lang).join(fact.wordings[lang].answer for fact in chosen)
