"""Everything that a machine with a GPU is to show, in one turn: set-up, checks, figures, and the table last.

    python tests/gpu/turn.py                                  # in xinfer's own environment
    python3 tests/gpu/turn.py --parts PARTS --minutes 9       # on a machine without a network, after bring.py
    python tests/gpu/turn.py --rehearse                       # without a GPU, as far as it goes

A turn that was too short goes on with the next: what was found is kept in ``--out``, and the table shows all of it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
from tests.gpu.checks import Book, lines  # noqa: E402  # needs the line above, and no package
from tests.gpu.parts import Incomplete, install  # noqa: E402
from tests.gpu.patience import run  # noqa: E402

PARTS_OF_A_TURN = ("one_model", "sharing", "warm_host", "larger_model", "rust_front_end")
_PLUGINS = ("-p", "pytest_asyncio.plugin", "-p", "pytest_timeout", "-p", "no:cacheprovider")
NO_OTHER_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""Another machine's Python may have any."""
_WIDEST = 70


def main() -> int:
    """The exit code of the checks; 3 if nothing could be found out."""
    asked = _arguments()
    end = time.time() + 60 * asked.minutes
    book = Book(asked.out / "outcomes.jsonl")
    known, code = len(book.read()), 0
    try:
        if asked.parts:
            install(asked.parts, asked.site)
        if asked.only != ["table"]:
            code = _check(asked, book, end) or (3 if len(book.read()) == known else 0)
    except Incomplete as error:
        print(error, file=sys.stderr)
        code = 3
    except KeyboardInterrupt:
        code = 130
    _print(book)
    return code


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=Path, help="folder with the parts that bring.py made, to install first")
    parser.add_argument("--site", type=Path, default=Path("/tmp/xinfer-site"), help="where to install them")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu", help="folder of what is found, and of logs")
    parser.add_argument("--only", nargs="+", choices=(*PARTS_OF_A_TURN, "table"), help="instead of all", default=[])
    parser.add_argument("--minutes", type=float, default=60, help="after which checks are broken off  [60]")
    parser.add_argument("--rehearse", action="store_true", help="on the CPU build of vLLM, with a made-up GPU")
    return parser.parse_args()


def checks(parts: Sequence[str]) -> list[str]:
    """The command that checks these parts of a turn."""
    files = [f"tests/gpu/test_{name}.py" for name in parts]
    return [sys.executable, "-m", "pytest", *_PLUGINS, "-m", "gpu", "-v", "--tb=short", "-s", *files]


def _check(asked: argparse.Namespace, book: Book, end: float) -> int:
    argv = checks(asked.only or PARTS_OF_A_TURN)
    return run(argv, max(0.0, end - time.time()), cwd=ROOT, env=_environment(asked, book))


def _environment(asked: argparse.Namespace, book: Book) -> dict[str, str]:
    places = [str(ROOT), *([str(asked.site)] if asked.parts else []), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": ":".join(places),
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_OFFLINE": "1",
        **NO_OTHER_PLUGINS,
        "XINFER_GPU_BOOK": str(book.file),
        **({"XINFER_GPU_REHEARSAL": "1"} if asked.rehearse else {}),
    }


def _print(book: Book) -> None:
    rows = [("PART", "WHAT", "FOUND", "GOAL", "REACHED"), *lines(book.read())]
    widths = [min(_WIDEST, max(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    print()
    for row in rows:
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
