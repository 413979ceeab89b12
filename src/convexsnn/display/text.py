"""Labels and names, which may be any text, as people and pictures can show them."""

from __future__ import annotations

from typing import Any

# Characters beyond which a label is cut in its middle.
LONGEST = 24


def readable(value: Any, longest: int = LONGEST) -> str:
    """`value` as one line of text: what cannot be printed is escaped, and a long text is cut in its middle."""
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))
    if len(text) <= longest:
        return text
    kept = longest - 1
    return f"{text[: kept - kept // 3]}\u2026{text[len(text) - kept // 3 :]}"


def plotted(value: Any, longest: int = LONGEST) -> str:
    """`readable`, with dollar signs marked: matplotlib takes text between two of them for mathematics."""
    return readable(value, longest).replace("$", r"\$")
