"""The command ``python -m proof MODEL DATA.npz``, for a copy of this folder on its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from .verification import verify_exactly


def main(arguments: list[str]) -> int:
    """Print the outcome as JSON; 0 when all claims hold, 1 when not, 2 on wrong usage."""
    if len(arguments) != 2:
        print("usage: python -m proof MODEL DATA.npz (arrays X, y, optionally lengths)", file=sys.stderr)
        return 2
    with np.load(arguments[1], allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    X = arrays["X"]
    if "lengths" in arrays:
        X = [x[:length] for x, length in zip(X, arrays["lengths"], strict=True)]
    outcome = verify_exactly(Path(arguments[0]), X, arrays["y"])
    print(json.dumps(outcome.to_dict(), indent=2))
    return 0 if outcome.holds else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
