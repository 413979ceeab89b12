"""A table of text, as Markdown; the command line and pages of HTML draw it in their own ways."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TextTable:
    """A table of text.

    Attributes
    ----------
    title : str
        What the table is about, in a few words.
    head : tuple of str
        The name of each column, none of them empty.
    rows : tuple of tuple of str
        Each row has one entry a column.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The title as a heading, and the table beneath it."""
        lines = [self.head, ("---",) * len(self.head), *self.rows]
        return "\n".join([f"### {self.title}", "", *("| " + " | ".join(line) + " |" for line in lines), ""])
