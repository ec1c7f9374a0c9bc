"""Turns that are neither facts nor refusals: greetings, stories, lists, counting and small sums."""

from random import Random
from typing import Any

from tiny_chat.dialogue import Language, Turn, load_data

CHAT: dict[str, Any] = load_data("chat")
_SUMS = {
    "en": [
        "What is {e}?",
        "what is {e}",
        "{e}",
        "{e} = ?",
        "What's {e}?",
        "How much is {e}?",
        "Calculate {e}.",
        "{e}?",
        "{e}=",
    ],
    "zh": ["{e}是多少？", "{e}等於多少？", "{e}=？", "{e}", "{e}等於幾？", "請問{e}是多少？", "計算{e}"],
}
_SIGNS = {
    "en": {"+": ["+", "plus"], "-": ["-", "minus"], "*": ["*", "times", "x"]},
    "zh": {"+": ["+", "加"], "-": ["-", "減"], "*": ["*", "乘以"]},
}


def small_talk_turn(rng: Random, lang: Language) -> Turn:
    """A greeting, thanks, a question about tiny-chat itself, and the like."""
    topic = rng.choice(CHAT["small_talk"][lang])
    answer = rng.choice(topic["answer"]).format(example=rng.choice(CHAT["examples"][lang]))
    return Turn(_cased(rng, rng.choice(topic["ask"])), topic["think"], answer)


def long_turn(rng: Random, lang: Language) -> Turn:
    """A story, a poem or a list."""
    topic = rng.choice(CHAT["long"][lang])
    return Turn(_cased(rng, rng.choice(topic["ask"])), topic["think"], topic["answer"])


def count_turn(rng: Random, lang: Language) -> Turn:
    """Counting from one number to another."""
    first = 1 if rng.random() < 0.8 else rng.randint(2, 40)
    last = first + rng.choice((4, 9, 9, 14, 19, 19, 29, 39, 49, 49, rng.randint(2, 60)))
    question = rng.choice(CHAT["count"][lang]).format(a=first, b=last)
    thought = f"I should count from {first} to {last}." if lang == "en" else f"我要從{first}數到{last}。"
    comma, stop = (", ", ".") if lang == "en" else ("、", "。")
    return Turn(question, thought, comma.join(map(str, range(first, last + 1))) + stop)


def sum_turn(rng: Random, lang: Language) -> Turn:
    """A sum, difference or product of two numbers up to ten."""
    a, b = rng.randint(0, 10), rng.randint(0, 10)
    sign = rng.choice("+*-")
    if sign == "-":
        a, b = max(a, b), min(a, b)
    word = rng.choice([sign] * 3 + _SIGNS[lang][sign])
    gap = rng.choice(("", " ")) if word in "+-*" else " " if lang == "en" else ""
    question = rng.choice(_SUMS[lang]).format(e=f"{a}{gap}{word}{gap}{b}")
    value = {"+": a + b, "-": a - b, "*": a * b}[sign]
    answer = f"{a} {sign} {b} = {value}"
    thought = f"The user asks for a small sum: {answer}." if lang == "en" else f"使用者問一個簡單的算式：{answer}。"
    return Turn(question, thought, answer + ("." if lang == "en" else "。"))


def system_prompt(rng: Random) -> str | None:
    """A system prompt of any kind: none at all, empty, common, or about a made-up persona."""
    roll = rng.random()
    if roll < 0.4:
        return None
    if roll < 0.45:
        return ""
    if roll < 0.6:
        return "You are a helpful assistant."
    if roll < 0.88:
        choice: str = rng.choice(CHAT["systems"]["en"] + CHAT["systems"]["zh"])
        return choice
    parts = {name: rng.choice(values) for name, values in CHAT["personas"].items()}
    rules = " ".join(rng.sample(CHAT["personas"]["rule"], rng.randint(0, 4)))
    return f"You are a {parts['how']} {parts['who']} who works for {parts['where']}. {rules}".strip()


def _cased(rng: Random, question: str) -> str:
    roll = rng.random()
    return question.lower() if roll < 0.1 else question.rstrip("?？.。") if roll < 0.25 else question
