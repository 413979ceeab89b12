"""What becomes of a network of the benchmarks that is polished."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from polish_safety import try_one


def improved_or_refused(case, data, seed):
    """Polish a network: the result, its objectives and accuracies before and after; None where it is refused, as told.

    The test is skipped where the network's library is not installed.
    """
    try:
        result, objectives, accuracies, _ = try_one(case, data, seed)
    except ImportError as error:
        pytest.skip(str(error))
    if case.refused is not None:
        assert isinstance(result, ValueError)
        assert case.refused in str(result)
        return None
    assert not isinstance(result, ValueError), result
    assert result.improved
    assert objectives[1] < objectives[0]
    return result, objectives, accuracies
