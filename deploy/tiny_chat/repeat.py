"""Turns in which the assistant repeats what it is given: the plainest way to learn to copy names and numbers."""

from random import Random

from tiny_chat.dialogue import Language, Turn
from tiny_chat.tool_schema import TOOLS
from tiny_chat.unknown import made_up_name

_ASK: dict[Language, tuple[str, ...]] = {
    "en": ("Repeat after me: {s}", "Repeat: {s}", "Say: {s}", "Please repeat: {s}", "repeat {s}", "Echo: {s}"),
    "zh": ("請重複：{s}", "跟我說：{s}", "重複一次：{s}", "請照著說：{s}", "複誦：{s}"),
}


def repeat_turn(rng: Random, lang: Language) -> Turn:
    """A request to repeat a few names, cities or numbers."""
    said = _words(rng, lang)
    thought = f"I should repeat: {said}" if lang == "en" else f"我要重複：{said}"
    return Turn(rng.choice(_ASK[lang]).format(s=said), thought, said)


def _words(rng: Random, lang: Language) -> str:
    words = [_word(rng, lang) for _ in range(rng.randint(1, 5))]
    return (" " if lang == "en" else rng.choice(("、", " "))).join(words)


def _word(rng: Random, lang: Language) -> str:
    match rng.randint(0, 4):
        case 0:
            return made_up_name(rng, lang)
        case 1:
            city: str = rng.choice(TOOLS["cities"])[0 if lang == "en" else 1]
            return city
        case 2:
            return f"{rng.randint(0, 999)} {rng.choice('+-*/')} {rng.randint(0, 999)}"
        case 3:
            return f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
    return str(rng.randint(0, rng.choice((20, 99, 999, 99999))))
