"""What a key may use and what is counted of it: supervisors with the fake engine, the registry's part of keys for real."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from supervisor.registry.access import Access
from tests.security.guarded import Guarded, guarded
from tests.supervisor.engines import Broken
from tests.supervisor.samples import model_status, report
from tests.supervisor.servers import fake_engine, serving
from xinfer.messages import KeyScope, Tokens, UsageReport


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Guarded]:
    """One supervisor and the models ``m`` and ``n``."""
    async with fake_engine(tokens=5) as engine, fake_engine("n", tokens=5) as other, guarded(tmp_path) as found:
        await found.models.tell(model_status(engine), model_status(other, uid="n"))
        yield found


async def soon(condition: Any, deadline_s: float = 5.0) -> None:
    """Poll until the awaited ``condition`` is true."""
    end = time.monotonic() + deadline_s
    while not await condition():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.02)


async def test_a_key_for_some_models_knows_of_no_others(shared: Guarded) -> None:
    key = await shared.key(models=("m*", "tiny-*"))
    everything = await shared.key()
    assert [each["id"] for each in (await shared.ask("GET", "/v1/models", key)).json()["data"]] == ["m"]
    assert [each["id"] for each in (await shared.ask("GET", "/v1/models", everything)).json()["data"]] == ["m", "n"]
    assert [each["id"] for each in (await shared.ask("GET", "/anthropic/v1/models", key)).json()["data"]] == ["m"]
    assert (await shared.chat(key)).status_code == 200
    there, not_there = await shared.chat(key, "n"), await shared.chat(key, "ghost")
    assert (there.status_code, not_there.status_code) == (404, 404)
    assert there.text.replace("'n'", "'x'") == not_there.text.replace("'ghost'", "'x'")
    for path in ("/v1/models/{}", "/anthropic/v1/models/{}"):
        there = await shared.ask("GET", path.format("n"), key)
        not_there = await shared.ask("GET", path.format("ghost"), key)
        assert (there.status_code, not_there.status_code) == (404, 404)
    assert (await shared.ask("POST", "/v1/models/n/tokenize", key, json={"prompt": "x"})).status_code == 404


async def test_launchers_are_bound_to_their_models_as_well(shared: Guarded) -> None:
    key = await shared.key(KeyScope.LAUNCH, models=("m",))
    for method, path in (
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("GET", "/progress"),
        ("GET", "/log"),
        ("GET", "/events"),
    ):
        assert (await shared.ask(method, f"/v1/models/n{path}", key)).status_code == 404
    assert [each["model_uid"] for each in (await shared.ask("GET", "/v1/models/instances", key)).json()] == ["m"]


async def test_requests_per_minute_over_http(shared: Guarded) -> None:
    key = await shared.key(rpm=2)
    first = await shared.chat(key)
    assert first.status_code == 200
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert first.headers["x-ratelimit-reset-requests"] == "30s"
    assert (await shared.chat(key)).status_code == 200
    refused = await shared.chat(key)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 25 <= int(refused.headers["retry-after"]) <= 30
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    other = await shared.key()
    answer = await shared.chat(other)
    assert answer.status_code == 200
    assert "x-ratelimit-limit-requests" not in answer.headers
    anthropic = await shared.ask("POST", "/v1/messages", key, json={"model": "m"})
    assert (anthropic.status_code, anthropic.json()["error"]["type"]) == (429, "rate_limit_error")


async def test_tokens_per_minute_and_budget_over_http(shared: Guarded) -> None:
    key = await shared.key(tpm=1000)
    answer = await shared.chat(key)
    used = answer.json()["usage"]["total_tokens"]
    again = await shared.chat(key)
    assert int(again.headers["x-ratelimit-remaining-tokens"]) < 1000 - used
    budget = await shared.key(budget_tokens=1)
    assert (await shared.chat(budget)).status_code == 200
    refused = await shared.chat(budget)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "insufficient_quota")


async def test_places_are_given_back(tmp_path: Path) -> None:
    async with fake_engine(tokens=1000, gap_s=0.02) as engine, guarded(tmp_path) as found:
        await found.models.tell(model_status(engine))
        key = await found.key(concurrency=1)
        async with open_stream(found, key) as lines:
            await anext(lines)
            assert (await found.chat(key)).status_code == 429
        await soon(lambda: _is_ok(found.chat(key, max_tokens=1)))


async def _is_ok(asking: Any) -> bool:
    return bool((await asking).status_code == 200)


def open_stream(found: Guarded, key: str, server: int = 0, **body: Any) -> Any:
    """A stream as an async context manager that gives its lines; leaving it closes the connection."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def opened() -> AsyncIterator[AsyncIterator[str]]:
        whole = {"model": "m", "messages": [{"role": "user", "content": "Hello"}], "stream": True, **body}
        headers = {"authorization": f"Bearer {key}"}
        url = found.urls[server] + "/v1/chat/completions"
        async with found.http.stream("POST", url, json=whole, headers=headers) as answer:
            assert answer.status_code == 200
            yield answer.aiter_lines()

    return opened()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
        {"stream": True, "stream_options": {"include_usage": False}},
    ],
    ids=["whole", "stream", "stream with usage", "stream that wants no usage"],
)
async def test_whole_answers_and_streams_count_alike(shared: Guarded, body: dict[str, Any]) -> None:
    admin = await shared.key(KeyScope.ADMIN)
    key = await shared.key(name="alice")
    answer = await shared.chat(key, **body)
    assert answer.status_code == 200
    found = (await shared.usage(admin))["alice m"]
    whole = (await shared.chat(admin)).json()["usage"]
    assert (found["requests"], found["prompt_tokens"], found["completion_tokens"], found["refused"]) == (
        1,
        whole["prompt_tokens"],
        whole["completion_tokens"],
        0,
    )


