"""Questions beyond tiny-chat: made-up things, people, code, advice, long tasks. It answers that it does not know."""

import string
from random import Random
from typing import Any

from tiny_chat.dialogue import Language, Turn, load_data
from tiny_chat.facts import capitalised
from tiny_chat.phrasing import PHRASING, frame
from tiny_chat.rewording import by_patterns

_UNKNOWN: dict[str, Any] = load_data("unknown")
_CHAT: dict[str, Any] = load_data("chat")
_FAMILIES: list[dict[str, Any]] = [f for f in load_data("families") if f["name"] in _UNKNOWN["near_misses"]]
_ONSETS = [
    *"bcdfghjklmnprstvwxyz",
    "bl",
    "br",
    "ch",
    "dr",
    "fl",
    "gl",
    "gr",
    "kr",
    "pr",
    "qu",
    "sh",
    "sk",
    "st",
    "th",
    "tr",
]
_VOWELS = [*"aeiou", "ai", "ea", "oo", "ou", "ie"]
_CODAS = ["", "", "", "n", "r", "s", "x", "l", "th", "m", "ck", "rd", "nt"]
_CHARACTERS = "阿卡洛斯爾瑪塔里奧薩維克諾巴菲多拉姆格沃倫希亞德魯庫札比娜羅摩森迪伊凡波加特龍雲峰嵐玄青紫霜影靈極幻"


def made_up_name(rng: Random, lang: Language = "en") -> str:
    """A name that means nothing."""
    if lang == "zh":
        return "".join(rng.choice(_CHARACTERS) for _ in range(rng.randint(2, 4)))
    syllables = ("".join(map(rng.choice, (_ONSETS, _VOWELS, _CODAS))) for _ in range(rng.randint(2, 3)))
    name = "".join(syllables)
    return name.capitalize() if rng.random() < 0.7 else name


def unknown_turn(rng: Random, lang: Language, reworded: float = 0.0) -> Turn:
    """A question out of depth, with the thought and the honest answer; this share of them reworded as facts are."""
    question, subject = _near_miss(rng, lang, reworded) if rng.random() < 0.3 else _open_question(rng, lang)
    if reworded and rng.random() < reworded:
        question = rng.choice(by_patterns(question, subject, lang) or [question])
    return honest_turn(rng, lang, _noised(rng, question, lang), subject)


def honest_turn(rng: Random, lang: Language, question: str, subject: str) -> Turn:
    """The turn in which tiny-chat says that it does not know."""
    thought = rng.choice(_CHAT["unknown_thoughts"][lang]).format(subject=subject)
    answer = rng.choice(_CHAT["unknown_answers"][lang]).format(example=rng.choice(_CHAT["examples"][lang]))
    return Turn(question, thought, answer)


def _noised(rng: Random, question: str, lang: Language) -> str:
    roll = rng.random()
    if roll < 0.5:
        return question
    if roll < 0.65:
        return question.rstrip("?？.。")
    if roll < 0.75:
        return question.lower()
    frames = [f for f in PHRASING[lang]["wrap"] if "{topic}" not in f]
    return frame(rng.choice(frames), question, "")


def _open_question(rng: Random, lang: Language) -> tuple[str, str]:
    template, subject = rng.choice(_UNKNOWN[lang]["templates"])
    slots = _slots(rng, lang)
    return template.format(**slots), subject.format(**slots)


def _near_miss(rng: Random, lang: Language, reworded: float) -> tuple[str, str]:
    """A known kind of question about something unknown, such as the capital of a made-up country."""
    family = rng.choice(_FAMILIES)
    names = rng.choice(_UNKNOWN["near_misses"][family["name"]])
    made_up = rng.random() < 0.4
    x = made_up_name(rng, lang) if made_up else names[0 if lang == "en" else 1]
    if lang == "zh" and made_up and family["name"] in ("author", "artist"):
        x = f"《{x}》"
    wordings = family[lang]["more" if reworded and rng.random() < reworded else "ask"]
    asks = [ask for ask in wordings if "{y}" not in ask]
    return capitalised(rng.choice(asks).format(x=x)), family[lang]["topic"].format(x=x)


def _slots(rng: Random, lang: Language) -> dict[str, str]:
    ranges = {"n": (2, 12), "n2": (2, 60), "year": (1200, 2030), "big": (111, 99999)}
    values: dict[str, str] = {name: str(rng.randint(*bounds)) for name, bounds in ranges.items()}
    values |= {name: made_up_name(rng, lang) for name in ("made", "made2", "made3")}
    for name, choices in _UNKNOWN[lang]["slots"].items():
        values[name], values[name + "2"] = rng.choice(choices), rng.choice(choices)
    if rng.random() < 0.3:
        values["person"] = _person(rng, lang)
    if rng.random() < 0.15:
        values["lib"] = made_up_name(rng)
    return values


def _person(rng: Random, lang: Language) -> str:
    if lang == "zh":
        return made_up_name(rng, "zh")
    return f"{made_up_name(rng).capitalize()} {made_up_name(rng).capitalize()}"


def gibberish(rng: Random) -> str:
    """A few random letters."""
    return "".join(rng.choice(string.ascii_lowercase) for _ in range(rng.randint(3, 12)))
