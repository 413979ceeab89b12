"""The templates of pages, which lie beside this file."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from convexsnn.display.axes import require_matplotlib


def require_pages(owner: str) -> None:
    """Raise ImportError, saying what to install, where a page cannot be made."""
    require_matplotlib(owner)
    if find_spec("jinja2") is None:
        raise ImportError(f"{owner} needs jinja2: pip install 'convexsnn[plot]'")


def fill(name: str, **values: Any) -> str:
    """A template with these values, as HTML that can be written as UTF-8."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("convexsnn.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Names of files may hold what UTF-8 has not.
    return environment.get_template(name).render(**values).encode("utf-8", "backslashreplace").decode()
