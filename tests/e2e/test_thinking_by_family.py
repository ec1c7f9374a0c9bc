"""The switch through the whole path, for families that always, never or in their own words think; the engine is the fake one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import RunningCluster
from xinfer.client import RESTfulClient

# All families are in tests/catalog.
pytestmark = pytest.mark.heavy

PLAIN = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
ON_OFF = PLAIN + "{% if thinking_mode == 'off' %}<think>\n\n</think>\n\n{% endif %}"
MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def launch_template(client: RESTfulClient, tmp_path: Path, launch_fake: Callable[..., str]) -> Callable[..., str]:
    """Launch a fake engine for a model folder with this chat template."""

    def launch(uid: str, template: str, **options: Any) -> str:
        (tmp_path / "config.json").write_text(json.dumps({"architectures": ["X"], "max_position_embeddings": 64}))
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
        return launch_fake(uid, model_path=str(tmp_path), tokens=2, **options)

    return launch


def chat(cluster: RunningCluster, uid: str, **fields: Any) -> requests.Response:
    body = {"model": uid, "messages": MESSAGES, **fields}
    return requests.post(f"{cluster.endpoint}/v1/chat/completions", json=body, timeout=10)


def sent_to_engine(client: RESTfulClient, uid: str) -> dict[str, Any]:
    """The body of the last request as the engine got it."""
    address = client.describe_model(uid)["address"]
    body: dict[str, Any] = requests.get(f"{address}/fake/state", timeout=5).json()["last_body"]
    return body


def test_family_that_never_thinks(
    cluster: RunningCluster, client: RESTfulClient, launch_template: Callable[..., str]
) -> None:
    uid = launch_template("never", PLAIN)
    refused = chat(cluster, uid, enable_thinking=True)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "thinking_not_supported"
    assert "never thinks" in refused.json()["detail"]
    assert chat(cluster, uid, enable_thinking=False).status_code == 200
    assert "enable_thinking" not in sent_to_engine(client, uid)


@pytest.mark.parametrize(
    ("launched", "asked", "word"), [(None, True, "on"), (None, False, "off"), (False, None, "off")]
)
def test_family_with_words_of_its_own(
    cluster: RunningCluster,
    client: RESTfulClient,
    launch_template: Callable[..., str],
    launched: bool | None,
    asked: bool | None,
    word: str,
) -> None:
    uid = launch_template(f"words-{launched}-{asked}", ON_OFF, enable_thinking=launched)
    switch = {} if asked is None else {"enable_thinking": asked}
    assert chat(cluster, uid, **switch).status_code == 200
    assert sent_to_engine(client, uid)["chat_template_kwargs"]["thinking_mode"] == word


EVERYTHING = PLAIN + (
    "{% if thinking_mode == 'disabled' %}</mm:think>{% elif thinking_mode == 'enabled' %}<mm:think>{% endif %}"
    "{% if reasoning_effort == 'low' %}a little{% elif reasoning_effort == 'max' %}a lot{% endif %}"
    "{% if thinking_budget %}{{ thinking_budget }}{% endif %}{% if clear_thinking %}cleared{% endif %}"
)


def test_all_that_a_template_can_be_told(
    cluster: RunningCluster, client: RESTfulClient, launch_template: Callable[..., str]
) -> None:
    """Of a model that is in no catalog: what its template reads is found out when it is launched."""
    uid = launch_template("everything", EVERYTHING)

    def told(**fields: Any) -> tuple[Any, Any]:
        assert chat(cluster, uid, **fields).status_code == 200
        sent = sent_to_engine(client, uid)
        return sent.get("chat_template_kwargs"), sent.get("reasoning_effort")

    on, off = ({"enable_thinking": w, "thinking_mode": m} for w, m in ((True, "enabled"), (False, "disabled")))
    assert told(reasoning_effort="none") == (off, None)
    assert told(reasoning_effort="max") == (on, "max")
    assert told(enable_thinking=True, reasoning_effort="low", thinking_budget=512) == (
        {**on, "thinking_budget": 512},
        "low",
    )
    assert told(thinking_budget=0) == ({**off}, None)
    assert told(extra_body={"clear_thinking": True}) == ({"clear_thinking": True}, None)
    refused = chat(cluster, uid, reasoning_effort="xhigh")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "reasoning_effort")
    assert "choose from: none, low, medium, max." in refused.json()["detail"]


@pytest.mark.parametrize(
    ("option", "content"),
    [({"reasoning_content": False}, "<think>0 1 </think>2 "), ({"include_reasoning": False}, "2 ")],
)
def test_where_the_launch_says_that_reasoning_goes(
    cluster: RunningCluster, launch_fake: Callable[..., str], option: dict[str, bool], content: str
) -> None:
    uid = launch_fake(f"to-{next(iter(option))}", tokens=3, thoughts=2, **option)
    said = chat(cluster, uid).json()["choices"][0]["message"]
    assert said == {"role": "assistant", "content": content}
    split = chat(cluster, uid, reasoning_content=True).json()["choices"][0]["message"]
    assert split == {"role": "assistant", "content": "2 ", "reasoning_content": "0 1 "}


def test_untouched_without_a_switch(
    cluster: RunningCluster, client: RESTfulClient, launch_template: Callable[..., str]
) -> None:
    """Every field the engine understands reaches it, those that xinfer knows nothing of included."""
    uid = launch_template("untouched", ON_OFF)
    fields = {"n": 1, "min_p": 0.1, "top_k": -1, "logit_bias": {"5": 1}, "tool_choice": "none", "something_new": [1]}
    assert chat(cluster, uid, **fields).status_code == 200
    assert sent_to_engine(client, uid) == {"model": uid, "messages": MESSAGES, **fields}
