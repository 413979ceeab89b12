"""A page of tables and pictures, such as that of a bench."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

from convexsnn.report.figures import Picture
from convexsnn.report.templates import fill
from convexsnn.report.text_table import TextTable


@dataclass(frozen=True)
class TablesSection:
    """One section of the page.

    Attributes
    ----------
    title : str
    tables : tuple of TextTable
    picture : Picture, optional
    """

    title: str
    tables: tuple[TextTable, ...]
    picture: Picture | None = None


def render_tables(title: str, sections: Sequence[TablesSection], words: Sequence[str]) -> str:
    """The page as HTML: `words` are paragraphs at its beginning, before all sections."""
    return fill("tables.html", title=title, sections=sections, words=words, version=version("convexsnn"))
