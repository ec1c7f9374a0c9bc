"""A real cluster that others reach: started as a person would, with two supervisors, HAProxy and vLLM."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import openai
import psutil
import pytest
import requests

from tests.clients.environments import python_of
from tests.conftest import ROOT
from tests.docs.blocks import ENDPOINT, blocks
from tests.observability.collector import Collector, Span, collecting
from tests.observability.prometheus import panels_without_data, running_prometheus
from tests.security.ports import Kind, documented, listeners, where
from tests.waiting import wait_for
from xinfer.api_key import PATTERN, new_id, new_key
from xinfer.client import RESTfulClient
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.cluster_secret import operator_key
from xinfer.cluster.ports import free_port, outward_address
from xinfer.cluster.processes import of_cluster
from xinfer.errors import AuthenticationFailed, ModelNotFound, PermissionRefused, XinferError
from xinfer.monitoring.rules import rules_file
from xinfer.monitoring.tenants import TENANTS

pytestmark = pytest.mark.engine
HELLO: list[Any] = [{"role": "user", "content": "What is the largest animal?"}]


@dataclass(frozen=True)
class OpenCluster:
    home: Path
    endpoint: str
    admin_key: str
    started: subprocess.CompletedProcess[str]

    def run(self, *words: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """``xinfer WORDS`` on this machine, with the folder of the cluster unless ``XINFER_HOME`` is another."""
        return _run(self.home, self.endpoint, *words, check=check, **env)


def _run(home: Path, endpoint: str, *words: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "xinfer.cli", *words],
        env={**os.environ, "XINFER_HOME": str(home), "XINFER_ENDPOINT": endpoint, **env},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert not check or done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Where the cluster sends its traces."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def shared(collector: Collector) -> Iterator[OpenCluster]:
    """``xinfer start --host 0.0.0.0``, with tiny-chat, and with traces on."""
    home = Path(tempfile.mkdtemp(prefix="xi-", dir="/tmp"))
    keys = home / "keys"
    keys.mkdir()
    (keys / "metrics").write_text(new_key(new_id()))
    port = free_port("127.0.0.1")
    endpoint = f"http://127.0.0.1:{port}"
    options = [
        "--host",
        "0.0.0.0",
        "--port",
        str(port),
        "--ray-port",
        str(free_port("127.0.0.1")),
        "--supervisors",
        "2",
        "--keys-from",
        str(keys),
    ]
    try:
        started = _run(home, endpoint, "start", *options, "--launch", "tiny-chat", **collector.environment())
        found = re.search(r"xinfer_[0-9a-f]{10}_[0-9a-f]{48}", started.stdout)
        assert found, started.stdout
        yield OpenCluster(home, endpoint, found[0], started)
    finally:
        _run(home, endpoint, "stop", "--drain-timeout", "0", check=False)
        shutil.rmtree(home, ignore_errors=True)


def test_key_that_was_given_as_a_file(shared: OpenCluster) -> None:
    key = {"Authorization": f"Bearer {(shared.home / 'keys' / 'metrics').read_text()}"}
    assert "xinfer_" in requests.get(f"{shared.endpoint}/metrics", headers=key, timeout=10).text
    assert requests.get(f"{shared.endpoint}/v1/models", headers=key, timeout=10).status_code == 403


@pytest.fixture
def admin(shared: OpenCluster) -> Iterator[RESTfulClient]:
    with RESTfulClient(shared.endpoint, shared.admin_key) as client:
        yield client


@pytest.fixture
def make_key(admin: RESTfulClient) -> Iterator[Callable[..., str]]:
    names: list[str] = []

    def make(name: str, **options: Any) -> str:
        names.append(name)
        text: str = admin.create_key(name, **options)["key"]
        return text

    yield make
    for name in names:
        admin.revoke_key(name)


def test_the_start_says_what_is_on_and_shows_an_admin_key_once(shared: OpenCluster) -> None:
    assert "Keys: required" in shared.started.stdout
    assert PATTERN.match(shared.admin_key)
    assert "unencrypted" in shared.started.stderr
    assert "Keys are required." in shared.run("status").stdout
    secret = shared.admin_key.rpartition("_")[2]
    everybody = of_cluster(ClusterRecord.load(shared.home).id)  # type: ignore[union-attr]
    assert everybody
    for process in everybody:
        try:
            assert secret not in " ".join([*process.cmdline(), *process.environ().values()])
        except psutil.Error:
            continue


def test_it_answers_at_the_address_that_others_see(shared: OpenCluster) -> None:
    address = outward_address()
    if address is None:
        pytest.skip("this machine has no network")
    port = shared.endpoint.rpartition(":")[2]
    assert requests.get(f"http://{address}:{port}/health", timeout=10).status_code == 200


def test_nothing_but_liveness_answers_without_a_key(shared: OpenCluster) -> None:
    assert requests.get(f"{shared.endpoint}/health", timeout=10).status_code == 200
    for method, path in (
        ("GET", "/v1/models"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/clusters"),
        ("GET", "/metrics"),
        ("GET", "/v1/keys"),
        ("GET", "/%2e%2e/v1/models"),
        ("GET", "//v1/models"),
    ):
        answer = requests.request(method, shared.endpoint + path, timeout=10)
        assert answer.status_code == 401, (method, path, answer.text)
    assert requests.get(f"{shared.endpoint}/-/routes", timeout=10).status_code == 404


def test_supervisors_and_the_fallback_proxy_ask_for_keys_themselves(shared: OpenCluster) -> None:
    """Whoever goes round HAProxy, to any port of any process of the cluster, gets nothing either."""
    record = ClusterRecord.load(shared.home)
    assert record
    addresses = [(address, port) for address, port in _listening(record.id) if ":" not in address]
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(_models_of, addresses))
    # HAProxy, its statistics, two supervisors, Serve's own proxy, the engine.
    assert len([answer for answer in answers if answer]) >= 6
    assert [each for each in answers if each and each[1] == 200 and not each[2].startswith("# HELP")] == []


def _models_of(address: tuple[str, int]) -> tuple[tuple[str, int], int, str] | None:
    """What this listener answers to whoever wants to know of models; None if it speaks no HTTP."""
    host = address[0].replace("0.0.0.0", "127.0.0.1")
    try:
        answer = requests.get(f"http://{host}:{address[1]}/v1/models", timeout=3)
    except requests.RequestException:
        return None
    return address, answer.status_code, answer.text


def _listening(cluster_id: str) -> set[tuple[str, int]]:
    addresses: set[tuple[str, int]] = set()
    for process in of_cluster(cluster_id):
        try:
            found = process.net_connections("inet")
        except psutil.Error:
            continue
        addresses |= {(each.laddr.ip, each.laddr.port) for each in found if each.status == psutil.CONN_LISTEN}
    return addresses


def test_ports_are_where_the_documents_say(shared: OpenCluster) -> None:
    """Those of a cluster on loopback are checked in ``tests/faults/test_f_security.py``."""
    found = listeners(shared.home)
    assert [each for each in found if each.kind is Kind.UNKNOWN] == []
    assert {kind.value: places for kind, places in where(found, shared.home).items()} == documented(2)


def test_a_supervisors_own_port_takes_no_keys(shared: OpenCluster) -> None:
    """Only what has come through HAProxy, and Prometheus."""
    ports = {each.port for each in listeners(shared.home) if each.kind is Kind.SUPERVISOR}
    key = {"x-api-key": shared.admin_key}
    for port in ports:
        own = f"http://127.0.0.1:{port}"
        assert requests.get(f"{own}/v1/models", headers=key, timeout=10).status_code == 403
        body = {"model": "tiny-chat", "messages": HELLO, "max_tokens": 1}
        assert requests.post(f"{own}/v1/chat/completions", json=body, headers=key, timeout=10).status_code == 403
        wrong = {**key, "x-xinfer-front": "0" * 64}
        assert requests.get(f"{own}/v1/models", headers=wrong, timeout=10).status_code == 403
    targets = requests.get(
        f"{shared.endpoint}/v1/metrics/targets", params={"component": "supervisor"}, headers=key, timeout=10
    ).json()
    assert len(targets) == 2
    for target in targets:
        metrics = f"http://{target['targets'][0]}{target['labels']['__metrics_path__']}"
        assert requests.get(metrics, timeout=10).status_code == 401
        assert "xinfer_" in requests.get(metrics, headers=key, timeout=10).text


def test_the_engine_takes_requests_of_its_cluster_only(shared: OpenCluster, admin: RESTfulClient) -> None:
    (replica,) = requests.get(
        f"{shared.endpoint}/v1/models/tiny-chat/replicas",
        headers={"x-api-key": shared.admin_key},
        timeout=10,
    ).json()
    engine = replica["model_address"]
    body = {"model": "tiny-chat", "messages": HELLO, "max_tokens": 1}
    for headers in ({}, {"authorization": f"Bearer {shared.admin_key}"}, {"x-xinfer-secret": "x"}):
        answer = requests.post(f"{engine}/v1/chat/completions", json=body, headers=headers, timeout=10)
        assert answer.status_code == 401
        assert requests.post(f"{engine}/tokenize", json={"prompt": "x"}, headers=headers, timeout=10).status_code == 401
        assert requests.get(f"{engine}/v1/models", headers=headers, timeout=10).status_code == 401
    assert requests.get(f"{engine}/health", timeout=10).status_code == 200
    assert admin.get_model("tiny-chat").chat(HELLO, generate_config={"max_tokens": 1})["choices"]


def test_clients_of_openai_and_anthropic(shared: OpenCluster, make_key: Callable[..., str]) -> None:
    key = make_key("app")
    with openai.OpenAI(base_url=f"{shared.endpoint}/v1", api_key=key) as client:
        assert [model.id for model in client.models.list()] == ["tiny-chat"]
        assert client.chat.completions.create(model="tiny-chat", messages=HELLO, max_tokens=3).usage
    stranger = openai.OpenAI(base_url=f"{shared.endpoint}/v1", api_key="wrong", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with anthropic.Anthropic(base_url=shared.endpoint, api_key=key) as claude:
        message = claude.messages.create(model="tiny-chat", messages=HELLO, max_tokens=3)
        assert message.usage.output_tokens == 3
    other = anthropic.Anthropic(base_url=shared.endpoint, api_key="wrong", max_retries=0)
    with other, pytest.raises(anthropic.AuthenticationError):
        other.messages.create(model="tiny-chat", messages=HELLO, max_tokens=3)


def test_usage_of_every_api_is_what_the_engine_says(
    shared: OpenCluster, admin: RESTfulClient, make_key: Callable[..., str]
) -> None:
    key = make_key("counted")
    used: list[tuple[int, int]] = []
    with openai.OpenAI(base_url=f"{shared.endpoint}/v1", api_key=key) as client:
        whole = client.chat.completions.create(model="tiny-chat", messages=HELLO, max_tokens=8).usage
        assert whole
        used.append((whole.prompt_tokens, whole.completion_tokens))
        chunks = list(
            client.chat.completions.create(
                model="tiny-chat", messages=HELLO, max_tokens=8, stream=True, stream_options={"include_usage": True}
            )
        )
        assert chunks[-1].usage
        used.append((chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens))
        text = client.completions.create(model="tiny-chat", prompt="The largest animal", max_tokens=8).usage
        assert text
        used.append((text.prompt_tokens, text.completion_tokens))
        response = client.responses.create(model="tiny-chat", input="Hello", max_output_tokens=8).usage
        assert response
        used.append((response.input_tokens, response.output_tokens))
        last = list(client.responses.create(model="tiny-chat", input="Hello", max_output_tokens=8, stream=True))[-1]
        usage = last.response.usage  # type: ignore[union-attr]
        used.append((usage.input_tokens, usage.output_tokens))
    with anthropic.Anthropic(base_url=shared.endpoint, api_key=key) as claude:
        message = claude.messages.create(model="tiny-chat", messages=HELLO, max_tokens=8).usage
        used.append((message.input_tokens, message.output_tokens))
        with claude.messages.stream(model="tiny-chat", messages=HELLO, max_tokens=8) as stream:
            final = stream.get_final_message().usage
        used.append((final.input_tokens, final.output_tokens))

    asked = tuple(map(sum, zip(*used, strict=True)))

    def reported() -> bool:
        """A stream that was under way at a report is in it with the tokens that it had by then."""
        (found,) = [each for each in admin.get_usage(by=["key"]) if each["key_name"] == "counted"] or [None]
        return bool(found) and (found["requests"], found["prompt_tokens"], found["completion_tokens"]) == (
            len(used),
            *asked,
        )

    wait_for(reported, 10, "the usage of all requests")


def test_traces_of_a_launch(shared: OpenCluster, collector: Collector) -> None:
    """Its stages as spans, and within the replica's start what vLLM tells of its own."""
    (launch,) = wait_for(lambda: collector.named("launch tiny-chat"), 10, "the launch's span")
    assert (launch.service, launch.failed, launch.attributes["xinfer.outcome"]) == ("xinfer-registry", False, "ready")
    pending, replica = collector.inside(launch)
    assert (pending.name, replica.name) == ("pending", "start replica")
    stages = [each for each in collector.inside(replica) if each.service == "xinfer-registry"]
    assert [each.name for each in stages] == ["placing", "starting", "loading", "warming_up"]
    assert launch.began_at <= stages[0].began_at
    assert stages[-1].ended_at <= launch.ended_at

    def own() -> set[str]:
        return {each.name for each in collector.of_trace(launch.trace_id) if each.service == "vllm"}

    wait_for(lambda: {"Load model", "EngineCoreProc init"} <= own(), 10, "the engine's own spans")


