"""The built site as tests read it: its pages, what they load, and what their elements are called."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path

_LOADS = {
    "script": "src",
    "img": "src",
    "source": "src",
    "iframe": "src",
    "embed": "src",
    "object": "data",
    "link": "href",
}
"""Elements that make a browser fetch something, and the attribute that says what."""
_IN_STYLES = re.compile(r"(?:url\(|@import)\s*['\"]?([^'\")\s]+)")


class Page:
    """One page of it, read when it is asked for."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @cached_property
    def html(self) -> str:
        """As it is sent."""
        return self.file.read_text(encoding="utf-8")

    @cached_property
    def _elements(self) -> list[tuple[str, dict[str, str]]]:
        reader = _Reader()
        reader.feed(self.html)
        return reader.elements

    @cached_property
    def ids(self) -> set[str]:
        """What links may lead to."""
        return {values["id"] for _, values in self._elements if "id" in values}

    @cached_property
    def links(self) -> set[str]:
        """Where it leads."""
        return {values["href"] for tag, values in self._elements if tag == "a" and "href" in values}

    @cached_property
    def loads(self) -> list[str]:
        """What a browser fetches to show it."""
        return [values[_LOADS[tag]] for tag, values in self._elements if tag in _LOADS and _LOADS[tag] in values]

    @cached_property
    def language(self) -> str | None:
        """What it says it is written in."""
        return next(values.get("lang") for tag, values in self._elements if tag == "html")


class Site:
    """The folder that ``make docs`` fills."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.pages = {file: Page(file) for file in sorted(self.folder.rglob("*.html"))}
        """Every page by its file, the generated indexes too."""

    def page(self, name: str) -> Page:
        """The page of docs/``name``.md."""
        return self.pages[self.folder / f"{name}.html"]

    def loaded_by_styles(self) -> Iterator[str]:
        """Fonts, pictures and further styles that the style sheets ask for."""
        for file in self.folder.rglob("*.css"):
            yield from _IN_STYLES.findall(file.read_text(encoding="utf-8"))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
