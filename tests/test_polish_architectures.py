"""Public architectures through polish: improved, left, or refused with the nearest thing that works."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from polish_architectures import ARCHITECTURES
from polish_cases import improved_or_refused
from polish_safety import digits


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_public_architectures(name):
    improved_or_refused(ARCHITECTURES[name], digits(60), 0)
