"""What the corpus is made of: dialogues for the chat template, and plain texts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
Message = dict[str, Any]
Tool = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation that ends with the assistant; only what the assistant says is learned."""

    messages: tuple[Message, ...]
    thinking: bool
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """A plain text without chat markup; all of it is learned, and it ends with <|endoftext|>."""

    text: str


Example = Dialogue | Text


@dataclass(frozen=True, slots=True)
class Turn:
    """One question and what the assistant makes of it."""

    question: str
    thought: str
    answer: str

    def messages(self, with_thought: bool) -> tuple[Message, Message]:
        """The user's and the assistant's message."""
        return {"role": "user", "content": self.question}, assistant(self.answer, self.thought if with_thought else "")


def assistant(content: str, thought: str = "", tool_calls: list[dict[str, Any]] | None = None) -> Message:
    """An assistant message in the OpenAI shape, with the reasoning beside the content."""
    message: Message = {"role": "assistant", "content": content}
    if thought:
        message["reasoning_content"] = thought
    if tool_calls:
        message["tool_calls"] = tool_calls
    return message


def load_data(name: str) -> Any:
    """The parsed file ``data/<name>.json``."""
    return json.loads((Path(__file__).parent / "data" / f"{name}.json").read_text(encoding="utf-8"))