def test_traces_of_a_request(shared: OpenCluster, collector: Collector, make_key: Callable[..., str]) -> None:
    """One trace from the client to the engine."""
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {
        "x-api-key": make_key("traced"),
        "x-request-id": "traced-1",
        "traceparent": f"00-{trace_id}-00f067aa0ba902b7-01",
    }
    body = {"model": "tiny-chat", "messages": HELLO, "max_tokens": 4, "stream": True}
    with requests.post(f"{shared.endpoint}/v1/chat/completions", json=body, headers=headers, timeout=60) as response:
        assert response.content.endswith(b"data: [DONE]\n\n")
    names = {"chat tiny-chat", "receive", "translate", "route", "first byte", "response", "llm_request"}

    def spans() -> dict[str, Span]:
        found = {each.name: each for each in collector.of_trace(trace_id)}
        return found if found.keys() >= names else {}

    found = wait_for(spans, 15, "all spans of the request")
    request, engine = found["chat tiny-chat"], found["llm_request"]
    assert request.parent_id == "00f067aa0ba902b7"
    assert request.attributes["xinfer.key.id"] == headers["x-api-key"].split("_")[1]
    assert request.attributes["gen_ai.usage.output_tokens"] == 4
    assert (engine.service, engine.parent_id) == ("vllm", found["first byte"].span_id)
    assert b"largest animal" not in collector.raw


