"""The wheel and the sdist: what is in them, and that they work where no checkout is."""

from __future__ import annotations

import email
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import xinfer
from tests.conftest import ROOT
from tests.deploy.wheel import build, install, run

PACKAGES = ("xinfer", "supervisor", "worker")
PROCESS_MANAGER = frozenset(
    {
        *("childutils", "compat", "confecho", "datatypes", "dispatchers", "events", "http", "http_client", "loggers"),
        *("medusa", "options", "pidproxy", "poller", "process", "rpcinterface", "scripts", "skel", "socket_manager"),
        *("states", "supervisorctl", "supervisord", "templating", "tests", "ui", "version", "web", "xmlrpc"),
    }
)
"""The modules of the process manager ``supervisor`` 4.3, which vLLM's metadata asks for."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(tmp_path_factory.mktemp("package"))


def sources() -> set[str]:
    """Every file of the packages, of the console what is built and not what it is built of."""
    files = {path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    console = ROOT / "supervisor" / "console"
    left_out = {path for path in files if path.is_relative_to(console) and not path.is_relative_to(console / "dist")}
    return {str(path.relative_to(ROOT)) for path in files - left_out if "__pycache__" not in path.parts}


def test_wheel_has_every_file_of_the_packages(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == sources()


def test_sdist_has_what_a_build_needs(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert sources() | {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= names


def test_metadata(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        folder = f"xinfer-{xinfer.__version__}.dist-info"
        facts = email.message_from_bytes(wheel.read(f"{folder}/METADATA"))
        scripts = wheel.read(f"{folder}/entry_points.txt").decode()
    assert facts["Version"] == xinfer.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(facts.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])
    assert "[console_scripts]\nxinfer = xinfer.cli:main" in scripts


def test_process_manager_beside_it_overwrites_no_module() -> None:
    """Both may be installed into one environment, in either order: all they share is an ``__init__.py`` without code."""
    ours = {path.stem for path in (ROOT / "supervisor").iterdir() if path.stem not in ("__init__", "__pycache__", "py")}
    assert ours.isdisjoint(PROCESS_MANAGER)
    assert compile((ROOT / "supervisor/__init__.py").read_text(), "x", "exec").co_names == ("__doc__",)


def test_version_is_in_the_changelog() -> None:
    (latest, *_) = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert latest == xinfer.__version__


def test_command_line_works_without_the_checkout(built: tuple[Path, Path], tmp_path: Path) -> None:
    bin_folder = install(built[1], tmp_path / "environment")
    command, python = str(bin_folder / "xinfer"), str(bin_folder / "python")
    assert run(command, "--version", cwd=tmp_path) == f"xinfer, version {xinfer.__version__}\n"
    assert '"title": "ModelsFile"' in run(command, "apply", "--schema", cwd=tmp_path)
    assert "qwen3" in run(command, "models", "qwen3", "--json", cwd=tmp_path)
    where = run(python, "-c", "import xinfer, supervisor.boot, worker; print(xinfer, supervisor, worker)", cwd=tmp_path)
    assert where.count(str(tmp_path)) == len(PACKAGES)
