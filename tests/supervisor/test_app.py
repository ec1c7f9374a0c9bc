"""The supervisor's other routes, and every error's way out."""

from __future__ import annotations

import logging
import re
from dataclasses import replace

import httpx
import pytest

from tests.supervisor.samples import model_status, report
from tests.supervisor.servers import RegistryDouble
from xinfer import __version__
from xinfer.messages import ModelState, ReplicaStage


async def test_no_such_route(http: httpx.AsyncClient) -> None:
    for path in ("/nowhere", "/v1", "/V1/models", "/v1/chat", "/v1/models/m/ghost"):
        sentence = f"There is no route '{path}'."
        error = {"message": sentence, "type": "not_found_error", "param": None, "code": "not_found"}
        for method in ("GET", "POST", "DELETE", "PUT", "OPTIONS"):
            answer = await http.request(method, path)
            assert (answer.status_code, answer.json()) == (404, {"error": error, "detail": sentence}), (method, path)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/models", "/v1/models"),
        ("/v1/v1/models", "/v1/models"),
        ("/openai/v1/completions", "/v1/completions"),
        ("/v1/chat/completions/", "/v1/chat/completions"),
        ("//v1/models", "/v1/models"),
        ("/models/m/tokenize", "/v1/models/m/tokenize"),
    ],
)
async def test_route_that_was_meant_is_named(http: httpx.AsyncClient, path: str, meant: str) -> None:
    for method in ("GET", "POST"):
        answer = await http.request(method, f"{http.base_url}{path}")
        assert answer.status_code == 404
        assert answer.json()["detail"] == f"There is no route '{path}'. Did you mean {meant}?"


