"""How the documents become a site. `make docs` builds it into build/docs and asks nothing of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xinfer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "xinfer"
copyright = "the authors of xinfer"  # noqa: A001  # Sphinx's name for it
version = release = xinfer.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click", "sphinx_copybutton"]
# Links are written as GitHub takes them, page.md#the-heading; every heading is to have its anchor.
myst_heading_anchors = 4
# Else `--option` in a docstring gets a dash.
smartquotes = False
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"xinfer {version}"
html_copy_source = False
html_show_sphinx = False


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("html-page-context", _name_the_language)


def _name_the_language(_: Sphinx, page: str, __: str, context: dict[str, Any], ___: object) -> None:
    """Browsers choose fonts, and screen readers voices, by the language of the page."""
    if page.startswith("zh-TW/"):
        context["language"] = "zh-TW"
