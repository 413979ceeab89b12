"""What is said of the error of a trained network on inputs that it was not shown."""

import pytest
from scipy.stats import binomtest

from convexsnn.metrics import CONFIDENCE, error_bound


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (30, 30), (29, 30), (0, 30), (4000, 4000), (3950, 4000)])
def test_the_bound_of_the_error_is_that_of_clopper_and_pearson(right, n):
    interval = binomtest(n - right, n, alternative="less").proportion_ci(CONFIDENCE, method="exact")
    assert error_bound({"accuracy": right / n}, n) == pytest.approx(interval.high)


def test_a_sequence_is_wrong_where_a_step_is_and_a_regressor_has_no_bound():
    assert error_bound({"accuracy": 0.99, "sequence_accuracy": 0.5}, 10) == error_bound({"accuracy": 0.5}, 10)
    assert error_bound({"r2": 0.9}, 10) is None
