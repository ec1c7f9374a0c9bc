"""What tools send back, in the shapes they do it in, and how the assistant words it."""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from tiny_chat.dialogue import Language
from tiny_chat.tool_schema import TOOLS, ToolKind


@dataclass(frozen=True, slots=True)
class Reply:
    """A tool's answer as it stands in the conversation, and the sentence the user is told."""

    content: str
    sentence: str


def make_reply(rng: Random, kind: ToolKind, lang: Language, subject: str) -> Reply:
    """A plausible result for the subject."""
    if rng.random() < 0.03:
        return _failure(lang)
    match kind:
        case "weather":
            return _weather(rng, lang, subject)
        case "time":
            return _time(rng, lang, subject)
        case "calculator":
            return _value(rng, lang, subject)


def _failure(lang: Language) -> Reply:
    sentence = "Sorry, the tool returned an error." if lang == "en" else "抱歉，工具傳回了錯誤。"
    return Reply(json.dumps({"error": "not found"}), sentence)


def _weather(rng: Random, lang: Language, city: str) -> Reply:
    degrees = rng.randint(-15, 42)
    condition, condition_zh = rng.choice(TOOLS["conditions"])
    seen = condition_zh if lang == "zh" and rng.random() < 0.3 else condition
    shapes: list[Any] = [
        {"city": city, "temperature_c": degrees, "condition": seen},
        {"temperature": degrees, "condition": seen},
        {"location": city, "temperature": degrees, "unit": "celsius", "condition": seen},
        {"temp_c": degrees, "description": seen},
        {"city": city, "weather": seen, "temperature": degrees},
        f"{degrees}°C, {seen}",
        f"{seen}, {degrees}°C",
        f"{seen}, {degrees} degrees",
    ]
    english, chinese = f"It is {degrees}°C and {condition} in {city}.", f"{city}現在{degrees}°C，{condition_zh}。"
    return Reply(_dumped(rng.choice(shapes)), english if lang == "en" else chinese)


def _time(rng: Random, lang: Language, city: str) -> Reply:
    time = f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
    day = f"2026-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"
    shapes: list[Any] = [
        {"time": time},
        {"city": city, "time": time},
        {"current_time": time},
        {"time": f"{day}T{time}:00"},
        f"{day} {time}",
        time,
    ]
    return Reply(_dumped(rng.choice(shapes)), f"It is {time} in {city}." if lang == "en" else f"{city}現在是{time}。")


def _value(rng: Random, lang: Language, expression: str) -> Reply:
    value = round(_evaluate(expression.split()), 2)
    number = int(value) if value == int(value) else value
    shape = rng.choice([{"result": number}, {"value": number}, number, {"expression": expression, "result": number}])
    return Reply(_dumped(shape), f"{expression} = {number}" + ("." if lang == "en" else "。"))


def _evaluate(words: list[str]) -> float:
    """The value of numbers with operators between them; dividing by zero gives zero here."""
    for signs in ("+-", "*/"):
        for n in reversed(range(len(words))):
            if words[n] in signs:
                left, right = _evaluate(words[:n]), _evaluate(words[n + 1 :])
                quotient = left / right if right else 0.0
                return {"+": left + right, "-": left - right, "*": left * right, "/": quotient}[words[n]]
    return float(words[0])


def _dumped(shape: Any) -> str:
    return shape if isinstance(shape, str) else json.dumps(shape, ensure_ascii=False)
