"""Public architectures through polish: improved, left, or refused with the nearest thing that works."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from polish_architectures import ARCHITECTURES
from polish_safety import digits, try_one


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_public_architectures(name):
    case = ARCHITECTURES[name]
    try:
        result, objectives, _, _ = try_one(case, digits(60), 0)
    except ImportError as error:
        pytest.skip(str(error))
    if case.refused is not None:
        assert isinstance(result, ValueError)
        assert case.refused in str(result)
        return
    assert not isinstance(result, ValueError), result
    assert result.improved
    assert objectives[1] < objectives[0]