async def test_an_aborted_stream_is_counted_up_to_its_end(tmp_path: Path) -> None:
    async with fake_engine(tokens=1000, gap_s=0.01) as engine, guarded(tmp_path) as found:
        await found.models.tell(model_status(engine))
        admin = await found.key(KeyScope.ADMIN)
        key = await found.key(name="alice")
        words = 0
        async with open_stream(found, key) as lines:
            async for line in lines:
                words += line.startswith("data: ")
                if words == 20:
                    # While it is open, it is counted as well: it must not be lost with its supervisor.
                    seen = (await found.usage(admin))["alice m"]
                    assert seen["requests"] == 1
                    assert seen["completion_tokens"] >= 10
                if words == 40:
                    break

        async def counted() -> bool:
            return (await found.usage(admin))["alice m"]["completion_tokens"] >= 39

        await soon(counted)
        used = (await found.usage(admin))["alice m"]
        assert (used["requests"], used["prompt_tokens"] > 0) == (1, True)
        assert used["completion_tokens"] < 200


async def test_refused_and_failed_requests_are_counted(shared: Guarded) -> None:
    admin = await shared.key(KeyScope.ADMIN)
    key = await shared.key(name="alice", rpm=1)
    await shared.chat(key)
    for _ in range(3):
        assert (await shared.chat(key)).status_code == 429
    other = await shared.key(name="bob")
    assert (await shared.ask("POST", "/v1/chat/completions", other, content=b"{bad")).status_code == 400
    found = await shared.usage(admin)
    assert (found["alice m"]["requests"], found["alice"]["refused"]) == (1, 3)
    assert (found["bob"]["requests"], found["bob"]["completion_tokens"]) == (1, 0)


async def test_everybody_sees_their_own_usage(shared: Guarded) -> None:
    alice, bob = await shared.key(name="alice"), await shared.key(name="bob")
    await shared.chat(alice)
    await shared.chat(bob)
    assert list(await shared.usage(alice)) == ["alice m"]
    text = (await shared.ask("GET", "/v1/usage?format=csv&by=model", bob)).text
    assert text.startswith("model,requests,prompt_tokens,")
    assert text.splitlines()[1].startswith("m,1,")


async def test_a_report_that_is_sent_twice_is_added_once(tmp_path: Path) -> None:
    access = Access(tmp_path, usage_days=400)
    report = UsageReport("s", 1, {("k", "m"): Tokens(requests=1, completion=5)})
    access.report(report)
    access.report(report)
    access.report(UsageReport("s", 2, {("k", "m"): Tokens(requests=1, completion=7)}))
    # Another registry, from the same file.
    again = Access(tmp_path, usage_days=400)
    again.report(UsageReport("s", 2, {("k", "m"): Tokens(requests=1, completion=7)}))
    (row,) = again.usage(0, 2**40, None)
    assert (row.tokens.requests, row.tokens.completion) == (2, 12)


