"""Results that no redesign may change: `python tests/golden` compares them to the last bit, this within rounding.

A file of tests/golden is written anew (`--write`) only where a fault was mended, and the commit says which.
"""

import json
import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "golden"))

from cases import CASES, run

FOLDER = Path(__file__).parent / "golden"
# Digests of all bits: equal on one machine, not on every.
BITS = {"hidden", "W", "U", "witnesses", "weight"}


def same(now, before, where=""):
    if isinstance(before, dict):
        assert now.keys() == before.keys(), where
        for key in before.keys() - BITS:
            same(now[key], before[key], f"{where}.{key}")
    elif isinstance(before, list):
        assert len(now) == len(before), where
        for i, (a, b) in enumerate(zip(now, before, strict=True)):
            same(a, b, f"{where}[{i}]")
    elif isinstance(before, float):
        assert math.isclose(now, before, rel_tol=1e-5, abs_tol=1e-9), (where, now, before)
    else:
        assert now == before, where


@pytest.mark.parametrize("name", sorted(CASES))
def test_results_are_what_they_were(name):
    same(json.loads(json.dumps(run(name))), json.loads((FOLDER / f"{name}.json").read_text()), name)


def test_every_file_has_a_case():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(CASES)