def test_board_of_tenants(shared: OpenCluster, make_key: Callable[..., str], tmp_path: Path) -> None:
    """A Prometheus with a key for metrics scrapes a cluster that requires keys, while two keys are in use."""
    key_file = tmp_path / "key"
    key_file.write_text(make_key("prometheus", scope="metrics"))
    config = shared.run("metrics", "config", "--interval", "1", "--api-key-file", str(key_file)).stdout
    (tmp_path / "prometheus.yml").write_text(config)
    (tmp_path / "rules.yml").write_text(rules_file())
    tenants = [make_key("tenant-1"), make_key("tenant-2", rpm=20)]
    over = threading.Event()

    def use() -> None:
        body = {"model": "tiny-chat", "messages": HELLO, "max_tokens": 4}
        while not over.wait(0.2):
            for key in tenants:
                requests.post(
                    f"{shared.endpoint}/v1/chat/completions", json=body, headers={"x-api-key": key}, timeout=60
                )

    load = threading.Thread(target=use)
    load.start()
    try:
        with running_prometheus(tmp_path / "prometheus.yml", tmp_path) as prometheus:
            assert panels_without_data(prometheus, TENANTS) == []
            targets = prometheus.targets()
            assert {job: len(found) for job, found in targets.items()}["xinfer-supervisor"] == 2
            assert all(each["health"] == "up" for found in targets.values() for each in found), targets
            found = prometheus.query("sum by (key) (xinfer_key_tokens_total)")
            assert {labels["key"] for labels, _ in found} >= {key.split("_")[1] for key in tenants}
    finally:
        over.set()
        load.join()


