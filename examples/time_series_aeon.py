"""
A UCR time series through aeon
==============================

aeon's data sets have shape (n, channels, steps); the estimators take (n, steps, features), so the axes are swapped.
Real numbers go in as currents: standardised, they drive neurons both up and down. Random neurons are compared with a
search for neurons by the dual vector of the convex program.

python examples/time_series_aeon.py
"""

import matplotlib.pyplot as plt
from aeon.datasets import load_italy_power_demand

from convexsnn import Search, SpikingClassifier
from convexsnn.display import BoundsDisplay, RasterDisplay


def main(seconds=10, rounds=8):
    """Load, train twice, draw; returns the test accuracies."""
    (X, y), (X_test, y_test) = (load_italy_power_demand(split=split) for split in ("train", "test"))
    X, X_test = (part.transpose(0, 2, 1) for part in (X, X_test))
    mean, scale = X.mean(axis=(0, 1)), X.std(axis=(0, 1))
    X, X_test = (X - mean) / scale, (X_test - mean) / scale
    print(f"{len(X)} training and {len(X_test)} test series of {X.shape[1]} steps")

    random = SpikingClassifier(witnesses="gaussian", beta=0.03, random_state=0).fit(X, y)
    family = Search(seconds=seconds, rounds=rounds)
    searched = SpikingClassifier(witnesses=family, beta=0.03, random_state=0).fit(X, y)
    accuracies = []
    for name, model in (("random", random), ("searched", searched)):
        accuracies.append(model.score(X_test, y_test))
        certificate = model.certificate_
        print(f"{name} neurons: test accuracy {accuracies[-1]:.3f}, {certificate.support} columns with weight")
        print(certificate)
    print(f"the search ended: {searched.stopped_}")

    BoundsDisplay.from_estimator(searched)
    RasterDisplay.from_estimator(searched, X_test, index=0)
    return accuracies


if __name__ == "__main__":
    main()
    plt.show()
