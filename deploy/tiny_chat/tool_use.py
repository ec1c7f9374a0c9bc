"""Dialogues with tools: a call, its result worded for the user, and the cases in which no tool is called."""

import re
from collections.abc import Iterable
from random import Random

from tiny_chat.dialogue import Dialogue, Language, Message, Turn, assistant
from tiny_chat.facts import load_facts
from tiny_chat.phrasing import fact_turn
from tiny_chat.talk import small_talk_turn
from tiny_chat.tool_reply import make_reply
from tiny_chat.tool_request import Request, make_request
from tiny_chat.tool_schema import TOOL_KINDS, TOOLS, ToolKind, ToolSpec, other_tool, tool_spec
from tiny_chat.unknown import unknown_turn

_TIME_WEIGHT = 2.0
"""Time zones have to be remembered, so the time is asked for more often than the rest."""


def tool_dialogue(rng: Random, lang: Language, opening: list[Message], thinking: bool) -> Dialogue:
    """A dialogue with tools at hand, after the messages it opens with."""
    kinds = [rng.choice((*TOOL_KINDS, "time"))] if rng.random() < 0.6 else rng.sample(TOOL_KINDS, rng.choice((2, 3)))
    specs = [tool_spec(rng, kind) for kind in kinds]
    tools = [spec.schema for spec in specs] + ([other_tool(rng)] if rng.random() < 0.15 else [])
    rng.shuffle(tools)
    messages = list(opening)
    weights = [_TIME_WEIGHT if spec.kind == "time" else 1.0 for spec in specs]
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        messages += _answered(rng, rng.choice(specs), lang)
    if rng.random() < 0.25:
        messages += _no_call(rng, lang, {spec.kind for spec in specs}).messages(thinking)
    elif rng.random() < 0.4:
        messages += _answered(rng, rng.choice(specs), lang, thinking)
    else:
        spec = rng.choices(specs, weights)[0]
        request = make_request(rng, spec.kind, lang)
        messages += [{"role": "user", "content": request.question}, call_message(request, spec, thinking)]
    return Dialogue(tuple(messages), thinking, tuple(tools))


def call_message(request: Request, spec: ToolSpec, thinking: bool) -> Message:
    """The assistant's message that makes the right calls."""
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": spec.name, "arguments": arguments}}
        for n, arguments in enumerate(request.arguments(spec))
    ]
    return assistant("", request.thought(spec) if thinking else "", calls)


def missing_tool_turn(rng: Random, lang: Language, kind: ToolKind) -> Turn:
    """Something is asked for that only an absent tool could tell."""
    request = make_request(rng, kind, lang)
    while kind == "calculator" and all(int(n) <= 10 for n in re.findall(r"\d+", request.joined())):
        request = make_request(rng, kind, lang)  # sums this small are known
    slots = {"c": request.joined(), "e": request.joined()}
    missing = TOOLS["missing"][lang]
    return Turn(request.question, missing["think"][kind].format(**slots), missing[kind].format(**slots))


def _no_call(rng: Random, lang: Language, present: Iterable[ToolKind]) -> Turn:
    absent = [kind for kind in TOOL_KINDS if kind not in present and kind != "calculator"]
    roll = rng.random()
    if roll < 0.2 and absent:
        return missing_tool_turn(rng, lang, rng.choice(absent))
    if roll < 0.4:
        return unknown_turn(rng, lang)
    if roll < 0.5:
        return small_talk_turn(rng, lang)
    return fact_turn(rng, rng.choice(load_facts()), lang)


def _answered(rng: Random, spec: ToolSpec, lang: Language, thinking: bool = False) -> list[Message]:
    """A question, the call, what came back, and the answer; the call's own thought is often no longer there."""
    request = make_request(rng, spec.kind, lang)
    replies = [make_reply(rng, spec.kind, lang, subject) for subject in request.subjects]
    results: list[Message] = [{"role": "tool", "content": reply.content} for reply in replies]
    told = (" " if lang == "en" else "").join(reply.sentence for reply in replies)
    thought = f"The tool answered: {told}" if lang == "en" else f"工具的結果是：{told}"
    call = call_message(request, spec, thinking and rng.random() < 0.5)
    return [{"role": "user", "content": request.question}, call, *results, assistant(told, thought if thinking else "")]