def test_a_cache_of_its_own(shared: OpenCluster, make_key: Callable[..., str]) -> None:
    """What others have asked is not in it, as the engine's own counts say."""
    one, two, apart = make_key("one"), make_key("two"), make_key("apart", isolate_cache=True)
    question: list[Any] = [{"role": "user", "content": f"{time.time()}: " + "and so on " * 100}]

    def cached(key: str) -> int:
        with openai.OpenAI(base_url=f"{shared.endpoint}/v1", api_key=key) as client:
            usage = client.chat.completions.create(model="tiny-chat", messages=question, max_tokens=1).usage
        assert usage
        details = usage.prompt_tokens_details
        return (details and details.cached_tokens) or 0

    assert cached(one) < 100
    assert cached(two) > 100
    assert cached(apart) < 100
    assert cached(apart) > 100


def test_what_a_launch_may_not_ask_for(shared: OpenCluster, make_key: Callable[..., str], tmp_path: Path) -> None:
    launcher = {"XINFER_HOME": str(tmp_path), "XINFER_API_KEY": make_key("launcher", scope="launch")}
    for words in (["--env", "LD_PRELOAD", "/tmp/x.so"], ["--env", "HF_TOKEN", "x"], ["--model-path", str(ROOT)]):
        refused = shared.run("launch", "tiny-chat", *words, check=False, **launcher)
        assert refused.returncode == 1, refused.stdout
        assert "scope 'admin'" in refused.stderr or "may not be set" in refused.stderr
    assert shared.run("launch", "tiny-chat", "--env", "LD_PRELOAD", "/tmp/x.so", check=False).returncode == 1
    page = {"x-api-key": shared.admin_key, "origin": "https://evil.example"}
    answer = requests.get(f"{shared.endpoint}/v1/models", headers=page, timeout=10)
    assert "access-control-allow-origin" not in answer.headers


