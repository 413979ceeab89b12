"""
Gestures with a game controller
===============================

A person makes one of ten gestures with a Wii remote in the hand. Its sensor gives the acceleration in one direction,
some ten times a second. There are only five examples of each gesture, and they last between 3 and 36 seconds: they
go in as a list of arrays, as long as they are. aeon brings the data.

The default network reads how often each of 1000 neurons fires.

python examples/gestures.py
"""

import matplotlib.pyplot as plt
from aeon.datasets import load_classification

from convexsnn import SpikingClassifier
from convexsnn.display import ConfusionDisplay, RasterDisplay


def main(**settings):
    """Load, train, draw; returns the test accuracy."""
    (X, y), (X_test, y_test) = (
        load_classification("PickupGestureWiimoteZ", split=split) for split in ("train", "test")
    )
    X, X_test = ([series.T for series in part] for part in (X, X_test))
    lengths = [len(series) for series in X]
    print(f"{len(X)} training and {len(X_test)} test gestures of {min(lengths)} to {max(lengths)} steps")

    model = SpikingClassifier(random_state=0, **settings).fit(X, y)
    accuracy = model.score(X_test, y_test)
    print(f"test accuracy {accuracy:.3f} with {model.network_.hidden.n_neurons} neurons")
    print(model.certificate_)

    _, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4), layout="constrained")
    for label in ("1", "2", "3"):
        left.plot(X[list(y).index(label)], label=f"gesture {label}")
    left.set(xlabel="step", ylabel="acceleration, standardised", title="three gestures")
    left.legend()
    ConfusionDisplay.from_estimator(model, X_test, y_test, ax=middle, cmap="Blues", colorbar=False)
    middle.set_title("answers on new gestures")
    RasterDisplay.from_estimator(model, X_test, index=0, ax=right)
    right.set_title("spikes on one of them")
    return accuracy


if __name__ == "__main__":
    main()
    plt.show()
