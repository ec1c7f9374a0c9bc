"""The smaller parts: the engine's doorkeeper, the credentials of the command line, counting, the policy for launches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.access.caller import Caller
from supervisor.access.launch_policy import check_launch, for_keys
from supervisor.access.token_counter import TokenCounter
from supervisor.gateway.own_port import OwnPort
from supervisor.translate.engine_request import build_engine_request
from supervisor.translate.tenant import Tenant
from tests.security.test_keys import made
from tests.supervisor.samples import spec
from worker.middleware.doorkeeper import Doorkeeper
from xinfer.access_settings import AccessSettings, usage_days
from xinfer.cli import credentials
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.cluster_secret import GUARD_ENGINES, guarding_secret, operator_key, own_engine_secret
from xinfer.cluster.haproxy import with_client_address, with_front_secret, with_tls
from xinfer.errors import PermissionRefused
from xinfer.messages import KeyScope, Priority
from xinfer.wire.paths import CHAT, COMPLETIONS, RESPONSES
from xinfer.wire.sse import END


def http(path: str = CHAT, method: str = "POST", secret: bytes | None = None) -> dict[str, Any]:
    headers = [] if secret is None else [(b"x-xinfer-secret", secret)]
    return {"type": "http", "method": method, "path": path, "headers": headers}


def test_the_doorkeeper() -> None:
    keeper = Doorkeeper("s3cret")
    assert keeper.admits(http(secret=b"s3cret"))
    assert keeper.admits({"type": "lifespan"})
    assert keeper.admits(http("/health", "GET"))
    assert keeper.admits(http("/metrics", "GET"))
    for scope in (
        http(),
        http(secret=b""),
        http(secret=b"s3cret "),
        http("/metrics", "POST"),
        http("/health/../v1/completions", "GET"),
        http("/v1/models", "GET"),
        {**http(), "type": "websocket"},
    ):
        assert not keeper.admits(scope)
    assert Doorkeeper(None).admits(http())


def test_the_secret_of_engines_comes_from_the_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.delenv(GUARD_ENGINES, raising=False)
    assert own_engine_secret() is None
    assert guarding_secret() is None
    monkeypatch.setenv(GUARD_ENGINES, "1")
    with pytest.raises(OSError, match="RAY_AUTH_TOKEN_PATH"):
        guarding_secret()
    (tmp_path / "ray.token").write_text("t" * 64)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "ray.token"))
    assert guarding_secret() == own_engine_secret()
    assert operator_key(tmp_path) != guarding_secret()


def test_credentials_are_of_one_server_and_one_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINFER_HOME", str(tmp_path))
    monkeypatch.delenv("XINFER_ENDPOINT", raising=False)
    monkeypatch.delenv("XINFERENCE_ENDPOINT", raising=False)
    assert credentials.key_for("http://a:1") is None
    credentials.keep("http://a:1/", "one")
    credentials.keep("http://b:1", "two")
    assert (credentials.key_for("http://a:1"), credentials.key_for("http://b:1/")) == ("one", "two")
    assert credentials.endpoint() == "http://b:1"
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert credentials.forget("http://b:1")
    assert not credentials.forget("http://b:1")
    assert credentials.endpoint() == "http://127.0.0.1:9997"


def test_the_operators_key_is_shown_to_the_own_cluster_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINFER_HOME", str(tmp_path))
    (tmp_path / "ray.token").write_text("t" * 64)
    ClusterRecord("id", "http://127.0.0.1:9997", "x", 0.0, requires_keys=True).save(tmp_path)
    assert credentials.key_for("http://127.0.0.1:9997") == operator_key(tmp_path)
    assert credentials.key_for("http://elsewhere:9997") is None
    ClusterRecord("id", "http://127.0.0.1:9997", "x", 0.0).save(tmp_path)
    assert credentials.key_for("http://127.0.0.1:9997") is None


STREAM = (
    b'data: {"choices":[{"delta":{"content":"say \\"usage\\":{\\"prompt_tokens\\":9}"}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"b"}}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9,'
    b'"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}}}\n\n'
    b"data: [DONE]\n\n"
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_counts_do_not_depend_on_where_a_stream_is_cut(cuts: list[int]) -> None:
    counter = TokenCounter()
    begin = 0
    for end in [*sorted(cuts), len(STREAM)]:
        counter.feed(STREAM[begin:end])
        begin = end
    used = counter.tokens(prompt_estimate=100)
    assert (used.prompt, used.cached, used.completion, used.reasoning) == (7, 4, 2, 1)
    assert counter.events == STREAM.count(END)


def test_counts_of_the_other_apis() -> None:
    claude = TokenCounter()
    claude.feed(b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":5}}}\n\n')
    assert (claude.tokens(9).prompt, claude.tokens(9).completion) == (5, 1)
    claude.feed(b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":3}}\n\n')
    assert (claude.tokens(9).prompt, claude.tokens(9).completion) == (5, 3)
    responses = TokenCounter()
    responses.feed(
        b'event: response.completed\ndata: {"response":{"usage":{"input_tokens":5,"output_tokens":6,'
        b'"input_tokens_details":{"cached_tokens":1},"output_tokens_details":{"reasoning_tokens":2}}}}\n\n'
    )
    used = responses.tokens(9)
    assert (used.prompt, used.completion, used.cached, used.reasoning) == (5, 6, 1, 2)
    whole = TokenCounter()
    whole.whole(b'{"message":"x","usage":{"prompt_tokens":1,"completion_tokens":2}}')
    assert (whole.tokens(9).prompt, whole.tokens(9).completion) == (1, 2)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_counter(data: bytes) -> None:
    counter = TokenCounter()
    counter.feed(b'{"usage"' + data)
    counter.whole(data)
    counter.tokens(1)


BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "x"}]},
    COMPLETIONS: {"prompt": "x"},
    RESPONSES: {"input": "x"},
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("nested", [False, True])
def test_what_the_key_says_wins_on_every_route(path: str, nested: bool) -> None:
    tenant = Tenant("k", Priority.HIGH, isolate_cache=True)
    said = {"priority": -99, "cache_salt": "theirs", "request_id": "mine"}
    body = {"model": "m", **BODIES[path], **({"extra_body": said} if nested else said)}
    for args, expected in (({}, None), ({"scheduling_policy": "priority"}, -10)):
        request = build_engine_request(path, b"", {**body}, spec(engine_args=args), tenant)
        sent = json.loads(request.body)
        assert sent.get("priority") == expected
        assert sent["request_id"] == "k-mine"
        assert len(sent["cache_salt"]) == 64
        assert b"theirs" not in request.body
        assert b"-99" not in request.body


def caller(scope: KeyScope) -> Caller:
    return Caller(made(scope)[0])


def launch(scope: KeyScope | None, settings: AccessSettings | None = None, **wish: Any) -> bool:
    given = {"model_path": None, "variables": {}, "engine_args": {}, "trust_remote_code": False, **wish}
    try:
        check_launch(scope and caller(scope), settings or AccessSettings(), **given)
    except PermissionRefused:
        return False
    return True


def test_paths_of_launches(tmp_path: Path) -> None:
    models = tmp_path / "models"
    inside = models / "a"
    outside = tmp_path / "other"
    for folder in (inside, outside):
        folder.mkdir(parents=True)
    (models / "link").symlink_to(outside)
    settings = AccessSettings(model_dirs=(str(models),))
    allowed = {
        path: launch(KeyScope.LAUNCH, settings, model_path=str(path)) for path in (inside, outside, models / "link")
    }
    assert allowed == {inside: True, outside: False, models / "link": False}
    assert not launch(KeyScope.LAUNCH, settings, model_path=f"{inside}/../../other")
    assert not launch(KeyScope.LAUNCH, settings, model_path=f"{models}x")
    assert launch(KeyScope.LAUNCH, settings, model_path="Qwen/Qwen3-8B")
    assert launch(KeyScope.ADMIN, settings, model_path=str(outside))
    assert launch(None, None, model_path=str(outside), trust_remote_code=True, variables={"LD_PRELOAD": "x"})


def test_variables_of_launches() -> None:
    assert launch(KeyScope.LAUNCH, variables={"OMP_NUM_THREADS": "2"})
    assert not launch(KeyScope.LAUNCH, variables={"HF_TOKEN": "x"})
    assert launch(KeyScope.ADMIN, variables={"HF_TOKEN": "x"})
    for name in (
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PATH",
        "RAY_AUTH_TOKEN_PATH",
        "XINFER_HOME",
    ):
        assert not launch(KeyScope.ADMIN, variables={name: "x"}), name


def test_a_third_of_a_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usage_days() == 400
    for text in ("0", "-1", "x", "1.5"):
        monkeypatch.setenv("XINFER_USAGE_DAYS", text)
        with pytest.raises(ValueError, match="XINFER_USAGE_DAYS"):
            usage_days()


def test_haproxy_tells_the_address_and_hides_its_routes() -> None:
    config = "frontend http_frontend\n    bind 0.0.0.0:1\n    acl routes path -i /-/routes\n"
    changed = with_client_address(config)
    assert "    http-request set-header x-xinfer-client %[src]\n" in changed
    assert "acl routes always_false\n" in changed


async def test_the_own_port_of_a_supervisor_takes_what_came_through_haproxy() -> None:
    def asked(path: str, secret: bytes | None = None, method: str = "POST") -> dict[str, Any]:
        headers = [] if secret is None else [(b"x-xinfer-front", secret)]
        return {"type": "http", "method": method, "path": path, "headers": headers}

    passed: list[Any] = []
    answered: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope)

    async def send(message: Any) -> None:
        answered.append(message)

    async def receive() -> Any:
        raise AssertionError("the body is not read")

    port = OwnPort(app, "s3cret")
    for admitted in (
        asked(CHAT, b"s3cret"),
        asked("/-/healthz", method="GET"),
        asked("/metrics/supervisor", method="GET"),
        {"type": "lifespan"},
    ):
        await port(admitted, receive, send)
    assert (len(passed), answered) == (4, [])
    for refused in (
        asked(CHAT),
        asked(CHAT, b"s3cret "),
        asked("/-/healthz"),
        asked("/v1/models", method="GET"),
        {**asked(CHAT), "type": "websocket"},
    ):
        await port(refused, receive, send)
    assert len(passed) == 4
    starts = [each["status"] for each in answered if each["type"] == "http.response.start"]
    assert starts == [403] * 4
    assert answered[-1]["type"] == "websocket.close"


def test_haproxy_shows_the_secret_whatever_the_client_sends() -> None:
    config = "frontend http_frontend\n    bind 0.0.0.0:1\n"
    changed = with_tls(with_front_secret(config, "abc"), "/x.pem")
    assert changed.startswith(
        "frontend http_frontend\n    http-request set-header x-xinfer-front abc\n    bind 0.0.0.0:1 ssl "
    )
    assert with_front_secret(config, None) == config


def test_engines_heed_the_priorities_of_keys_and_tell_what_was_cached() -> None:
    assert for_keys(spec()).engine_args == {"scheduling_policy": "priority", "enable_prompt_tokens_details": True}
    assert for_keys(spec(engine="fake")).engine_args == {}
    for policy in ({"scheduling_policy": "fcfs"}, {"scheduling": "fcfs"}):
        assert for_keys(spec(engine_args=policy)).engine_args == {**policy, "enable_prompt_tokens_details": True}
