"""Every code block of the READMEs and of docs/ is run, or checked as far as a test can go."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, RunningCluster
from tests.docs import commands, expected
from tests.docs.blocks import DATA, ENDPOINT, OUTPUT, PYTHON, SHELL, Block, anchors, blocks, documents, links
from xinfer.catalog import Family
from xinfer.cli import start as cli
from xinfer.cluster.lifecycle import NodeLifecycle
from xinfer.cluster.options import StartOptions
from xinfer.errors import Conflict

BLOCKS = [block for file in documents() for block in blocks(file)]
PROGRAMS = [block for block in BLOCKS if block.is_program and block.marker is None]
PARSED = [block for block in BLOCKS if block.marker == "parse"]
DRAWINGS = ("mermaid", "")


def each(found: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", found, ids=lambda block: block.where)


@pytest.mark.engine
@pytest.mark.timeout(300)
@each(PROGRAMS)
def test_program_runs_as_written(block: Block, cluster: RunningCluster, tiny_chat: str, tmp_path: Path) -> None:
    argv = ["bash", "-euo", "pipefail", "-c"] if block.language in SHELL else [sys.executable, "-c"]
    program = block.text.replace(ENDPOINT, cluster.endpoint)
    done = subprocess.run(
        [*argv, program], env=cluster.env, cwd=tmp_path, capture_output=True, text=True, timeout=240,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{block.where}\n{done.stdout}{done.stderr}"
    if "curl" in block.text and not (block.output and "no-such-model" in block.output.text):
        assert '"error": {' not in done.stdout, f"{block.where}\n{done.stdout}"
    if block.output:
        expected.check(done.stdout, block.output, cluster.endpoint)


@each(PARSED)
def test_commands_that_need_more_than_this_machine_are_right(block: Block) -> None:
    assert block.language in SHELL, f"{block.where}: only shell commands can be parsed"
    commands.check(block.text)


@each(BLOCKS)
def test_block_is_of_a_kind_that_is_known(block: Block) -> None:
    assert block.language in (*SHELL, *PYTHON, *OUTPUT, *DATA, *DRAWINGS), f"{block.where}: {block.language}"
    assert block.marker in (None, "parse" if block.is_program else "says"), f"{block.where}: {block.marker}"
    assert bool(block.words) == (block.marker == "says"), f"{block.where}: words go with `says`"
    if block.marker == "says":
        assert any(other.output == block for other in BLOCKS), f"{block.where}: it is the output of nothing"
        assert block.language == "json" or all(word in block.text for word in block.words), f"{block.where}: not in it"


@each([block for block in BLOCKS if block.language in DATA])
def test_data_is_what_it_is_said_to_be(block: Block) -> None:
    Family.model_validate(yaml.safe_load(block.text))


def test_the_ready_message_of_make_serve_is_the_one_shown() -> None:
    real = cli._READY.format(endpoint=ENDPOINT, uid="tiny-chat", command="xinfer", python="python")
    for name in ("README.md", "README.zh-TW.md"):
        shown = next(block.text for block in blocks(ROOT / name) if block.text.startswith("xinfer is ready"))
        assert shown in real


def test_the_refusal_of_a_foreign_supervisor_package_is_the_one_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Conflict) as refused:
        next(NodeLifecycle(tmp_path).start(StartOptions()))
    assert refused.value.message in (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("file", documents(), ids=lambda file: str(file.relative_to(ROOT)))
def test_relative_links_lead_somewhere(file: Path) -> None:
    for link in links(file):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        assert target.exists(), f"{file.name}: {link}"
        assert target.is_relative_to(ROOT), f"{file.name}: {link} leads out of the repository"
        if fragment:
            assert fragment in anchors(target), f"{file.name}: {link} is none of {sorted(anchors(target))}"


def test_both_readmes_run_the_same_commands() -> None:
    english, chinese = (
        [block.text.replace("最大的動物是什麼？", "What is the largest animal?") for block in blocks(ROOT / name)
         if block.is_program]
        for name in ("README.md", "README.zh-TW.md")
    )  # fmt: skip
    assert english == chinese
