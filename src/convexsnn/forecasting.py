"""Forecasts of several steps from windows: each forecast value is the last of the next window."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from convexsnn.caller import isolated
from convexsnn.checks import check_integer
from convexsnn.estimators import SpikingRegressor
from convexsnn.sequences import Sequences
from convexsnn.simulation import scores


@isolated
def forecast(estimator: SpikingRegressor, X: Any, steps: int) -> np.ndarray:
    """Forecast the next values of series, from windows of what is known of them.

    Parameters
    ----------
    estimator : SpikingRegressor
        Fitted to windows (n, T, d) and the d values that follow each: one output a feature.
    X : array of shape (n, T, d)
        The last T values of each series.
    steps : int
        So many values are forecast.

    Returns
    -------
    float64 array of shape (n, steps, d)

    Raises
    ------
    ValueError
        When the estimator answers at every step, or has another number of outputs than features.

    Examples
    --------
    >>> from convexsnn import SpikingRegressor
    >>> series = np.sin(0.5 * np.arange(200.0))
    >>> windows = np.lib.stride_tricks.sliding_window_view(series, 12)
    >>> model = SpikingRegressor(random_state=0).fit(windows[:-1, :, None], series[12:])
    >>> ahead = forecast(model, windows[-1:, :, None], steps=10)
    >>> bool(np.abs(ahead[0, :, 0] - np.sin(0.5 * np.arange(200.0, 210.0))).max() < 0.05)
    True
    """
    check_integer("steps", steps)
    if not isinstance(estimator, SpikingRegressor):
        raise ValueError(f"estimator must be a SpikingRegressor, not {estimator!r}")
    if estimator.per_step:
        raise ValueError("estimator must be fitted to windows, with per_step=False: see predict_closed_loop")
    shown = estimator.sequences(X)
    outputs, features = estimator.network_.W.shape[1], shown.n_features
    if outputs != features or not shown.equal_lengths:
        raise ValueError(f"windows of equal length and {outputs} features are needed, one an output, not {features}")
    values, ahead = shown.values, []
    for _ in range(steps):
        ahead.append(scores(estimator.network_, Sequences(values, shown.lengths)).cpu())
        values = torch.cat([values[:, 1:], ahead[-1].unsqueeze(1)], dim=1)
    return torch.stack(ahead, dim=1).numpy()
