"""What a reply to a case is worth, as named yes-or-no marks."""

import json
import re

from tiny_chat.cases import Case

_BLOCK = re.compile(r"^<think>\n(.+?)\n</think>\n\n", re.DOTALL)
_CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
_REFUSALS = ("tiny-chat", "don't know", "不知道")
_HAN = re.compile(r"[\u4e00-\u9fff]")


def score(case: Case, reply: str, finished: bool) -> dict[str, bool]:
    """The marks of one reply; which marks there are depends on the case."""
    thought, answer = _split(reply)
    marks = {"finished": finished}
    if case.dialogue is not None:
        marks["thinking obeyed"] = _thinking_obeyed(case.dialogue.thinking, reply, thought)
        if not case.calls:
            marks["language obeyed"] = _in_language(case, answer)
    if case.wording is not None:
        marks["correct"] = case.wording.is_answered_by(answer)
        marks["false refusal"] = any(refusal in answer for refusal in _REFUSALS)
        if case.dialogue is not None and case.dialogue.thinking:
            marks["thought on topic"] = case.wording.topic.lower() in thought.lower()
    if case.unknown:
        marks["correct"] = "tiny-chat" in answer
    if case.calls:
        marks["correct"] = _calls(answer) == list(case.calls)
        marks["valid call"] = bool(_calls(answer))
    if case.contains:
        marks["correct"] = all(part in answer for part in case.contains)
    return marks


def _split(reply: str) -> tuple[str, str]:
    block = _BLOCK.match(reply)
    return (block.group(1), reply[block.end() :]) if block else ("", reply)


def _thinking_obeyed(wanted: bool, reply: str, thought: str) -> bool:
    blocks = reply.count("<think>"), reply.count("</think>")
    return bool(thought) and blocks == (1, 1) if wanted else blocks == (0, 0)


def _in_language(case: Case, answer: str) -> bool:
    share = len(_HAN.findall(answer)) / max(1, len(answer))
    return share < 0.3 if case.lang == "en" else share > 0.2 or "=" in answer


def _calls(answer: str) -> list[tuple[str, dict[str, str]]]:
    calls = []
    for body in _CALL.findall(answer):
        try:
            call = json.loads(body)
            calls.append((call["name"], call["arguments"]))
        except (ValueError, KeyError, TypeError):
            return []
    return calls
