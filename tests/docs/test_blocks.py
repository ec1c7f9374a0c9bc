"""Every code block of the READMEs and of docs/ is run, or checked as far as a test can go."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.clients.environments import names, python_of
from tests.conftest import RunningCluster
from tests.docs import commands, expected
from tests.docs.blocks import DATA, DIRECTIVES, ENDPOINT, OUTPUT, PYTHON, SHELL, Block, blocks, documents
from xinfer.catalog import Catalog, Family
from xinfer.catalog.from_xinference import translate
from xinfer.catalog.xinference import GivenModel
from xinfer.declared import ModelsFile

BLOCKS = [block for file in documents() for block in blocks(file)]
FIRST_READ = ("README.md", "README.zh-TW.md", "docs/quick-start.md")
"""The programs of the other documents take two minutes."""
PARSED = [block for block in BLOCKS if block.marker == "parse"]
OUTPUTS = [block.output for block in BLOCKS if block.output]
READ = [block for block in BLOCKS if block.language in ("json", *DATA) and block not in OUTPUTS]
DRAWINGS = ("mermaid", "")
RUN_TIMEOUT_S = 240


def each(found: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", found, ids=lambda block: block.where)


def programs() -> Iterator[Any]:
    for block in BLOCKS:
        if block.is_program and block.marker in (None, "in"):
            is_first_read = block.where.rpartition(":")[0] in FIRST_READ
            yield pytest.param(block, id=block.where, marks=[] if is_first_read else [pytest.mark.heavy])


@pytest.mark.engine
@pytest.mark.timeout(600)  # one may have to wait for its environment to be made
@pytest.mark.parametrize("block", list(programs()))
def test_program_runs_as_written(block: Block, cluster: RunningCluster, tiny_chat: str, tmp_path: Path) -> None:
    program = block.text.replace(ENDPOINT, cluster.endpoint)
    done = subprocess.run(
        [*_interpreter(block), program], env=cluster.env, cwd=tmp_path, capture_output=True, text=True,
        timeout=RUN_TIMEOUT_S, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{block.where}\n{done.stdout}{done.stderr}"
    if "curl" in block.text and not (block.output and "no-such-model" in block.output.text):
        assert '"error": {' not in done.stdout, f"{block.where}\n{done.stdout}"
    if block.output:
        expected.check(done.stdout, block.output, cluster.endpoint)


def _interpreter(block: Block) -> list[str]:
    if block.language in SHELL:
        return ["bash", "-euo", "pipefail", "-c"]
    return [str(python_of(*block.words)) if block.marker == "in" else sys.executable, "-c"]


@each(PARSED)
def test_commands_that_need_more_than_this_machine_are_right(block: Block) -> None:
    assert block.language in SHELL, f"{block.where}: only shell commands can be parsed"
    commands.check(block.text)


@each(BLOCKS)
def test_block_is_of_a_kind_that_is_known(block: Block) -> None:
    assert block.language in (*SHELL, *PYTHON, *OUTPUT, *DATA, *DIRECTIVES, *DRAWINGS), f"{block.where}"
    if block.language in PYTHON and block.marker:
        assert block.marker == "in", f"{block.where}: {block.marker}"
        assert block.words[1:] == (), f"{block.where}: one environment"
        assert block.words[0] in names(), f"{block.where}: {block.words[0]} is none of {names()}"
    elif block.marker:
        assert block.marker == ("parse" if block.is_program else "says"), f"{block.where}: {block.marker}"
        assert bool(block.words) == (block.marker == "says"), f"{block.where}: words go with `says`"
    if block.marker == "says":
        assert block in OUTPUTS, f"{block.where}: it is the output of nothing"
        assert block.language == "json" or all(word in block.text for word in block.words), f"{block.where}: not in it"


@each(READ)
def test_data_is_what_it_is_said_to_be(block: Block) -> None:
    """YAML is a family or declared models; JSON that nothing prints is Xinference's description of a model, or some request."""
    if block.language in DATA:
        content = yaml.safe_load(block.text)
        (ModelsFile if "models" in content else Family).model_validate(content)
        return
    value = json.loads(block.text)
    if "model_specs" in value:
        assert translate(GivenModel.model_validate(value), Catalog.load()).name == value["model_name"]
