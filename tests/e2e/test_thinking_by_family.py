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


def test_untouched_without_a_switch(
    cluster: RunningCluster, client: RESTfulClient, launch_template: Callable[..., str]
) -> None:
    """Every field the engine understands reaches it, those that xinfer knows nothing of included."""
    uid = launch_template("untouched", ON_OFF)
    fields = {"n": 1, "min_p": 0.1, "top_k": -1, "logit_bias": {"5": 1}, "tool_choice": "none", "something_new": [1]}
    assert chat(cluster, uid, **fields).status_code == 200
    assert sent_to_engine(client, uid) == {"model": uid, "messages": MESSAGES, **fields}
