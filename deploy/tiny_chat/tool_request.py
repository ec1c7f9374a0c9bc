"""What a user asks of a tool: the weather or the time in a city, or the value of an expression."""

from dataclasses import dataclass
from random import Random
from typing import Literal

from tiny_chat.dialogue import Language
from tiny_chat.tool_schema import TOOLS, ToolKind, ToolSpec
from tiny_chat.unknown import made_up_name

Phrasings = Literal["ask", "unseen"]


@dataclass(frozen=True, slots=True)
class Request:
    """One or two subjects (cities, or an expression) that the user wants looked up."""

    kind: ToolKind
    lang: Language
    question: str
    subjects: tuple[str, ...]
    zones: tuple[str, ...] = ()

    def arguments(self, spec: ToolSpec) -> list[dict[str, str]]:
        """The arguments of the right calls, one for each subject."""
        values = self.zones if spec.argument == "timezone" else self.subjects
        return [{spec.argument: value} for value in values]

    def thought(self, spec: ToolSpec) -> str:
        """A short passage that names the subjects and the tool."""
        template: str = TOOLS["kinds"][self.kind][self.lang]["think"]
        return template.format(c=self.joined(), e=self.joined(), name=spec.name)

    def joined(self) -> str:
        """The subjects as one phrase."""
        return (" and " if self.lang == "en" else "和").join(self.subjects)


def make_request(
    rng: Random, kind: ToolKind, lang: Language, phrasings: Phrasings = "ask", made_up: float = 0.3
) -> Request:
    """A request of this kind; cities may be made up, unless a time zone has to be known."""
    if kind == "calculator":
        spoken, expression = _expression(rng, lang)
        return Request(kind, lang, _question(rng, kind, lang, phrasings, spoken), (expression,))
    count = 2 if rng.random() < 0.15 else 1
    cities = rng.sample(TOOLS["cities"], count)
    names = [city[0 if lang == "en" else 1] for city in cities]
    if kind == "weather" and rng.random() < made_up:
        names = [_unheard_city(rng, lang) for _ in names]
    request = Request(kind, lang, "", tuple(names), tuple(city[2] for city in cities))
    question = _question(rng, kind, lang, phrasings, request.joined())
    return Request(kind, lang, question, request.subjects, request.zones)


def _question(rng: Random, kind: ToolKind, lang: Language, phrasings: Phrasings, subject: str) -> str:
    template: str = rng.choice(TOOLS["kinds"][kind][lang][phrasings])
    question = template.format(c=subject, e=subject)
    if phrasings == "ask" and rng.random() < 0.15:
        question = question.rstrip("?？.。")
    return question


def _unheard_city(rng: Random, lang: Language) -> str:
    if lang == "zh":
        return made_up_name(rng, lang)
    return " ".join(made_up_name(rng).capitalize() for _ in range(rng.choice((1, 1, 1, 1, 2))))


def _expression(rng: Random, lang: Language) -> tuple[str, str]:
    """The expression as the user writes it and as the tool wants it."""
    tight = rng.random() < 0.4
    spoken = expression = _number(rng)
    for _ in range(1 if rng.random() < 0.8 else 2):
        operator, number = rng.choice("++-**/"), _number(rng)
        words = [operator] if tight else TOOLS["operators"][operator][lang]
        word = rng.choice(words)
        gap = "" if tight or (lang == "zh" and not word.isascii()) else " "
        spoken += f"{gap}{word}{gap}{number}"
        expression += f" {operator} {number}"
    return spoken, expression


def _number(rng: Random) -> str:
    return str(rng.choice((rng.randint(0, 20), rng.randint(2, 99), rng.randint(2, 99), rng.randint(10, 999))))
