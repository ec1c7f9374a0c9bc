"""``llama-index-llms-xinference``: it works with the client as it was before 0.15, under the name of the heavy package.

With any newer client every call fails before it reaches a server (run-llama/llama_index#17859), Xinference's own included.
"""

from __future__ import annotations

import sys

import pytest
import xinference_client
from llama_index.core.llms import ChatMessage
from shared import ENDPOINT, MODEL, QUESTION, says, streamed

sys.modules["xinference"] = sys.modules["xinference.client"] = xinference_client

from llama_index.llms.xinference import Xinference  # noqa: E402 - it looks for the name at once


@pytest.fixture
def llm() -> Xinference:
    return Xinference(model_uid=MODEL, endpoint=ENDPOINT, temperature=0.0, max_tokens=512)


def test_reads_the_context_length() -> None:
    llm = Xinference(model_uid=MODEL, endpoint=ENDPOINT)
    assert (llm.context_window, llm.max_tokens) == (4096, 1024)


def test_complete(llm: Xinference) -> None:
    """It sends an empty system message along."""
    assert says(llm.complete(QUESTION).text)
    *_, last = llm.stream_complete(QUESTION)
    assert says(last.text)


def test_chat(llm: Xinference) -> None:
    messages = [ChatMessage(role="system", content="You are helpful."), ChatMessage(role="user", content=QUESTION)]
    assert says(llm.chat(messages).message.content)
    parts = streamed(lambda: llm.stream_chat(messages))
    assert len(parts) > 3
    assert says(parts[-1].message.content)


def test_errors_say_why() -> None:
    with pytest.raises(RuntimeError, match="There is no model 'nobody'"):
        Xinference(model_uid="nobody", endpoint=ENDPOINT)
