"""Fenced code blocks of a Markdown file: what each is, how it is marked, and what its output is said to be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SHELL, PYTHON, OUTPUT, DATA = ("bash", "sh"), ("python",), ("text", "json"), ("yaml",)
DIRECTIVES = ("{toctree}", "{eval-rst}")
"""For the site alone: what it makes of them is tested with it."""
ENDPOINT = "http://127.0.0.1:9997"

_MARKER = re.compile(r"<!-- test: (?P<name>\S+)(?: (?P<words>.+?))? -->\Z")
_FENCE = re.compile(r"^ *```(?P<language>\S*) *$")
_HEADING = re.compile(r"^#+ +(?P<text>.+?) *$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """One block. ``marker`` is the comment right before it, such as ``parse`` of ``<!-- test: parse -->``.

    Programs may have ``parse`` (not run, only checked) or ``in ENVIRONMENT`` (run with the packages of other clients), outputs
    ``says WORDS`` (which have to be in what the program prints), data ``family`` (a family of the catalog).
    """

    file: Path
    line: int
    language: str
    text: str
    marker: str | None = None
    words: tuple[str, ...] = ()
    output: Block | None = None
    """The block of ``text`` or ``json`` that comes next with no prose between, for one that is run."""

    @property
    def is_program(self) -> bool:
        """Whether it is code to run, and neither output nor data nor a drawing."""
        return self.language in SHELL + PYTHON

    @property
    def where(self) -> str:
        """For the test's name."""
        return f"{self.file.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """What people read: the READMEs and everything in ``docs/``."""
    return [*sorted(ROOT.glob("README*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(file: Path) -> list[Block]:
    """The blocks of ``file`` in their order."""
    found = _blocks(file)
    lines = file.read_text(encoding="utf-8").splitlines()
    followings = [*found, None][1:]
    return [_with_output(block, following, lines) for block, following in zip(found, followings, strict=True)]


def links(file: Path) -> list[str]:
    """Where the links outside of code lead."""
    return _LINK.findall(_without_code(file.read_text(encoding="utf-8")))


def anchors(file: Path) -> set[str]:
    """The fragments that a link into ``file`` may have, as GitHub makes them of headings."""
    headings = _HEADING.findall(_without_code(file.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _blocks(file: Path) -> list[Block]:
    found: list[Block] = []
    inside: list[str] | None = None
    language, marker, begin = "", None, 0
    before = ""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if inside is None and fence:
            inside, language, begin, marker = [], fence["language"], number, _marker(file, number, before)
        elif inside is not None and fence:
            name, words = marker or (None, ())
            found.append(Block(file, begin, language, "\n".join(inside) + "\n", name, words))
            inside = None
        elif inside is not None:
            inside.append(line)
        before = line
    assert inside is None, f"{file}:{begin}: this block has no end"
    return found


def _marker(file: Path, number: int, line: str) -> tuple[str, tuple[str, ...]] | None:
    if not line.startswith("<!--"):
        return None
    found = _MARKER.match(line)
    assert found, f"{file}:{number - 1}: not a marker of the tests: {line}"
    return found["name"], tuple((found["words"] or "").split())


def _with_output(block: Block, following: Block | None, lines: list[str]) -> Block:
    if following is None or not block.is_program or following.language not in OUTPUT:
        return block
    end = block.line + block.text.count("\n") + 1
    between = [line for line in lines[end : following.line - 1] if line.strip() and not line.startswith("<!--")]
    fields = {name: getattr(block, name) for name in ("file", "line", "language", "text", "marker", "words")}
    return block if between else Block(**fields, output=following)


def _without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "``", re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL))
