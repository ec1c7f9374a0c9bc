"""The console's files as a browser gets them, and what its pages may do."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.supervisor.servers import RegistryDouble

PROGRAM = {"accept": "*/*"}


async def test_page_with_its_policy(http: httpx.AsyncClient) -> None:
    to = await http.get("/ui")
    assert (to.status_code, to.headers["location"]) == (307, "ui/")
    page = await http.get("/ui/")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-cache"
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "unsafe" not in page.headers["content-security-policy"]


async def test_everything_that_the_page_loads(http: httpx.AsyncClient) -> None:
    page = await http.get("/ui/")
    addresses = re.findall(r'(?:src|href)="\./([^"]+)"', page.text)
    assert {address.rpartition(".")[2] for address in addresses} == {"js", "css", "svg"}
    for address in addresses:
        file = await http.get(f"/ui/{address}")
        assert file.status_code == 200
        assert file.headers["x-content-type-options"] == "nosniff"
        assert ("immutable" in file.headers["cache-control"]) == address.startswith("assets/")
        assert file.headers["content-encoding"] == "gzip"
        plain = await http.get(f"/ui/{address}", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == file.content
        again = await http.get(f"/ui/{address}", headers={"if-none-match": file.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "name", ["none.js", "..%2f..%2fapp.py", "%2fetc%2fpasswd", "assets", "assets/..%2f..%2f__init__.py"]
)
async def test_nothing_but_its_own_files(http: httpx.AsyncClient, name: str) -> None:
    assert (await http.get(f"/ui/{name}")).status_code == 404


@pytest.mark.parametrize("host", ["127.0.0.1:9997", "localhost:9997", "[::1]:9997", "10.0.0.7:9997"])
async def test_its_own_pages_may_change_the_cluster(
    http: httpx.AsyncClient, registry: RegistryDouble, host: str
) -> None:
    for scheme in ("http", "https"):
        answer = await http.post("/v1/models/none/cancel", headers={"host": host, "origin": f"{scheme}://{host}"})
        assert answer.status_code == 404, "it is not refused for where it comes from"


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:9997", "http://127.0.0.1:8080"),
        ("127.0.0.1:9997", "http://localhost:9997"),
        ("127.0.0.1:9997", "http://evil.example"),
        ("127.0.0.1:9997", "null"),
        ("127.0.0.1:9997", "http://127.0.0.1:9997.evil.example"),
        ("127.0.0.1:9997", "http://[bad"),
        # A name of somebody else's that leads here.
        ("evil.example:9997", "http://evil.example:9997"),
    ],
)
async def test_pages_from_elsewhere_may_not(http: httpx.AsyncClient, host: str, origin: str) -> None:
    answer = await http.post("/v1/models/none/cancel", headers={"host": host, "origin": origin})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "permission_denied"