def test_limits_that_change_while_the_key_is_in_use(
    shared: OpenCluster, admin: RESTfulClient, make_key: Callable[..., str]
) -> None:
    """Both supervisors go by them within a second, and know what the key has used, whichever of them it was."""
    key = make_key("changing")
    with openai.OpenAI(base_url=f"{shared.endpoint}/v1", api_key=key, max_retries=0) as client:
        client.chat.completions.create(model="tiny-chat", messages=HELLO, max_tokens=2)
    wait_for(lambda: any(row["key_name"] == "changing" for row in admin.get_usage(by=["key"])), 10, "the usage")

    def statuses() -> set[int]:
        with ThreadPoolExecutor(8) as threads:
            return set(threads.map(lambda _: tokenize(shared, key), range(32)))

    assert statuses() == {200}
    shown = shared.run("keys", "update", "changing", "--budget-tokens", "1/day", "--rpm", "100000").stdout
    assert "100000 rpm, 1 tokens/day" in shown
    time.sleep(1)
    assert statuses() == {429}
    assert admin.update_key("changing", budget_tokens=None)["budget_tokens"] is None
    time.sleep(1)
    assert statuses() == {200}
    log = shared.run("audit").stdout
    assert "PATCH /v1/keys/{key_id}" in log
    assert f"changing ({admin.get_key('changing')['id']}): rpm=100000, budget_tokens=1, budget_period=day" in log
    assert key not in log


def test_rotating_and_revoking_at_once(shared: OpenCluster, admin: RESTfulClient) -> None:
    first = admin.create_key("turning")["key"]
    second = shared.run("keys", "rotate", "turning", "--overlap", "1h").stdout.strip()
    third = shared.run("keys", "rotate", "turning", "--overlap", "0s").stdout.strip()
    assert [tokenize(shared, key) for key in (first, second, third)] == [401, 401, 200]
    with openai.OpenAI(base_url=f"{shared.endpoint}/v1", api_key=third, max_retries=0) as client:
        stream = client.chat.completions.create(
            model="tiny-chat", messages=HELLO, stream=True, max_tokens=900, extra_body={"ignore_eos": True}
        )
        next(stream)
        admin.revoke_key("turning", now=True)
        with pytest.raises(openai.APIError, match="revoked"):
            list(stream)
    assert tokenize(shared, third) == 401


