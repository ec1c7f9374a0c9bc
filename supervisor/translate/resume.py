"""Which streams another replica can go on with when their own is lost, and how the rest of one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from supervisor.translate.thinking import ENGINE_BUDGET
from xinfer.errors import InvalidBody
from xinfer.messages import ModelSpec, ReasoningOutput, Resume, ThinkingMode
from xinfer.wire.paths import CHAT
from xinfer.wire.response_options import ResponseOptions

_FIELD = "resume"
RESUME_VALUES: dict[bool | str, Resume] = {True: Resume.REPEATABLE, False: Resume.NEVER, "any": Resume.ANY}
_LIMITS = ("max_tokens", "max_completion_tokens")
# What counts tokens of the response so far would begin to count anew.
_NOT_REPEATED = ("presence_penalty", "frequency_penalty")
_TOKEN_DETAILS = ("logprobs", "top_logprobs", "prompt_logprobs", "return_token_ids", "return_tokens_as_token_ids")
_CONSTRAINTS = ("response_format", "structured_outputs", "tools", "functions")
_SEVERAL = ("n", "best_of")
_OTHER = ("echo", "suffix", "continue_final_message", "use_beam_search")


@dataclass(slots=True)
class SentText:
    """What a client has got of one streamed choice."""

    content: str = ""
    reasoning: str = ""
    finished: bool = False
    is_chat: bool = False
    envelope: dict[str, Any] = field(default_factory=dict)
    """``id`` and ``created`` of the response."""

    @property
    def is_empty(self) -> bool:
        return not self.content and not self.reasoning

    @property
    def is_thought(self) -> bool:
        """Whether the model was still reasoning, as far as is known. No template takes half a thought as a beginning."""
        return bool(self.reasoning and not self.content)

    def add(self, chunk: dict[str, Any]) -> None:
        """Count in one chunk of the stream."""
        if not self.envelope:
            self.envelope = {name: chunk[name] for name in ("id", "created") if name in chunk}
        for choice in chunk.get("choices") or ():
            self.is_chat = "delta" in choice
            delta = choice.get("delta") or choice
            self.content += delta.get("content") or delta.get("text") or ""
            self.reasoning += delta.get("reasoning_content") or ""
            self.finished = self.finished or choice.get("finish_reason") is not None


@dataclass(frozen=True, slots=True)
class ResumableRequest:
    """A streaming request of which the engine can be asked for the rest of its response."""

    path: str
    body: dict[str, Any]
    """As the engine gets it."""
    options: ResponseOptions

    def rest_options(self, sent: SentText) -> ResponseOptions:
        """How the rest's response is to be rewritten.

        vLLM's parsers do not see that the prompt has ended the reasoning, and take what follows for more of it. It is content,
        all of it: vLLM refuses a message to be continued with which the prompt does not end.
        """
        if not sent.content:
            return self.options
        return replace(self.options, reasoning=ReasoningOutput.INLINE, tags=("", ""))

    def rest(self, sent: SentText, tokens: int) -> dict[str, Any]:
        """The body that asks for what comes after ``sent``, which is so many ``tokens``.

        A chat's template has vLLM's ``continue_final_message``; a text completion gets a longer prompt.
        """
        body = dict(self.body)
        if sent.is_empty:
            return body
        if self.path == CHAT:
            message = {"role": "assistant", "content": sent.content}
            if sent.reasoning:
                message["reasoning"] = sent.reasoning
            body["messages"] = [*body["messages"], message]
            body["add_generation_prompt"] = False
            body["continue_final_message"] = True
        else:
            body["prompt"] += sent.content

        for limit in _LIMITS:
            if isinstance(body.get(limit), int):
                body[limit] = max(1, body[limit] - tokens)
        # The thought is over, and within its limit.
        body.pop(ENGINE_BUDGET, None)
        if isinstance(body.get("min_tokens"), int):
            body["min_tokens"] = max(0, body["min_tokens"] - tokens)
        return body


def take_resumable(
    path: str, body: dict[str, Any], spec: ModelSpec, options: ResponseOptions
) -> ResumableRequest | None:
    """Take the field ``resume`` out of ``body``: the request whose stream may go on elsewhere, or None.

    A request that asks for what cannot be had gets ``InvalidBody``. The launch option is for requests that do not say, where
    it can be had.
    """
    is_asked = body.get(_FIELD) is not None
    value = body.pop(_FIELD, None)
    if not is_asked:
        resume = spec.resume
    elif isinstance(value, (bool, str)) and value in RESUME_VALUES:
        resume = RESUME_VALUES[value]
    else:
        raise InvalidBody("resume has to be true, false or 'any'.", param=_FIELD)

    if resume is Resume.NEVER or body.get("stream") is not True:
        return None
    why_not = _refusal(path, body, spec, options.reasoning, resume)
    if why_not is None:
        return ResumableRequest(path, body, options)
    if is_asked:
        raise InvalidBody(f"This stream could not be resumed elsewhere: {why_not}.", param=_FIELD)
    return None


def _refusal(
    path: str, body: dict[str, Any], spec: ModelSpec, reasoning: ReasoningOutput, resume: Resume
) -> str | None:
    """Why another replica cannot go on with the response to ``body``; None if it can."""
    several = _first_of(_SEVERAL, body, lambda value: value not in (None, 1))
    if several:
        return f"{several} is more than 1"
    details = _first_of(_TOKEN_DETAILS, body, lambda value: value is not None and value is not False)
    if details:
        return f"{details} is given, and text may be cut into other tokens where it goes on"
    constraint = _first_of(_CONSTRAINTS, body, _constrains)
    if constraint:
        return f"{constraint} is given, and only plain text can go on in its middle"
    other = _first_of(_OTHER, body, bool)
    if other:
        return f"{other} is given"
    if path != CHAT and not isinstance(body.get("prompt"), str):
        return "the prompt is not one text"
    if reasoning is not ReasoningOutput.SPLIT and spec.thinking.mode is not ThinkingMode.NEVER:
        return "the reasoning is not in reasoning_content"
    if resume is Resume.ANY:
        return None

    if body.get("temperature") != 0 and body.get("seed") is None:
        return "its tokens are sampled; set temperature to 0, or a seed, or resume to 'any'"
    penalty = _first_of(_NOT_REPEATED, body, bool)
    if penalty:
        return f"{penalty} would begin anew; leave it out, or set resume to 'any'"
    return None


def _first_of(names: tuple[str, ...], body: dict[str, Any], counts: Callable[[Any], bool]) -> str | None:
    return next((name for name in names if counts(body.get(name))), None)


def _constrains(value: Any) -> bool:
    if isinstance(value, dict):
        return value.get("type") != "text"
    return bool(value)
