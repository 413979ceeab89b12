"""Random fits against the independent evaluator: objectives are right and no bound is overstated."""

import pytest

from independent_fits import check_fit


@pytest.mark.parametrize("seed", range(24))
def test_stored_numbers_are_true(seed):
    assert check_fit(seed) == []
