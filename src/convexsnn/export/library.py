"""The libraries of the targets, imported only when one of them is asked for."""

from __future__ import annotations

import importlib
from typing import Any


def library(name: str) -> Any:
    """The module `name`; ImportError saying how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        extra = "onnx" if package.startswith("onnx") else "interop"
        raise ImportError(
            f"this needs the package {package}: pip install {package}, or pip install 'convexsnn[{extra}]' ({error})"
        ) from error
