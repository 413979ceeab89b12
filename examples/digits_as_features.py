"""
Digits: spikes as features, and how sure the network is
=======================================================

The digits that come with scikit-learn are shown row by row. `SpikingTransformer` turns each image into what the output
of a spiking network reads: one number for each neuron. What comes next may be any method for tables, here a logistic
regression.

The network itself has the squared loss, which models no probabilities. scikit-learn's `CalibratedClassifierCV` fits
them to its scores. The last picture asks whether they are true: of all answers that are 90 % sure, are 90 % right?

python examples/digits_as_features.py
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from convexsnn import Kernels, SpikingClassifier, SpikingTransformer

warnings.filterwarnings("ignore", "X leaves the range of training")  # a pixel at the edge that is nearly always white


def main(n=1797, last=1000, folds=3):
    """Transform, classify, calibrate, draw; returns the test accuracies and the probabilities of the answers."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X[:n].reshape(-1, 8, 8), y[:n], stratify=y[:n], random_state=0)
    network = SpikingClassifier(witnesses=Kernels(last=last), random_state=0)

    pipeline = make_pipeline(SpikingTransformer(network), LogisticRegression(max_iter=1000)).fit(X, y)
    calibrated = CalibratedClassifierCV(network, cv=folds).fit(X, y)
    accuracies = {"logistic regression on spikes": pipeline.score(X_test, y_test)}
    accuracies["calibrated network"] = calibrated.score(X_test, y_test)
    for name, accuracy in accuracies.items():
        print(f"{name}: test accuracy {accuracy:.3f}")
    probabilities = calibrated.predict_proba(X_test)
    sure, right = probabilities.max(axis=1), calibrated.predict(X_test) == y_test
    print(f"mean probability of the answers {sure.mean():.3f}, share of right answers {right.mean():.3f}")

    _, (left, right_ax) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
    flat = PCA(2).fit_transform(pipeline[:-1].transform(X_test))
    drawn = left.scatter(*flat.T, c=y_test, cmap="tab10", s=12)
    left.legend(*drawn.legend_elements(), title="digit", loc="center left", bbox_to_anchor=(1, 0.5))
    left.set(title="test images by their spikes", xlabel="first component", ylabel="second component")
    is_class = np.eye(10)[y_test].ravel()
    CalibrationDisplay.from_predictions(is_class, probabilities.ravel(), n_bins=10, ax=right_ax, name="calibrated")
    right_ax.set_title("are the probabilities true?")
    return accuracies, sure


if __name__ == "__main__":
    main()
    plt.show()
