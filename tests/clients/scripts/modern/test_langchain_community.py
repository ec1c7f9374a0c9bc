"""``langchain_community.llms.Xinference``: text completion, as its documents call it."""

from __future__ import annotations

import pytest
from langchain_community.llms import Xinference
from shared import ENDPOINT, GREEDY, MODEL, QUESTION, TRIES, says, streamed


@pytest.fixture
def llm() -> Xinference:
    return Xinference(server_url=ENDPOINT, model_uid=MODEL, **GREEDY)


@pytest.fixture
def streaming() -> Xinference:
    return Xinference(server_url=ENDPOINT, model_uid=MODEL, stream=True, **GREEDY)


def test_invoke(llm: Xinference) -> None:
    assert says(llm.invoke(QUESTION))
    assert says(llm.invoke(QUESTION, generate_config={"stream": True}))


def test_stop(llm: Xinference) -> None:
    assert "whale" not in llm.invoke(QUESTION, stop=[" whale"])


def test_stream(streaming: Xinference) -> None:
    parts = streamed(lambda: streaming.stream(QUESTION))
    assert len(parts) > 3
    assert says("".join(parts))


def test_batch(llm: Xinference) -> None:
    answers = llm.batch([QUESTION, "The capital of France is"])
    assert says(answers[0])
    assert "Paris" in answers[1]


async def test_ainvoke(llm: Xinference) -> None:
    assert says(await llm.ainvoke(QUESTION))


async def test_astream(llm: Xinference, streaming: Xinference) -> None:
    """It reads the wire by itself and fails on ``[DONE]``."""
    for _ in range(TRIES):
        parts = [part async for part in streaming.astream(QUESTION)]
        if len(parts) > 3:
            break
    assert len(parts) > 3
    assert says("".join(parts))
    assert says("".join([part async for part in llm.astream(QUESTION)]))


async def test_errors_say_why(llm: Xinference) -> None:
    with pytest.raises(RuntimeError, match="temperature"):
        llm.invoke(QUESTION, generate_config={"temperature": 9})
    nobody = Xinference(server_url=ENDPOINT, model_uid="nobody")
    with pytest.raises(RuntimeError, match="There is no model 'nobody'"):
        nobody.invoke(QUESTION)
    with pytest.raises(FileNotFoundError):
        [part async for part in nobody.astream(QUESTION)]
