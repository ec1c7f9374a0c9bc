"""What vLLM 0.20 is given, shown on classes that are made as its own are."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from worker.vllm_patches.v0_20 import with_parser_of_request, with_refusals, with_variables


@dataclass(frozen=True)
class Params:
    chat_template: str | None
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)


class Request(BaseModel):
    model_config = ConfigDict(extra="allow")
    effort: str | None = None

    def build(self, template: str | None) -> Params:
        return Params(template, {"reasoning_effort": self.effort} if self.effort else {})


@pytest.mark.parametrize(
    ("fields", "variables"),
    [
        ({}, {}),
        ({"chat_template_kwargs": None}, {}),
        ({"chat_template_kwargs": {"enable_thinking": False}}, {"enable_thinking": False}),
        (
            {"chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "none"}, "effort": "high"},
            {"enable_thinking": True, "reasoning_effort": "high"},
        ),
    ],
)
def test_variables_join_those_that_vllm_sets(fields: dict[str, Any], variables: dict[str, Any]) -> None:
    request = Request(**fields)
    given = request.model_dump()
    assert with_variables(Request.build)(request, "template") == Params("template", variables)
    assert request.model_dump() == given


class Server:
    """Reads answers with a parser per request, as vLLM's does."""

    def __init__(self, parser: Any) -> None:
        self.parser = parser

    def _effective_chat_template_kwargs(self, request: str) -> dict[str, Any]:
        return {"enable_thinking": request == "thinks"}

    @with_parser_of_request
    def read(self, request: str, tokenizer: str) -> Any:
        return self.parser(tokenizer, ["tool"]) if self.parser else request


def test_parsers_know_whether_a_request_thinks() -> None:
    server = Server(lambda *parts, **variables: (parts, variables))
    for request in ("thinks", "does not"):
        variables = {"chat_template_kwargs": {"enable_thinking": request == "thinks"}}
        assert server.read(request, "tokenizer") == (("tokenizer", ["tool"]), variables)
    assert server.parser("as before") == (("as before",), {})


def test_server_without_a_parser() -> None:
    assert Server(None).read("request", "tokenizer") == "request"


def reply(fault: Exception) -> Any:
    return SimpleNamespace(
        error=SimpleNamespace(code=400 if isinstance(fault, ValueError) else 500, message=str(fault))
    )


async def handle(_server: object, fault: Exception | None) -> str:
    if fault:
        raise fault
    return "an answer"


async def test_fault_of_the_caller_is_refused() -> None:
    error = await with_refusals(handle, reply)(object(), ValueError("max_tokens is too large"))
    assert (error.error.code, error.error.message) == (400, "max_tokens is too large")


async def test_fault_of_the_server_is_raised() -> None:
    with pytest.raises(KeyError):
        await with_refusals(handle, reply)(object(), KeyError("lost"))


async def test_answer_passes() -> None:
    assert await with_refusals(handle, reply)(object(), None) == "an answer"
