"""``chat`` and ``generate``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from tests.client.scripted_server import Answer, ScriptedServer
from xinfer import errors
from xinfer.cli.conversation import converse
from xinfer.cli.output import Piece, show

Run = Callable[..., Result]
CHAT = "/v1/chat/completions"


def delta(**fields: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": "", **fields}}]}).encode() + b"\n\n"


@pytest.fixture(autouse=True)
def talking(server: ScriptedServer) -> None:
    server.stream(CHAT, delta(reasoning_content="Hm."), delta(content="\n\nA "), delta(content="whale."), delta())
    server.stream("/v1/completions", b'data: {"choices": [{"text": " upon"}]}\n\n')


@pytest.mark.parametrize(
    "args",
    [
        ["m", "Who?"],
        ["-u", "m", "Who?"],
        ["--model-uid", "m", "Who?"],
        ["Who is it?"],
        ["m", "Who?", "--stream", "true"],
    ],
)
def test_one_answer(run: Run, server: ScriptedServer, args: list[str]) -> None:
    result = run("chat", *args)
    assert (result.exit_code, result.stdout) == (0, "A whale.\n")
    message = next(arg for arg in args if arg.startswith("Who"))
    assert server.asked[-1].body == {
        "model": "m",
        "messages": [{"role": "user", "content": message}],
        "max_tokens": 512,
        "stream": True,
    }


def test_its_options(run: Run, server: ScriptedServer) -> None:
    args = ["--max_tokens", "9", "--temperature", "0", "--system", "Be brief.", "--no-enable-thinking", "--no-stream"]
    server.reply("POST", CHAT, {"choices": [{"message": {"content": "A whale."}}]})
    assert run("chat", "m", "Who?", *args).stdout == "A whale.\n"
    assert server.asked[-1].body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who?"}],
        "max_tokens": 9,
        "temperature": 0,
        "stream": False,
        "chat_template_kwargs": {"enable_thinking": False, "thinking": False},
    }


def test_text_on_stdin_is_the_message(run: Run, server: ScriptedServer) -> None:
    assert run("chat", stdin="Two\nlines\n").stdout == "A whale.\n"
    assert server.asked[-1].body["messages"] == [{"role": "user", "content": "Two\nlines"}]


def test_json_is_the_whole_reply(run: Run, server: ScriptedServer) -> None:
    server.reply("POST", CHAT, {"choices": [], "usage": {}})
    assert json.loads(run("chat", "m", "Who?", "--json").stdout) == {"choices": [], "usage": {}}
    assert server.asked[-1].body["stream"] is False


def test_generate(run: Run, server: ScriptedServer) -> None:
    assert run("generate", "m", "Once").stdout == " upon\n"
    assert server.asked[-1].body == {"model": "m", "prompt": "Once", "max_tokens": 512, "stream": True}


def test_a_model_that_only_generates_does_not_chat(run: Run, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/models/m", {"model_type": "LLM", "model_ability": ["generate"]})
    result = run("chat", "m", "Who?")
    assert result.exit_code == 1
    assert "`xinfer generate m`" in result.stderr


def test_which_model_is_asked_if_it_is_not_clear(run: Run, server: ScriptedServer) -> None:
    server.reply("GET", "/v1/models", {"data": [{"id": "a"}, {"id": "b"}]})
    several = run("chat", stdin="Who?")
    assert (several.exit_code, "a, b" in several.stderr) == (2, True)
    server.reply("GET", "/v1/models", {"data": []})
    none = run("chat", stdin="Who?")
    assert (none.exit_code, "`xinfer launch" in none.stderr) == (1, True)


def test_an_error_in_the_middle_keeps_what_came(run: Run, server: ScriptedServer) -> None:
    error = errors.EngineLost("The engine is gone.")
    server.stream(CHAT, delta(content="A wh"), b"data: " + json.dumps(error.body()).encode() + b"\n\n")
    result = run("chat", "m", "Who?")
    assert (result.exit_code, result.stdout) == (1, "A wh\n")
    assert result.stderr.startswith("Error: The engine is gone.")


def test_reasoning_comes_before_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    parts = [Piece("Hm.", reasoning=True), Piece("\n\nA "), Piece("whale.")]
    assert show(parts, show_reasoning=True) == "\n\nA whale."
    assert capsys.readouterr().out == "Hm.\n\nA whale.\n"


def test_a_conversation_keeps_what_was_said(capsys: pytest.CaptureFixture[str]) -> None:
    lines = iter(["one", "two", "three", ""])
    heard: list[list[str]] = []

    def reply(said: list[dict[str, str]]) -> dict[str, Any]:
        heard.append([message["content"] for message in said])
        if said[-1]["content"] == "two":
            raise errors.ModelOverloaded("Full.")
        return {"choices": [{"message": {"content": said[-1]["content"].upper()}}]}

    converse(reply, lambda: next(lines))
    assert heard == [["one"], ["one", "ONE", "two"], ["one", "ONE", "three"]]
    printed = capsys.readouterr()
    assert printed.out == "ONE\nTHREE\n"
    assert printed.err.startswith("Error: Full.")


def test_an_answer_can_be_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    lines = iter(["one", ""])

    def reply(_: list[dict[str, str]]) -> dict[str, Any]:
        raise KeyboardInterrupt

    converse(reply, lambda: next(lines))
    assert capsys.readouterr().err == ""


def test_the_stream_is_let_go(run: Run, server: ScriptedServer) -> None:
    server.answer("POST", CHAT, Answer(pieces=[delta(content="x")]))
    assert run("chat", "m", "Who?").stdout == "x\n"
    assert not server.hung_up.is_set()
