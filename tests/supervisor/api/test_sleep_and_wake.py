"""Sleep and wake that somebody asks for: what the registry says, in the API's words."""

from __future__ import annotations

import httpx
import pytest

from tests.supervisor.samples import model_status, report
from tests.supervisor.servers import RegistryDouble


@pytest.mark.parametrize(("verb", "granted"), [("sleep", True), ("wake", "")])
async def test_it_is_done(http: httpx.AsyncClient, registry: RegistryDouble, verb: str, granted: object) -> None:
    await registry.tell(model_status(report()))
    registry.answers[verb] = granted
    answer = await http.post(f"/v1/models/m/{verb}")
    assert (answer.status_code, answer.json()) == (200, None)
    assert (verb, "m") in registry.asked


@pytest.mark.parametrize(
    ("verb", "refused", "sentence"),
    [
        ("sleep", False, "The model 'm' is in use; it can sleep when no request is under way."),
        ("wake", "It needs 1 GPU and 0 are free.", "It needs 1 GPU and 0 are free."),
    ],
)
async def test_it_cannot_be_done(
    http: httpx.AsyncClient, registry: RegistryDouble, verb: str, refused: object, sentence: str
) -> None:
    await registry.tell(model_status(report()))
    registry.answers[verb] = refused
    answer = await http.post(f"/v1/models/m/{verb}")
    assert (answer.status_code, answer.json()["detail"]) == (409, sentence)


@pytest.mark.parametrize("verb", ["sleep", "wake"])
async def test_of_no_such_model(http: httpx.AsyncClient, verb: str) -> None:
    answer = await http.post(f"/v1/models/none/{verb}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
