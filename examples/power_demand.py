"""
Power demand: which hours tell summer from winter
=================================================

Each series is the power demand of Italy on one day, hour by hour. Was the day in the warm or in the cold half of the
year? aeon brings the data: 67 days for training and 1029 for testing. Its series have shape (n, channels, steps), and
the estimators take (n, steps, features), so the axes are swapped.

Then the hours are shuffled among the days, one hour at a time. Where the accuracy falls most, the network looks.

python examples/power_demand.py
"""

import matplotlib.pyplot as plt
import numpy as np
from aeon.datasets import load_italy_power_demand

from convexsnn import SpikingClassifier, permutation_importance


def main(columns=100, n_repeats=5, **settings):
    """Load, train, shuffle, draw; returns the test accuracy and the importance of each hour."""
    (X, y), (X_test, y_test) = (load_italy_power_demand(split=split) for split in ("train", "test"))
    X, X_test = (part.transpose(0, 2, 1) for part in (X, X_test))
    model = SpikingClassifier(columns=columns, random_state=0, **settings).fit(X, y)
    accuracy = model.score(X_test, y_test)
    print(f"{len(X)} training days, {len(X_test)} test days: accuracy {accuracy:.3f}")
    print(model.certificate_)
    hours = permutation_importance(model, X_test, y_test, by="step", n_repeats=n_repeats, random_state=0)
    print(f"the hour that counts most: {int(np.argmax(hours.importances_mean))} o'clock")

    _, (above, below) = plt.subplots(2, 1, figsize=(7, 5.5), layout="constrained", sharex=True)
    for label, name in (("1", "October to March"), ("2", "April to September")):
        days = X_test[y_test == label, :, 0]
        above.plot(days.mean(axis=0), label=name)
        above.fill_between(range(24), *np.quantile(days, (0.1, 0.9), axis=0), alpha=0.2)
    above.set(ylabel="demand, standardised", title="mean, and eight of ten days")
    above.legend()
    below.bar(range(24), hours.importances_mean, yerr=hours.importances_std)
    below.set(xlabel="hour of the day", ylabel="accuracy lost when shuffled")
    return accuracy, hours


if __name__ == "__main__":
    main()
    plt.show()
