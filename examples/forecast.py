"""
A forecast of airline passengers
================================

The passengers of an airline, month by month from 1949 to 1960. The network sees twelve months and says how many
passengers there are in the next. Then it goes on alone: each month that it forecasts is an input for the months after
it. aeon brings the data.

python examples/forecast.py
"""

import matplotlib.pyplot as plt
import numpy as np
from aeon.datasets import load_airline

from convexsnn import SpikingRegressor, forecast

WINDOW = 12  # months that the network sees


def main(known=108, ahead=36, **settings):
    """Train on the first months, forecast the others, draw; returns the forecast and what really came."""
    series = np.asarray(load_airline(), dtype=float).ravel()
    windows = np.lib.stride_tricks.sliding_window_view(series, WINDOW)[:, :, None]
    model = SpikingRegressor(random_state=0, **settings).fit(windows[: known - WINDOW], series[WINDOW:known])
    print(model.certificate_)

    next_month = model.predict(windows[known - WINDOW : -1])  # always from real months
    alone = forecast(model, windows[known - WINDOW : known - WINDOW + 1], steps=ahead)[0, :, 0]
    real = series[known : known + ahead]
    errors = {name: np.abs(own[:ahead] - real).mean() for name, own in (("next month", next_month), ("alone", alone))}
    last_year = np.abs(series[known - 12 : known][np.arange(ahead) % 12] - real).mean()
    for name, error in (*errors.items(), ("as in the last known year", last_year)):
        print(f"{name}: wrong by {error:.0f} thousand passengers in the mean")

    years = 1949 + np.arange(len(series)) / 12
    _, ax = plt.subplots(figsize=(9, 4), layout="constrained")
    ax.plot(years, series, color="C7", label="passengers")
    ax.plot(years[known:], next_month, color="C0", ls="--", label="next month, from real months")
    ax.plot(years[known : known + ahead], alone, color="C3", label="forecast alone")
    ax.axvline(years[known], color="C7", lw=0.8)
    ax.set(xlabel="year", ylabel="thousand passengers", title=f"trained on what is left of the line ({known} months)")
    ax.legend(loc="upper left")
    return alone, real


if __name__ == "__main__":
    main()
    plt.show()
