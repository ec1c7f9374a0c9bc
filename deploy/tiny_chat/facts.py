"""The facts tiny-chat knows, each worded in English and in Traditional Chinese."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from tiny_chat.dialogue import LANGUAGES, Language, load_data


@dataclass(frozen=True, slots=True)
class Wording:
    """A fact in one language: how it is asked, how it is answered, and what a right answer must contain.

    ``more`` are further wordings for training alone, and ``unseen`` ones are held out from it.
    """

    topic: str
    ask: tuple[str, ...]
    unseen: tuple[str, ...]
    answer: str
    key: tuple[str, ...]
    more: tuple[str, ...] = ()

    def is_answered_by(self, text: str) -> bool:
        """Whether the text contains every key string, whatever its case."""
        return all(key.lower() in text.lower() for key in self.key)


@dataclass(frozen=True, slots=True)
class Fact:
    """One piece of knowledge. ``unseen`` wordings are held out from training."""

    uid: str
    category: str
    wordings: dict[Language, Wording]


@cache
def load_facts() -> tuple[Fact, ...]:
    """All facts: the single ones, then the families (a capital for each country, and so on)."""
    single = [
        Fact(row["id"], row["category"], {lang: _wording(row[lang]) for lang in LANGUAGES})
        for row in load_data("facts")
    ]
    return (*single, *(fact for family in load_data("families") for fact in _family_facts(family)))


def _wording(data: dict[str, Any]) -> Wording:
    return Wording(data["topic"], tuple(data["ask"]), tuple(data.get("unseen", ())), data["answer"], tuple(data["key"]))


def _family_facts(family: dict[str, Any]) -> list[Fact]:
    name, category = family["name"], family["category"]
    return [
        Fact(f"{name}-{n}", category, {lang: _family_wording(family, row, lang) for lang in LANGUAGES})
        for n, row in enumerate(family["rows"])
    ]


def _family_wording(family: dict[str, Any], row: list[str], lang: Language) -> Wording:
    x, y = (row[0], row[1]) if lang == "en" else (row[2], row[3])
    slots = {"x": x, "y": y, "z": row[4] if len(row) > 4 else ""}
    data = family[lang]
    return Wording(
        topic=data["topic"].format(**slots),
        ask=tuple(capitalised(ask.format(**slots)) for ask in data["ask"]),
        unseen=tuple(capitalised(ask.format(**slots)) for ask in data["unseen"]),
        answer=capitalised(data["answer"].format(**slots)),
        key=(y,),
        more=tuple(capitalised(ask.format(**slots)) for ask in data["more"]),
    )


def capitalised(text: str) -> str:
    """The text with a capital first letter, the rest untouched."""
    return text[:1].upper() + text[1:]
