"""Two nodes that each answer requests, with keys and TLS on both."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import ROOT
from tests.security.certificates import certificate
from tests.shell import Shell
from tests.waiting import wait_for
from xinfer.api_key import new_id, new_key
from xinfer.client import RESTfulClient
from xinfer.cluster.cluster_record import ClusterRecord
from xinfer.cluster.cluster_secret import operator_key
from xinfer.cluster.environment import token_file
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.options import StartOptions
from xinfer.cluster.ports import free_port
from xinfer.names import CLIENT_ADDRESS, FRONT_SECRET

# A cluster of its own; what it consists of is tested one by one in tests/security and in test_ingress.py.
pytestmark = pytest.mark.heavy
HEAD, OTHER = "127.0.0.2", "127.0.0.3"
ADDRESSES = (HEAD, OTHER)
UP_S = 30.0


@dataclass(frozen=True)
class Secured:
    """``certificates`` are the files of each node's own."""

    port: int
    home: Path
    certificates: dict[str, str]

    def ask(self, address: str, path: str, key: str | None = None, **kwargs: Any) -> requests.Response:
        """GET, or POST with ``json``, from a node that shows a certificate that only itself has signed."""
        headers = {**kwargs.pop("headers", {}), **({"authorization": f"Bearer {key}"} if key else {})}
        method = "POST" if "json" in kwargs else "GET"
        url = f"https://{address}:{self.port}{path}"
        return requests.request(method, url, headers=headers, verify=self.certificates[address], timeout=20, **kwargs)

    def is_up(self, address: str) -> bool:
        try:
            return self.ask(address, "/health").status_code == 200
        except requests.RequestException:
            return False


@pytest.fixture(scope="module")
def nodes() -> Iterator[Secured]:
    with (
        tempfile.TemporaryDirectory(prefix="xi-", dir="/tmp") as one,
        tempfile.TemporaryDirectory(prefix="xi-", dir="/tmp") as two,
    ):
        files = {address: certificate(Path(home), address) for address, home in zip(ADDRESSES, (one, two), strict=True)}
        cert, key = files[HEAD]
        head = NodeLifecycle(Path(one))
        options = StartOptions(
            host=HEAD,
            port=free_port(HEAD),
            node_ip=HEAD,
            ray_port=free_port(HEAD),
            num_gpus=1,
            auth=True,
            tls_cert=cert,
            tls_key=key,
            warm_host=False,
            allow_fake_engine=True,
            supervisors_per_node=1,
        )
        other = Shell(Path(two), options.port)
        try:
            for _ in head.start(options):
                pass
            record = ClusterRecord.load(head.home)
            assert record
            token = token_file(head.home).read_text()
            cert, key = files[OTHER]
            words = ("--node-ip", OTHER, "--num-gpus", "1", "--no-warm-host", "--tls-cert", cert, "--tls-key", key)
            joined = other("start", "--join", record.ray_address, "--token", token, *words)
            assert joined.returncode == 0, joined.stderr
            secured = Secured(options.port, head.home, {address: cert for address, (cert, _) in files.items()})
            for address in ADDRESSES:
                wait_for(lambda at=address: secured.is_up(at), UP_S, f"an answer at {address}")
            yield secured
        finally:
            other("stop", "--drain-timeout", "0")
            head.stop()


@pytest.fixture(scope="module")
def admin(nodes: Secured) -> Iterator[RESTfulClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", nodes.certificates[HEAD])
        with RESTfulClient(f"https://{HEAD}:{nodes.port}", operator_key(nodes.home)) as client:
            folder = str(ROOT / "xinfer" / "tiny_chat" / "model")
            client.launch_model(
                "fake", model_engine="fake", model_uid="m", model_path=folder, n_gpu=1, replica=2, wait_ready=True
            )
            yield client


def chat(text: str) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 4}


@pytest.mark.parametrize("address", ADDRESSES)
def test_each_node_has_its_own_certificate_and_nothing_in_clear(nodes: Secured, address: str) -> None:
    shown = ssl.get_server_certificate((address, nodes.port))
    assert shown.strip() == Path(nodes.certificates[address]).read_text().strip()
    with pytest.raises(requests.RequestException):
        requests.get(f"http://{address}:{nodes.port}/health", timeout=5).raise_for_status()


def test_a_key_made_at_one_node_counts_at_the_other_at_once(nodes: Secured, admin: RESTfulClient) -> None:
    for number in range(5):
        made = admin.create_key(f"traveller-{number}")
        for address in reversed(ADDRESSES):
            assert nodes.ask(address, "/v1/chat/completions", made["key"], json=chat("Hello")).status_code == 200
        admin.revoke_key(made["id"])
        for address in reversed(ADDRESSES):
            assert nodes.ask(address, "/v1/models", made["key"]).status_code == 401


@pytest.mark.parametrize("address", ADDRESSES)
def test_nobody_gets_in_without_a_key(nodes: Secured, admin: RESTfulClient, address: str) -> None:
    forged = {CLIENT_ADDRESS: "10.9.8.7", FRONT_SECRET: "guessed"}
    for key in (None, new_key(new_id())):
        for headers in ({}, forged):
            assert nodes.ask(address, "/v1/models", key, headers=headers).status_code == 401
            assert (
                nodes.ask(address, "/v1/chat/completions", key, json=chat("Hello"), headers=headers).status_code == 401
            )


def test_supervisors_answer_only_their_own_ingress(nodes: Secured, admin: RESTfulClient) -> None:
    """With a valid key, too: their ports know no TLS."""
    key = admin.create_key("round the front")["key"]
    targets = nodes.ask(
        HEAD, "/v1/metrics/targets", operator_key(nodes.home), params={"component": "supervisor"}
    ).json()
    ports = [target["targets"][0] for target in targets]
    assert sorted(port.partition(":")[0] for port in ports) == [HEAD, OTHER]
    for port in ports:
        headers = {"authorization": f"Bearer {key}", FRONT_SECRET: "guessed"}
        assert requests.get(f"http://{port}/v1/models", headers=headers, timeout=5).status_code in (401, 403)


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_audit_log_has_the_real_address(nodes: Secured, admin: RESTfulClient, address: str) -> None:
    forged = {CLIENT_ADDRESS: "10.9.8.7"}
    name = f"audited-{address}"
    made = nodes.ask(address, "/v1/keys", operator_key(nodes.home), json={"name": name}, headers=forged)
    assert made.status_code == 200
    addresses = {entry["address"] for entry in admin.get_audit_log() if name in str(entry)}
    assert addresses
    assert all(each.startswith("127.") for each in addresses)
