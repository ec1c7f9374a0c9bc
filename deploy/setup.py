"""Makes the virtual environment that xinfer runs in: `python3 deploy/setup.py`.

Any Python from 3.8 may run this; the environment gets one that xinfer supports. What is done already is not done again.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from setup_parts import browser, machine
from setup_parts.console import Console
from setup_parts.environment import Environment
from setup_parts.errors import CommandFailed, SetupFailed
from setup_parts.pip import Pip
from setup_parts.prometheus import install_prometheus
from setup_parts.steps import ROOT, Step, steps

FIRST_TIME = {
    "cpu": "No NVIDIA GPU: vLLM's CPU build. About 1 GB to fetch and 4 GB on disk, 2 to 5 minutes.",
    "cuda": "NVIDIA GPU: vLLM's CUDA build. About 4 GB to fetch and 12 GB on disk, 5 to 15 minutes.",
}


def main() -> int:
    options = parse_arguments()
    console = Console(options.venv.absolute() / "setup.log")
    try:
        with one_at_a_time(console):
            set_up(options, console)
    except SetupFailed as failed:
        if isinstance(failed.__cause__, CommandFailed):
            console.tail(failed.__cause__.output)
        console.say(f"The set-up stopped. {failed}")
        return 1
    except KeyboardInterrupt:
        console.say("Interrupted. Steps that were finished are kept: run it again to go on.")
        return 130
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the virtual environment that xinfer runs in.")
    parser.add_argument("--with-tests", action="store_true", help="install the test tools too")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where (default: .venv in the repository)")
    parser.add_argument(
        "--flavor",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="engine's build (default: as the machine has it)",
    )
    return parser.parse_args()


@contextmanager
def one_at_a_time(console: Console) -> Iterator[None]:
    """Waits for another set-up in this folder, if there is one, to end."""
    folder = os.open(str(ROOT), os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.say("Another set-up is at work in this folder: waiting for it to end.")
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def set_up(options: argparse.Namespace, console: Console) -> None:
    """Brings the environment to where it should be and shows each step; raises SetupFailed."""
    machine.check_machine()
    flavor = machine.choose_flavor(options.flavor)
    machine.check_libraries(flavor)
    environment = Environment(console.log.parent, flavor, console)
    unfit = environment.unfit()
    if unfit:
        machine.check_room(ROOT, flavor)
        console.say(f"{FIRST_TIME[flavor]}\nMaking {environment.folder}: {unfit}")
        environment.make()
    with tempfile.TemporaryDirectory(dir=str(environment.folder), prefix="setup-") as scratch:
        pip = Pip(environment.python, Path(scratch), console.run, console.say)
        todo = [step for step in steps(flavor, options.with_tests, pip) if environment.lacks(step)]
        for number, step in enumerate(todo, start=1):
            perform(step, f"[{number}/{len(todo)}]", environment, console)
    if options.with_tests:
        install_prometheus(environment.folder, console.run, console.say)
        browser.prepare(console)
    console.say(
        "xinfer is set up in {} ({}, Python {}.{}.{}).".format(environment.folder, flavor, *environment.version or ())
    )


def perform(step: Step, number: str, environment: Environment, console: Console) -> None:
    """Runs one step, with its reason before it and its time after it."""
    console.say(f"{number} {step.title}: {step.why}")
    started = time.monotonic()
    step.run()
    environment.finish(step)
    console.say(f"      done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
