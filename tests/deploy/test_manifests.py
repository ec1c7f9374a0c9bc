"""What operators copy from deploy/ agrees with xinfer: every flag and variable is one that it has, and versions are its own."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml
from chart_files import chart_files

import xinfer
from tests.conftest import ROOT
from xinfer.api_key import PATTERN
from xinfer.cli import xinfer as command_line
from xinfer.cli.group import COMMANDS
from xinfer.declared import ModelsFile
from xinfer.monitoring.prometheus_config import prometheus_config
from xinfer.settings import ENGINE_VARIABLES, GatewaySettings

DEPLOY = ROOT / "deploy"
SCRIPT = DEPLOY / "docker" / "xinfer-in-network"
COPIED = [path for folder in ("docker", "compose", "helm", "slurm", "ray-up") for path in sorted((DEPLOY / folder).rglob("*"))
          if path.is_file() and path.name != "requirements.py"]  # fmt: skip
OF_OTHERS = {
    "Dockerfile": {
        *("--target", "--no-install-recommends", "--gid", "--uid", "--home-dir", "--no-create-home", "--shell"),
        *("--no-deps", "--index-url", "--yes", "--without-pip", "--python", "--from", "--chmod"),
        *("--interval", "--timeout", "--start-period", "--retries"),
    },
    "one-machine.yaml": {"--build"},
    "cluster.yaml": {"--build"},
    "xinfer.sbatch": {
        *("--nodes", "--gpus-per-node", "--job-name", "--ntasks-per-node", "--exclusive", "--time", "--output"),
        *("--signal", "--ntasks", "--nodelist", "--ip-address", "--export"),
    },
    "rules.yml": {"--max-model-len", "--max-num-seqs"},
    "aws.yaml": {"--gcs-address", "--autoscaling-config", "--logs-dir"},
    "gcp.yaml": {"--gcs-address", "--autoscaling-config", "--logs-dir"},
}
"""Flags of other programs, vLLM among them, by the file that has them."""
OWN_VARIABLES = {"XINFER_TARGET": "compose", "XINFER_SHARED": "slurm"}
"""Variables that a file in deploy/ reads itself."""


def options() -> set[str]:
    """Every option of the command line."""
    found: set[str] = set()
    context = click.Context(command_line)
    for name in COMMANDS:
        command = command_line.get_command(context, name)
        assert command
        for each in (command, *getattr(command, "commands", {}).values()):
            for parameter in each.params:
                found.update(parameter.opts, parameter.secondary_opts)
    return found


def variables() -> set[str]:
    """Every variable that some module of xinfer reads."""
    found = set(ENGINE_VARIABLES.values()) | {f"XINFER_{field.name.upper()}" for field in fields(GatewaySettings)}
    for package in ("xinfer", "supervisor", "worker"):
        for path in (ROOT / package).rglob("*.py"):
            found.update(re.findall(r"XINFER_[A-Z_]+[A-Z]", path.read_text()))
    return found


@pytest.mark.parametrize("path", COPIED, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_flag_is_one_that_there_is(path: Path) -> None:
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", path.read_text()))
    assert used - OF_OTHERS.get(path.name, set()) <= options()


@pytest.mark.parametrize("path", COPIED, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_variable_is_one_that_xinfer_reads(path: Path) -> None:
    used = set(re.findall(r"XINFER_[A-Z_]+[A-Z]", path.read_text()))
    own = {name for name, folder in OWN_VARIABLES.items() if folder in path.parts}
    assert used - own <= variables()


def test_flags_of_others_are_used_and_not_ours() -> None:
    """An entry that is not needed any more would hide a mistake."""
    for name, flags in OF_OTHERS.items():
        (path,) = [path for path in COPIED if path.name == name]
        text = path.read_text()
        assert not {flag for flag in flags if flag not in text}, name


def commands() -> Iterator[tuple[str, list[str]]]:
    """The commands of compose files and of `ray up` that start xinfer, with the words for `xinfer start`."""
    for path in sorted((DEPLOY / "compose").glob("*.yaml")):
        for service in yaml.safe_load(path.read_text())["services"].values():
            if "command" in service:
                program, *words = service["command"]
                assert program == SCRIPT.name
                yield path.name, words
    for path in sorted((DEPLOY / "ray-up").glob("*.yaml")):
        content = yaml.safe_load(path.read_text())
        for line in content["head_start_ray_commands"] + content["worker_start_ray_commands"]:
            words = shlex.split(re.sub(r"\$\([^)]*\)", "10.0.0.1", line))
            if words[0].endswith("/xinfer") and words[1] == "start":
                yield path.name, words[2:]


@pytest.mark.parametrize(("name", "words"), list(commands()))
def test_commands_are_taken_by_xinfer_start(name: str, words: list[str]) -> None:
    start = command_line.get_command(click.Context(command_line), "start")
    assert start
    # Where they are mounted, instead of here.
    here = {"/etc/xinfer/models.yaml": str(DEPLOY / "models.yaml"), "/etc/xinfer-keys": str(DEPLOY)}
    start.make_context("start", [here.get(word, word) for word in words])


def test_models_of_the_example_are_right() -> None:
    assert [model.uid for model in ModelsFile.read(DEPLOY / "models.yaml").models] == ["tiny-chat"]


def test_one_place_opens_the_host_and_none_does_without_keys() -> None:
    """Who changes how others are let in has one file to change."""
    opening = [path for path in COPIED if re.search(r"--(host|insecure|no-auth)\b", path.read_text())]
    assert opening == [SCRIPT]
    assert not re.search(r"--(insecure|no-auth)", SCRIPT.read_text())


def test_prometheus_of_compose_finds_what_xinfer_says() -> None:
    """`xinfer metrics config --endpoint http://head:9997 --api-key-file /run/secrets/metrics_key` makes it anew."""
    made = prometheus_config("http://head:9997", api_key_file="/run/secrets/metrics_key")
    assert (DEPLOY / "compose" / "prometheus.yml").read_text() == made


def test_chart_has_the_files_that_the_package_makes() -> None:
    """`.venv/bin/python deploy/chart_files.py` makes them anew."""
    chart = DEPLOY / "helm" / "xinfer"
    made = chart_files()
    assert {name: (chart / name).read_text() for name in made} == made
    assert {path.name for path in (chart / "dashboards").iterdir()} == {Path(name).name for name in made if "/" in name}


def test_secrets_of_compose_are_made_once(tmp_path: Path) -> None:
    script = shutil.copy(DEPLOY / "compose" / "make-secrets", tmp_path)
    subprocess.run([script], check=True, timeout=10)
    folder = tmp_path / "secrets"
    first = {path.name: path.read_text() for path in folder.iterdir()}
    subprocess.run([script], check=True, timeout=10)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first
    assert len(first.pop("ray.token")) == 64
    assert set(first) == {"admin.key", "metrics.key"}
    assert all(PATTERN.match(key) for key in first.values())
    files = yaml.safe_load((DEPLOY / "compose" / "cluster.yaml").read_text())["secrets"].values()
    assert sorted(Path(each["file"]).name for each in files) == ["admin.key", "metrics.key", "ray.token"]


def test_chart_has_the_version_of_xinfer() -> None:
    chart = yaml.safe_load((DEPLOY / "helm/xinfer/Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == xinfer.__version__


def test_image_builds_from_what_is_there_and_not_ignored() -> None:
    copied = re.findall(
        r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", (DEPLOY / "docker/Dockerfile").read_text(), re.MULTILINE
    )
    sources = {word for line in copied for word in line.split()}
    assert {"pyproject.toml", "xinfer", "supervisor", "worker"} <= sources
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(source == each or source.startswith(f"{each}/") for each in kept), source


@pytest.mark.parametrize("path", sorted((DEPLOY / "ray-up").glob("*.yaml")), ids=lambda path: path.name)
def test_ray_takes_its_files(path: Path) -> None:
    found = find_spec("ray")
    assert found
    assert found.origin
    schema = json.loads((Path(found.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    jsonschema.validate(content, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**content, "max_worker": 2}, schema)
    assert content["head_node_type"] in content["available_node_types"]


@pytest.mark.parametrize("path", sorted((DEPLOY / "ray-up").glob("*.yaml")), ids=lambda path: path.name)
def test_autoscaler_has_the_flags_that_it_gets(path: Path) -> None:
    found = find_spec("ray")
    assert found
    assert found.origin
    source = (Path(found.origin).parent / "autoscaler/v2/monitor.py").read_text()
    calls = re.findall(r'add_argument\(\s*"(--[a-z-]+)",(.*?)\n    \)', source, re.DOTALL)
    (line,) = [
        line for line in yaml.safe_load(path.read_text())["head_start_ray_commands"] if "autoscaler.v2.monitor" in line
    ]
    given = set(re.findall(r"(?<![\w-])--[a-z-]+", line))
    assert given <= {flag for flag, _ in calls}
    assert {flag for flag, rest in calls if "required=True" in rest} <= given
