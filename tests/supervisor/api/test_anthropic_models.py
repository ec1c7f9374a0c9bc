"""The models there are, as Anthropic's client lists them."""

from __future__ import annotations

import anthropic
import httpx
import pytest

from tests.supervisor.samples import model_status, report
from tests.supervisor.servers import RegistryDouble
from xinfer.messages import ModelState


async def test_list_and_one(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await registry.tell(
        model_status(report(uid="a"), uid="a", name="qwen3", context_length=4096),
        model_status(state=ModelState.SLEEPING, uid="b"),
        model_status(report(uid="c"), uid="c", abilities=("generate",)),
        model_status(state=ModelState.LAUNCHING, uid="d"),
        model_status(state=ModelState.FAILED, uid="e", reason="out of memory"),
    )
    base_url = str(http.base_url.join("/anthropic"))
    async with anthropic.AsyncAnthropic(api_key="x", base_url=base_url, max_retries=0) as client:
        listed = [model async for model in client.models.list()]
        assert [model.id for model in listed] == ["a", "b"]
        one = await client.models.retrieve("a")
        assert (one.id, one.display_name, one.max_input_tokens, one.type) == ("a", "qwen3", 4096, "model")
        assert one.created_at.tzinfo
        with pytest.raises(anthropic.ServiceUnavailableError, match="still loading"):
            await client.models.retrieve("d")
        with pytest.raises(anthropic.NotFoundError, match="out of memory"):
            await client.models.retrieve("e")
        with pytest.raises(anthropic.NotFoundError, match="There is no model"):
            await client.models.retrieve("ghost")


async def test_fields_that_xinference_has(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    await registry.tell(model_status(report(uid="a"), uid="a"))
    (one,) = (await http.get("/anthropic/v1/models")).json()["data"]
    assert {"id", "object", "created", "display_name", "type", "max_tokens"} <= one.keys()
    await registry.tell()
    assert (await http.get("/anthropic/v1/models")).json() == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }
