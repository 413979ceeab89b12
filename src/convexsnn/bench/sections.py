"""What a bench shows: tables in sections, each with a plot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convexsnn.files import write_atomically
from convexsnn.report.figures import image, picture
from convexsnn.report.tables_page import TablesSection, render_tables
from convexsnn.report.text_table import TextTable


@dataclass(frozen=True)
class Section:
    """Tables that belong together, and a plot of them.

    Attributes
    ----------
    name : str
        The name of the plot's file, without its ending.
    title : str
    tables : tuple of TextTable
    draw : callable
        It draws on matplotlib axes, or on an array of them where there are several panels.
    caption : str
        What the plot shows, also for those who cannot see it.
    size : (float, float)
        Width and height of the plot in inches.
    panels : int
        The number of axes, one above the other.
    """

    name: str
    title: str
    tables: tuple[TextTable, ...]
    draw: Callable[[Any], None]
    caption: str
    size: tuple[float, float]
    panels: int = 1


def markdown(sections: Sequence[Section]) -> str:
    """All tables as Markdown."""
    return "\n".join(table.markdown() for section in sections for table in section.tables)


def write_plots(sections: Sequence[Section], folder: Path) -> list[Path]:
    """One PNG file a section; returns the files."""
    files = [folder / f"{section.name}.png" for section in sections]
    for section, path in zip(sections, files, strict=True):
        write_atomically(path, image(section.draw, "png", size=section.size, panels=section.panels))
    return files


def page(title: str, sections: Sequence[Section], words: Sequence[str]) -> str:
    """All tables and plots as one page of HTML; `words` are paragraphs at its beginning."""
    shown = [
        TablesSection(
            section.title,
            section.tables,
            picture(section.draw, section.caption, size=section.size, panels=section.panels),
        )
        for section in sections
    ]
    return render_tables(title, shown, words)