async def test_usage_is_kept_while_the_registry_is_away(shared: Guarded) -> None:
    admin = await shared.key(KeyScope.ADMIN)
    key = await shared.key(name="alice")
    shared.keys.away = True
    for _ in range(3):
        assert (await shared.chat(key)).status_code == 200
    await asyncio.sleep(0.6)
    shared.keys.away = False

    async def counted() -> bool:
        found = await shared.usage(admin)
        return "alice m" in found and found["alice m"]["requests"] == 3

    await soon(counted)


async def test_revoked_keys_stop_on_every_supervisor_within_a_second(tmp_path: Path) -> None:
    async with fake_engine(tokens=2) as engine, guarded(tmp_path, supervisors=3) as found:
        await found.models.tell(model_status(engine))
        admin, key = await found.key(KeyScope.ADMIN), await found.key(name="alice")
        assert [(await found.chat(key, server=each)).status_code for each in range(3)] == [200] * 3
        began = time.monotonic()
        assert (await found.ask("DELETE", "/v1/keys/alice", admin)).status_code == 200
        for server in range(3):

            async def refused(server: int = server) -> bool:
                return (await found.chat(key, server=server)).status_code == 401

            await soon(refused)
        assert time.monotonic() - began < 1.0
        assert (await found.ask("GET", "/v1/keys/alice", admin)).json()["state"] == "revoked"


async def test_changed_limits_count_on_every_supervisor_within_a_second(tmp_path: Path) -> None:
    async with fake_engine(tokens=2) as engine, guarded(tmp_path, supervisors=3) as found:
        await found.models.tell(model_status(engine))
        admin, key = await found.key(KeyScope.ADMIN), await found.key(name="alice")
        assert (await found.chat(key)).status_code == 200
        await found.usage(admin)

        async def all_say(status: int, code: str | None, **changes: Any) -> None:
            """Change the key, and wait for at most a second until every supervisor answers by that."""
            began = time.monotonic()
            answer = await found.ask("PATCH", "/v1/keys/alice", admin, json=changes)
            assert answer.status_code == 200, answer.text
            for server in range(3):

                async def says(server: int = server) -> bool:
                    told = await found.chat(key, server=server)
                    return told.status_code == status and (code is None or told.json()["error"]["code"] == code)

                await soon(says)
            assert time.monotonic() - began < 1.0

        # Two of the supervisors have not seen the key before.
        await all_say(429, "insufficient_quota", budget_tokens=1)
        await all_say(200, None, budget_tokens=None)
        await all_say(404, "model_not_found", models=["n"])
        await all_say(200, None, models=None)
        await all_say(401, "invalid_api_key", expires_in=1e-6)
        await all_say(200, None, expires_in=None)
        await all_say(429, "rate_limit_exceeded", rpm=1)
        await all_say(200, None, rpm=1000)


async def test_an_update_over_rest(shared: Guarded) -> None:
    admin = await shared.key(KeyScope.ADMIN, name="root")
    wish = {"name": "carol", "models": "m", "rpm": 7, "tpm": 900, "priority": "low", "expires_in": 3600}
    made = (await shared.ask("POST", "/v1/keys", admin, json=wish)).json()
    text = made.pop("key")
    changes = {
        "tpm": None,
        "budget_tokens": 5000,
        "budget_period": "month",
        "models": ["m", "n*"],
        "isolate_cache": True,
    }
    answer = await shared.ask("PATCH", "/v1/keys/carol", admin, json=changes)
    assert answer.json() == {**made, **changes}
    assert (await shared.ask("PATCH", f"/v1/keys/{made['id']}", admin, json={})).json() == answer.json()
    assert (await shared.ask("GET", "/v1/keys/self", text)).json() == answer.json()

    extended = (await shared.ask("PATCH", "/v1/keys/carol", admin, json={"expires_in": 7200})).json()
    assert 3500 < extended["expires_at"] - made["expires_at"] < 3700
    renamed = (await shared.ask("PATCH", "/v1/keys/carol", admin, json={"name": "dora", "expires_in": None})).json()
    assert (renamed["name"], renamed["expires_at"], renamed["rpm"]) == ("dora", None, 7)
    assert (await shared.ask("PATCH", "/v1/keys/carol", admin, json={"rpm": 1})).status_code == 404
    taken = await shared.ask("PATCH", "/v1/keys/dora", admin, json={"name": "root"})
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "conflict")
    await shared.ask("DELETE", "/v1/keys/dora", admin)
    assert (await shared.ask("PATCH", "/v1/keys/dora", admin, json={"rpm": 1})).status_code == 409
    own = await shared.key()
    assert (await shared.ask("PATCH", "/v1/keys/root", own, json={"rpm": 1})).status_code == 403


