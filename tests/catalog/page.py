"""The table of families in docs/catalog.md, made from their files. ``python -m tests.catalog.page`` writes it anew."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from xinfer.catalog import Catalog, Family
from xinfer.messages import ThinkingMode

PAGE = Path(__file__).parents[2] / "docs" / "catalog.md"
HEAD = "| name | billions | abilities | context | thinking |\n|---|---|---|---|---|\n"


def table(families: Iterable[Family]) -> str:
    """The table, heading and all, by name."""
    rows = sorted(families, key=lambda family: family.name.casefold())
    return HEAD + "".join(f"| {' | '.join(_row(family))} |\n" for family in rows)


def written() -> str:
    """The table that the page has."""
    text = PAGE.read_text(encoding="utf-8")
    begin = text.index(HEAD)
    end = text.find("\n\n", begin)
    return text[begin : len(text) if end < 0 else end + 1]


def _row(family: Family) -> tuple[str, ...]:
    sizes = ", ".join(dict.fromkeys(spec.size_in_billions for spec in family.specs))
    return f"`{family.name}`", sizes, ", ".join(family.abilities), str(family.context_length), _thinking(family)


def _thinking(family: Family) -> str:
    """The mode, or the words by which it is switched, and the word for how hard."""
    thinking = family.thinking
    words = list(thinking.keywords)
    if thinking.effort is not None:
        words.append(thinking.effort.keyword)
    mode = [] if thinking.mode is ThinkingMode.SWITCH else [thinking.mode.value]
    return ", ".join([*mode, *(f"`{word}`" for word in words)])


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.replace(written(), table(Catalog.load().families.values())), encoding="utf-8")