def test_the_command_line_from_another_home(shared: OpenCluster, tmp_path: Path) -> None:
    """Somebody else's machine: nothing works before ``login``, and then what the key is for."""
    home = {"XINFER_HOME": str(tmp_path)}
    refused = shared.run("list", check=False, **home)
    assert refused.returncode == 1
    assert "login" in refused.stderr
    key = shared.run("keys", "create", "dana", "--rpm", "1000", "--models", "tiny-*", "--expires", "90d").stdout.strip()
    assert "dana" in shared.run("login", "--api-key", key, **home).stdout
    assert (tmp_path / "credentials.json").stat().st_mode & 0o077 == 0
    assert "tiny-chat" in shared.run("list", "--endpoint", shared.endpoint, XINFER_ENDPOINT="", **home).stdout
    assert shared.run("keys", "list", check=False, **home).returncode == 1
    assert "dana" in shared.run("keys", "list").stdout
    assert "1000 rpm" in shared.run("keys", "show", "dana").stdout
    shared.run("keys", "revoke", "dana")
    assert shared.run("list", check=False, **home).returncode == 1
    assert "DELETE /v1/keys/{key_id}" in shared.run("audit").stdout
    assert "forgotten" in shared.run("logout", **home).stdout


def test_the_sdk(shared: OpenCluster, admin: RESTfulClient, make_key: Callable[..., str]) -> None:
    key = make_key("sdk", models=["other"])
    with RESTfulClient(shared.endpoint) as client:
        with pytest.raises(AuthenticationFailed):
            client.list_models()
        client.login("anybody", key)
        assert client.list_models() == {}
        with pytest.raises(ModelNotFound):
            client.get_model("tiny-chat")
        with pytest.raises(PermissionRefused):
            client.terminate_model("tiny-chat")
        assert client.get_own_key()["name"] == "sdk"
    assert admin.rotate_key("sdk", overlap=0)["key"] != key
    assert "sdk" in [each["name"] for each in admin.list_keys()]
    assert [each["action"] for each in admin.get_audit_log()].count("POST /v1/keys/{key_id}/rotate") >= 1


def test_whoever_reads_the_home_is_the_operator(shared: OpenCluster) -> None:
    with RESTfulClient(shared.endpoint, operator_key(shared.home)) as client:
        assert client.get_own_key()["scope"] == "admin"


def test_no_key_is_in_any_file(shared: OpenCluster, make_key: Callable[..., str]) -> None:
    key = make_key("hidden")
    with openai.OpenAI(base_url=f"{shared.endpoint}/v1", api_key=key) as client:
        client.chat.completions.create(model="tiny-chat", messages=HELLO, max_tokens=1)
    requests.get(f"{shared.endpoint}/v1/models/ghost", headers={"x-api-key": key}, timeout=10)
    requests.post(f"{shared.endpoint}/v1/completions", data="{", headers={"x-api-key": key}, timeout=10)
    secrets = [text.rpartition("_")[2].encode() for text in (key, shared.admin_key)]
    for file in shared.home.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert not any(secret in data for secret in secrets), file


def test_the_page_about_sharing_works_as_written(shared: OpenCluster, tmp_path: Path) -> None:
    """Its commands in their order, but for the start, which the fixture was, and the key, which ``login`` would ask for."""
    keys: dict[str, str] = {}
    laptop = {"XINFER_HOME": str(tmp_path / "laptop")}
    at_laptop = False
    for block in blocks(ROOT / "docs" / "sharing.md"):
        if block.language == "text":
            program = block.text.replace(ENDPOINT, shared.endpoint).replace("KEY", repr(keys["alice"]))
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            assert done.stdout.strip()
            continue
        for line in block.text.splitlines():
            _, command, *words = shlex.split(line.replace("http://10.0.0.1:9997", shared.endpoint))
            if command == "start":
                assert words == ["--host", "0.0.0.0", "--launch", "tiny-chat"]
                continue
            at_laptop = command == "login" or (at_laptop and command in ("list", "chat"))
            if command == "login":
                words += ["--api-key", keys["alice"]]
            done = shared.run(command, *words, **(laptop if at_laptop else {}))
            if words[0:1] == ["create"]:
                keys[words[1]] = done.stdout.strip()
    assert list(keys) == ["alice", "app", "ops", "prometheus"]
    for name in ("app", "prometheus"):
        shared.run("keys", "revoke", name)