async def test_a_key_from_a_file_keeps_its_name(shared: Guarded) -> None:
    """The next start would not find it, and not revoke it if its file is gone."""
    admin = await shared.key(KeyScope.ADMIN)
    await shared.key(name="infer-from-file")
    refused = await shared.ask("PATCH", "/v1/keys/infer-from-file", admin, json={"name": "x"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    assert (await shared.ask("PATCH", "/v1/keys/infer-from-file", admin, json={"rpm": 5})).json()["rpm"] == 5


async def test_a_change_of_keys_holds_at_every_supervisor_once_it_is_confirmed(tmp_path: Path) -> None:
    async with guarded(tmp_path, supervisors=2) as found:
        admin = await found.key(KeyScope.ADMIN)
        for number in range(20):
            made = (await found.ask("POST", "/v1/keys", admin, json={"name": f"key-{number}", "scope": "infer"})).json()
            assert (await found.ask("GET", "/v1/models", made["key"], server=1)).status_code == 200
            await found.ask("DELETE", f"/v1/keys/key-{number}", admin, server=1)
            assert (await found.ask("GET", "/v1/models", made["key"])).status_code == 401


async def test_revoking_at_once_ends_open_streams(tmp_path: Path) -> None:
    async with fake_engine(tokens=10_000, gap_s=0.01) as engine, guarded(tmp_path, supervisors=2) as found:
        await found.models.tell(model_status(engine))
        admin = await found.key(KeyScope.ADMIN)
        key, other = await found.key(name="alice"), await found.key(name="bob")
        async with open_stream(found, key, server=1) as lines, open_stream(found, other, server=1) as others:
            await anext(lines)
            answer = await found.ask("DELETE", "/v1/keys/alice", admin, json={"now": True})
            assert answer.status_code == 200
            async with asyncio.timeout(5):
                last = [line async for line in lines if line][-1]
            assert json.loads(last.removeprefix("data: "))["error"]["code"] == "invalid_api_key"
            # Nobody else's.
            for _ in range(20):
                await anext(others)


async def test_keys_go_on_while_the_registry_is_away(shared: Guarded) -> None:
    key = await shared.key()
    admin = await shared.key(KeyScope.ADMIN)
    shared.keys.away = True
    assert (await shared.chat(key)).status_code == 200
    assert (await shared.chat("wrong")).status_code == 401
    assert (await shared.ask("POST", "/v1/keys", admin, json={"name": "x"})).status_code == 503


async def test_the_life_of_a_key_over_rest(shared: Guarded) -> None:
    admin = await shared.key(KeyScope.ADMIN, name="root")
    wish = {"name": "carol", "scope": "launch", "models": "m,tiny-*", "rpm": 7, "expires_in": 3600}
    made = await shared.ask("POST", "/v1/keys", admin, json=wish)
    assert (made.status_code, made.headers["cache-control"]) == (200, "no-store")
    key = made.json()
    text = key.pop("key")
    assert (key["models"], key["rpm"], key["state"]) == (["m", "tiny-*"], 7, "active")
    assert (await shared.chat(text)).status_code == 200
    assert (await shared.ask("GET", "/v1/keys/self", text)).json() == key
    listed = await shared.ask("GET", "/v1/keys", admin)
    assert [each["name"] for each in listed.json()["data"]] == ["root", "carol"]
    rotated = (await shared.ask("POST", "/v1/keys/carol/rotate", admin, json={"overlap": 60})).json()
    assert rotated["key"] != text
    assert rotated["id"] == key["id"]
    assert [(await shared.chat(each)).status_code for each in (text, rotated["key"])] == [200, 200]
    at_once = (await shared.ask("POST", "/v1/keys/carol/rotate", admin, json={"overlap": 0})).json()["key"]
    assert [(await shared.chat(each)).status_code for each in (rotated["key"], at_once)] == [401, 200]
    for answer in (listed, await shared.ask("GET", "/v1/keys/carol", admin)):
        assert not any(secret.rpartition("_")[2] in answer.text for secret in (text, rotated["key"], at_once))
        assert "digest" not in answer.text


WRONG_KEYS: list[dict[str, Any]] = [
    {},
    {"name": ""},
    {"name": "operator"},
    {"name": "admin-from-file"},
    {"name": "a\nb"},
    {"name": "x", "scope": "root"},
    {"name": "x", "rpm": 0},
    {"name": "x", "rpm": "1e400"},
    {"name": "x", "models": ["a b"]},
    {"name": "x", "expires_in": -1},
    {"name": "x", "digest": "00"},
    {"name": "x", "id": "operator"},
]


async def test_wrong_wishes_make_no_key(shared: Guarded) -> None:
    admin = await shared.key(KeyScope.ADMIN)
    for wish in WRONG_KEYS:
        assert (await shared.ask("POST", "/v1/keys", admin, json=wish)).status_code == 400, wish
    assert len((await shared.ask("GET", "/v1/keys", admin)).json()["data"]) == 1


WRONG_UPDATES: list[dict[str, Any]] = [
    *[wish for wish in WRONG_KEYS if wish],
    {"scope": "infer"},
    {"name": None},
    {"priority": None},
    {"budget_period": None},
    {"budget_period": "week"},
    {"isolate_cache": None},
    {"rpm": 5, "revoked_at": None},
]


async def test_wrong_updates_change_nothing(shared: Guarded) -> None:
    admin = await shared.key(KeyScope.ADMIN, name="root")
    before = (await shared.ask("GET", "/v1/keys/root", admin)).json()
    for wish in WRONG_UPDATES:
        assert (await shared.ask("PATCH", "/v1/keys/root", admin, json=wish)).status_code == 400, wish
    for body in (b"", b"[]", b"null", b"{"):
        assert (await shared.ask("PATCH", "/v1/keys/root", admin, content=body)).status_code == 400, body
    assert (await shared.ask("GET", "/v1/keys/root", admin)).json() == before


async def test_xinferences_login(shared: Guarded) -> None:
    key = await shared.key()
    answer = await shared.ask("POST", "/token", json={"username": "anybody", "password": key})
    assert answer.json() == {"access_token": key, "token_type": "bearer"}
    wrong = await shared.ask("POST", "/token", json={"username": "anybody", "password": key[:-1]})
    assert wrong.status_code == 401
    assert isinstance(wrong.json()["detail"], str)


async def test_changes_are_in_the_audit_log_and_no_secrets(shared: Guarded, tmp_path: Path) -> None:
    admin = await shared.key(KeyScope.ADMIN, name="root")
    infer = await shared.key(name="alice")
    made = (await shared.ask("POST", "/v1/keys", admin, json={"name": "bob"})).json()["key"]
    changes = {"rpm": 20, "tpm": None, "models": ["m", "n*"], "expires_in": 7776000}
    await shared.ask("PATCH", "/v1/keys/bob", admin, json=changes)
    await shared.ask("PATCH", "/v1/keys/nobody", admin, json={"rpm": 1})
    await shared.ask("DELETE", "/v1/models/m", infer)
    await shared.ask("DELETE", "/v1/models/ghost", admin, headers={"x-xinfer-client": "10.1.2.3"})
    await shared.chat(infer, messages=[{"role": "user", "content": "a secret prompt"}])
    await shared.ask("POST", "/v1/models", infer, json={"model_name": "tiny-chat"})

    async def written() -> bool:
        return len((await shared.ask("GET", "/v1/audit", admin)).json()["data"]) >= 4

    await soon(written)
    found = (await shared.ask("GET", "/v1/audit", admin)).json()["data"]
    facts = [(each["name"], each["action"], each["status"]) for each in found]
    assert ("root", "POST /v1/keys", 200) in facts
    assert ("root", "DELETE /v1/models/{uid}", 404) in facts
    (deletion,) = [each for each in found if each["action"].startswith("DELETE") and each["status"] == 404]
    assert (deletion["target"], deletion["address"]) == ("ghost", "10.1.2.3")
    (creation,) = [each for each in found if each["action"] == "POST /v1/keys"]
    assert creation["target"].startswith("bob (")
    updates = [each for each in found if each["action"] == "PATCH /v1/keys/{key_id}"]
    assert [(each["name"], each["status"]) for each in updates] == [("root", 200), ("root", 404)]
    told = creation["target"].removesuffix(", infer)") + "): models=m n*, rpm=20, tpm=none, expires_in=7776000"
    assert [each["target"] for each in updates] == [told, "nobody"]
    file = tmp_path / "audit.jsonl"
    assert file.stat().st_mode & 0o077 == 0
    assert not any(secret in file.read_text() for secret in ("secret prompt", made, admin, infer))


async def test_a_client_that_leaves_is_in_the_audit_log(shared: Guarded) -> None:
    """Serve cancels a request whose client has left; what it has begun goes on."""
    admin = await shared.key(KeyScope.ADMIN)
    headers = [(b"x-api-key", admin.encode())]
    scope = {"type": "http", "method": "DELETE", "path": "/v1/models/m", "root_path": "", "query_string": b""}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_: Any) -> None:
        raise AssertionError("there is no response")

    asking = asyncio.create_task(shared.apps[0]({**scope, "headers": headers}, receive, send))

    async def asked_for() -> bool:
        return ("terminate", "m") in shared.models.asked

    await soon(asked_for)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    async def written() -> bool:
        return bool((await shared.ask("GET", "/v1/audit", admin)).json()["data"])

    await soon(written)
    (entry,) = (await shared.ask("GET", "/v1/audit", admin)).json()["data"]
    assert (entry["action"], entry["target"], entry["status"]) == ("DELETE /v1/models/{uid}", "m", 499)


async def test_what_a_terminal_shows_of_the_audit_log_is_text(shared: Guarded) -> None:
    admin = await shared.key(KeyScope.ADMIN)
    await shared.ask("DELETE", "/v1/models/a%1b%5b31m%0ab", admin)

    async def written() -> bool:
        return bool((await shared.ask("GET", "/v1/audit", admin)).json()["data"])

    await soon(written)
    (entry,) = (await shared.ask("GET", "/v1/audit", admin)).json()["data"]
    assert entry["target"] == "a?[31m?b"


async def test_wrong_questions_about_usage(shared: Guarded) -> None:
    key = await shared.key()
    for query in ("since=nan", "since=-1", "until=inf", "since=1e300", "by=prompt", "format=xml"):
        assert (await shared.ask("GET", f"/v1/usage?{query}", key)).status_code == 400, query


async def test_ids_of_requests_are_of_one_key_only(tmp_path: Path) -> None:
    """Two keys name their requests alike; an abort of one does not touch the other's."""
    async with fake_engine(tokens=10_000, gap_s=0.01) as engine, guarded(tmp_path) as found:
        await found.models.tell(model_status(engine))
        alice, bob = await found.key(name="alice"), await found.key(name="bob")
        async with open_stream(found, alice, extra_body={"request_id": "same"}) as lines:
            await anext(lines)
            path = "/v1/models/m/requests/same/abort"
            assert (await found.ask("POST", path, bob, json={"block_duration": 0})).json() == {"msg": "NOT_FOUND"}
            await anext(lines)
            assert (await found.ask("POST", path, alice, json={"block_duration": 0})).json() == {"msg": "DONE"}


async def test_what_the_key_says_stands_in_the_place_of_what_the_caller_says(shared: Guarded) -> None:
    key = await shared.key(isolate_cache=True)
    sent = {"priority": -100, "cache_salt": "alice", "extra_body": {"priority": -100, "cache_salt": "alice"}}
    assert (await shared.chat(key, **sent)).status_code == 200
    first = await _last_body(shared)
    assert "priority" not in first
    assert len(first["cache_salt"]) == 64
    assert (await shared.chat(await shared.key(isolate_cache=True), **sent)).status_code == 200
    assert (await _last_body(shared))["cache_salt"] != first["cache_salt"]
    refused = await shared.ask("POST", "/v1/messages", key, json={"model": "m", "messages": [], "max_tokens": 1})
    assert refused.status_code == 400


async def _last_body(shared: Guarded) -> dict[str, Any]:
    (replica,) = shared.apps[0]._models.get("m").targets
    async with httpx.AsyncClient(verify=False) as http:
        body: dict[str, Any] = (await http.get(f"{replica.address}/fake/state")).json()["last_body"]
    return body


LAUNCHES: list[dict[str, Any]] = [
    {"trust_remote_code": True},
    {"envs": {"LD_PRELOAD": "/tmp/x.so"}},
    {"envs": {"HF_ENDPOINT": "http://evil"}},
    {"model_path": "/etc"},
    {"model_path": "../../etc"},
    {"model_path": "~/models"},
    {"worker_extension_cls": "os.system"},
    {"worker-extension-cls": "os.system"},
    {"hf_overrides": {"x": 1}},
    {"tokenizer": "/etc"},
    {"load_format": "runai"},
    {"chat_template": "/etc/passwd"},
    {"allowed_local_media_path": "/"},
    {"speculative_config": {"model": "/x"}},
    {"max_model_len.x": 1},
]


async def test_launches_run_no_code_and_read_no_files(shared: Guarded) -> None:
    key = await shared.key(KeyScope.LAUNCH)
    for wish in LAUNCHES:
        body = {"model_name": "tiny-chat", "n_gpu": None, **wish}
        answer = await shared.ask("POST", "/v1/models?wait_ready=false", key, json=body)
        assert answer.status_code == 403, (wish, answer.text)
    assert not [asked for asked in shared.models.asked if asked[0] == "launch"]


async def test_metrics_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two supervisors: each shows its own, and any of them the sums. Label values are known keys and models."""
    monkeypatch.setattr("supervisor.api.metrics.ray.nodes", list)
    breaks = serving(Broken(b"data: {}\n\n"))
    async with fake_engine(tokens=5) as engine, breaks as url, guarded(tmp_path, supervisors=2) as found:
        await found.models.tell(model_status(engine), model_status(report(uid="n", address=url), uid="n"))
        found.models.answers["exchange_metrics"] = {}
        metrics = await found.key(KeyScope.METRICS)
        key = await found.key(rpm=8)
        key_id = key.split("_")[1]
        for server in (0, 1, 1):
            assert (await found.chat(key, server=server)).status_code == 200
        assert "error" in (await found.chat(key, "n", stream=True)).text
        await found.chat(key, "no-such-model")
        while (await found.chat(key)).status_code != 429:
            pass

        async def shown(path: str, server: int = 0) -> dict[tuple[str, str, str], float]:
            """Values by model and outcome or kind."""
            text = (await found.ask("GET", path, metrics, server)).text
            samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
            ours = [each for each in samples if each.name.startswith("xinfer_key_") and each.value]
            assert {each.labels["key"] for each in ours} <= {key_id}
            return {
                (each.name, each.labels["model"], each.labels.get("outcome") or each.labels["kind"]): each.value
                for each in ours
            }

        requests, tokens = "xinfer_key_requests_total", "xinfer_key_tokens_total"
        own = await shown("/metrics/supervisor", 1)
        assert {name: value for name, value in own.items() if name[0] == requests} == {(requests, "m", "ok"): 2}
        assert own[tokens, "m", "completion"] == 10
        await shown("/metrics", 1)
        sums = await shown("/metrics", 0)
        assert sums[requests, "", "limited"] == 1
        assert sums[requests, "", "refused"] == 1
        assert sums[requests, "n", "broken"] == 1
        assert sums[requests, "m", "ok"] >= 3
        assert sums[tokens, "m", "completion"] >= 15
        assert sums[tokens, "m", "prompt"] > 0
        await found.models.tell()
        assert {model for _, model, _ in await shown("/metrics/supervisor")} == {""}, "the model is gone"
