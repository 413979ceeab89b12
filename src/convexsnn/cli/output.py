"""What the command line prints: lines, JSON where asked for, and plain tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

stdout = Console(highlight=False)
stderr = Console(stderr=True, highlight=False)


def say(message: str, *, head: str = "", style: str = "", to: Console = stdout) -> None:
    """One line, after a `head` in colour; never broken, so that a path in it can be copied."""
    to.print(f"[{style}]{head}[/] {escape(message)}".rstrip() if head else escape(message), soft_wrap=True)


def print_json(value: Any) -> None:
    """Strict JSON on standard output."""
    print(json.dumps(value, indent=2, allow_nan=False, default=str))


def print_facts(title: str, facts: Mapping[str, Any]) -> None:
    """A two-column table."""
    table = Table(title=escape(title), title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), format_value(value))
    stdout.print(table)


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; where the terminal is too narrow for it, each row is a table of two columns."""
    table = Table(*map(escape, head), title=escape(title), title_justify="left")
    for row in rows:
        table.add_row(*map(escape, row))
    if table.__rich_measure__(stdout, stdout.options).maximum <= stdout.width:
        stdout.print(table)
        return
    for row in rows:
        print_facts(f"{title}, {head[0]} {row[0]}", dict(zip(head[1:], row[1:], strict=True)))


def format_value(value: Any) -> str:
    """A number with the digits a person reads."""
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.6g}"


def print_tasks(rows: list[dict[str, Any]]) -> None:
    """The table of tasks."""
    table = Table()
    table.add_column("task", no_wrap=True)
    table.add_column("what it is")
    table.add_column("T", justify="right")
    table.add_column("train/val/test", no_wrap=True)
    table.add_column("labels a step", no_wrap=True)
    for row in rows:
        examples = f" [dim]({', '.join(row['examples'])})[/]" if row["examples"] != [row["name"]] else ""
        own = row["timesteps"] is None
        sizes = "its own" if own else "/".join(map(str, row["sizes"]))
        steps = "its own" if own else str(row["timesteps"])
        table.add_row(row["name"], row["description"] + examples, steps, sizes, row["per_step"])
    stdout.print(table)