XINFERENCES = """
import sys
from xinference_client import RESTfulClient

url, key = sys.argv[1:]
try:
    RESTfulClient(url).list_models()
    raise SystemExit("it got in without a key")
except RuntimeError as error:
    assert "API key" in str(error), error
by_key = RESTfulClient(url, api_key=key)
assert list(by_key.list_models()) == ["tiny-chat"]
by_login = RESTfulClient(url)
by_login.login("anybody", key)
model = by_login.get_model("tiny-chat")
answer = model.chat([{"role": "user", "content": "Hello"}], generate_config={"max_tokens": 2})
assert answer["usage"]["completion_tokens"] == 2, answer
chunks = list(model.chat([{"role": "user", "content": "Hello"}], generate_config={"max_tokens": 2, "stream": True}))
assert chunks
try:
    RESTfulClient(url).login("anybody", key[:-1])
    raise SystemExit("it got in with a wrong key")
except RuntimeError as error:
    assert "not valid" in str(error), error
"""


@pytest.mark.timeout(600)  # it may have to wait for its environment to be made
@pytest.mark.parametrize("environment", ["modern", "langchain-xinference"])
def test_xinferences_own_client(shared: OpenCluster, make_key: Callable[..., str], environment: str) -> None:
    """Of version 4.1 and 1.16, as they come from PyPI."""
    key = make_key(f"of {environment}")
    argv = [str(python_of(environment)), "-c", XINFERENCES, shared.endpoint, key]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd="/tmp", env=_plain_environment())
    assert done.returncode == 0, done.stdout + done.stderr


def _plain_environment() -> dict[str, str]:
    """Without this tree on the path of a Python that is another one."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def tokenize(shared: OpenCluster, key: str) -> int:
    """The status of a request that engines are done with at once."""
    answer = requests.post(
        f"{shared.endpoint}/v1/tokenize",
        json={"model": "tiny-chat", "prompt": "x"},
        headers={"x-api-key": key},
        timeout=10,
    )
    return answer.status_code


def test_two_supervisors_admit_what_one_would(
    shared: OpenCluster, make_key: Callable[..., str], figures: list[str]
) -> None:
    """As many connections as it takes for both to have requests; the bucket holds 60 and gets one each second."""
    key = make_key("limited", rpm=60)
    began = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda _: tokenize(shared, key), range(200)))
    took_s = time.monotonic() - began
    assert set(statuses) == {200, 429}
    admitted = statuses.count(200)
    figures.append(f"60 requests per minute, two supervisors, 200 requests in {took_s:.1f} s: {admitted} admitted")
    # So quick that HAProxy may have given nearly all of them to one supervisor, before that has more than its half.
    assert 30 <= admitted <= 1.05 * 60 + took_s + 1


def test_keys_and_usage_outlive_the_registry_and_a_supervisor(
    shared: OpenCluster, admin: RESTfulClient, make_key: Callable[..., str]
) -> None:
    key = make_key("survivor")
    for _ in range(5):
        assert tokenize(shared, key) == 200
    # A supervisor that is lost takes the last second with it, and no more.
    time.sleep(1.2)
    (registry,) = _actors(shared, "Registry")
    supervisor, *_ = _actors(shared, "supervisor")
    registry.kill()
    wait_for(lambda: not registry.is_running(), 10, "the end of the registry")
    assert (tokenize(shared, key), tokenize(shared, new_key("0123456789"))) == (200, 401)
    supervisor.kill()
    wait_for(lambda: len(_actors(shared, "Registry")) == 1, 30, "the registry")
    wait_for(lambda: _status_of(shared, key) == 200, 30, "a supervisor that answers")

    def reported() -> bool:
        try:
            rows = admin.get_usage(by=["key"])
        except XinferError:
            return False
        return any(row["key_name"] == "survivor" and row["requests"] >= 6 for row in rows)

    wait_for(reported, 30, "the usage of before")


def _status_of(shared: OpenCluster, key: str) -> int:
    try:
        return tokenize(shared, key)
    except requests.RequestException:
        return 0


def _actors(shared: OpenCluster, sign: str) -> list[psutil.Process]:
    """The living processes of the cluster that Ray has named so."""
    record = ClusterRecord.load(shared.home)
    assert record
    found: list[psutil.Process] = []
    for process in of_cluster(record.id):
        with contextlib.suppress(psutil.Error):
            name = " ".join(process.cmdline())
            if name.startswith("ray::") and sign in name and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