@pytest.mark.parametrize(
    "path", ["/no%0awhere", "/no%1b%5b31m", "/no%e2%80%ae", "/models/a%0ab", "/models/" + "x" * 5000]
)
async def test_path_is_named_in_one_short_line(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code == 404
    sentence = answer.json()["detail"]
    assert sentence.isprintable()
    assert len(sentence) < 130
    assert "Did you mean" not in sentence


async def test_address_in_a_browser_says_what_this_is(http: httpx.AsyncClient) -> None:
    browser = await http.get("/", headers={"accept": "text/html,*/*;q=0.8"})
    assert (browser.status_code, browser.headers["location"]) == (307, "ui/")
    page = await http.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert f"xinfer {__version__}" in page.text
    links = re.findall('href="([^"]+)"', page.text)
    assert links == ["ui/", "v1/models", "docs"]
    for link in links:
        assert (await http.get(f"/{link}")).status_code == 200
    assert (await http.head("/")).status_code == 200
    assert (await http.post("/")).status_code == 405


async def test_route_that_does_not_take_the_method(http: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", "/v1/chat/completions"),
        ("PUT", "/v1/completions"),
        ("DELETE", "/v1/models"),
        ("POST", "/v1/models/m"),
        ("POST", "/health"),
        ("GET", "/v1/models/m/cancel"),
    ):
        answer = await http.request(method, path)
        assert answer.status_code == 405, (method, path)
        assert answer.json()["error"]["code"] == "method_not_allowed"
        assert answer.json()["detail"] == answer.json()["error"]["message"]


@pytest.mark.parametrize("request_id", ["req-1.x_Y", None, "", "x" * 65, "a b", "../x", "é"])
async def test_what_nobody_foresaw_is_a_fixed_sentence(
    http: httpx.AsyncClient,
    registry: RegistryDouble,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    request_id: str | None,
) -> None:
    def fail(*args: object) -> None:
        raise ZeroDivisionError("secret /path")

    monkeypatch.setattr("supervisor.api.render.describe", fail)
    await registry.tell(model_status(report()))
    headers = {} if request_id is None else {"x-request-id": request_id.encode()}
    with caplog.at_level(logging.ERROR):
        answer = await http.get("/v1/models", headers=headers)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/json"
    sentence = answer.json()["detail"]
    given = sentence.rpartition(" ")[2].rstrip(".")
    assert sentence == f"Something went wrong inside xinfer; the log has details under request id {given}."
    assert "secret" not in answer.text
    if request_id == "req-1.x_Y":
        assert given == request_id
    else:
        assert len(given) == 32
    (record,) = [each for each in caplog.records if each.exc_info]
    assert given in record.getMessage()
    assert "secret" in (caplog.text or "")


async def test_list_has_those_that_answer(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    loading = model_status(report("r1", ReplicaStage.LOADING, "b"), state=ModelState.LAUNCHING, uid="b")
    await registry.tell(model_status(report(uid="a"), uid="a"), loading, model_status(state=ModelState.FAILED, uid="c"))
    listed = (await http.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [each["id"] for each in listed["data"]] == ["a"]
    assert [each["model_uid"] for each in (await http.get("/v1/models/instances")).json()] == ["a", "b", "c"]
    chosen = (await http.get("/v1/models/instances", params={"model_uid": "b"})).json()
    assert [each["status"] for each in chosen] == ["LOADING"]


async def test_list_has_those_that_sleep_and_not_those_that_were_cancelled(
    http: httpx.AsyncClient, registry: RegistryDouble
) -> None:
    asleep, waking = ModelState.SLEEPING, ModelState.LAUNCHING
    await registry.tell(
        model_status(state=asleep, uid="a"),
        replace(model_status(state=waking, uid="b"), waking=True),
        model_status(state=ModelState.CANCELLED, uid="c"),
    )
    listed = (await http.get("/v1/models")).json()["data"]
    assert [(each["id"], each["status"]) for each in listed] == [("a", "SLEEPING"), ("b", "LOADING")]
    assert [each["model_uid"] for each in (await http.get("/v1/models/instances")).json()] == ["a", "b"]
    for uid in ("a", "b"):
        assert (await http.get(f"/v1/models/{uid}")).status_code == 200
    assert (await http.get("/v1/models/c/progress")).json()["stage"] == "cancelled"


async def test_one_model(http: httpx.AsyncClient, registry: RegistryDouble) -> None:
    loading = model_status(report("r1", ReplicaStage.LOADING, "b"), state=ModelState.LAUNCHING, uid="b")
    await registry.tell(
        model_status(report(uid="a"), uid="a"), loading, model_status(state=ModelState.FAILED, uid="c", reason="why")
    )
    told = (await http.get("/v1/models/a")).json()
    assert (told["model_type"], told["model_ability"]) == ("LLM", ["chat"])
    assert (told["id"], told["object"], told["owned_by"]) == ("a", "model", "xinfer")
    assert told in (await http.get("/v1/models")).json()["data"]
    still = await http.get("/v1/models/b")
    assert (still.status_code, still.json()["error"]["code"]) == (503, "model_loading")
    assert (await http.get("/v1/models/b/progress")).json()["stage"] == "loading"
    failed = await http.get("/v1/models/c")
    assert failed.status_code == 404
    assert "why" in failed.json()["detail"]
    (replica,) = (await http.get("/v1/models/c/replicas")).json()
    assert replica["error_message"] == "why"


@pytest.mark.parametrize("uid", ["ghost", "%2e%2e%2e", "%25", "a%00b", "a%0ab", "x" * 5000])
async def test_unknown_uid_is_a_404_everywhere(http: httpx.AsyncClient, uid: str) -> None:
    for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/progress"), ("GET", "/replicas"), ("POST", "/cancel")):
        answer = await http.request(method, f"/v1/models/{uid}{rest}")
        assert answer.status_code == 404, (method, rest)
        assert len(answer.text) < 1000
        assert "\n" not in answer.text


@pytest.mark.parametrize("state", [ModelState.READY, ModelState.SLEEPING])
async def test_model_that_is_up_cannot_be_cancelled(
    http: httpx.AsyncClient, registry: RegistryDouble, state: ModelState
) -> None:
    await registry.tell(model_status(state=state))
    answer = await http.post("/v1/models/m/cancel")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


async def test_auth_is_asked_first_and_needs_no_key(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/cluster/auth")
    assert (answer.status_code, answer.json()) == (200, {"auth": False})


async def test_host_header_does_not_choose_the_route(http: httpx.AsyncClient) -> None:
    answer = await http.get("/nowhere", headers={"host": "x/v1/models?"})
    assert answer.status_code in (400, 404)


async def test_catalog(http: httpx.AsyncClient) -> None:
    families = (await http.get("/v1/models/families")).json()
    assert "qwen3" in families["chat"]
    names = [each["model_name"] for each in (await http.get("/v1/model_registrations/LLM")).json()]
    assert "tiny-chat" in names
    one = (await http.get("/v1/model_registrations/LLM/qwen3")).json()
    assert one["model_name"] == "qwen3"
    engines = (await http.get("/v1/engines/qwen3")).json()
    assert engines["vLLM"][0]["model_size_in_billions"]
    for path in ("/v1/model_registrations/LLM/ghost", "/v1/engines/ghost", "/v1/model_registrations/embedding"):
        assert (await http.get(path)).status_code == 404
