"""
Who says these vowels?
======================

Nine men say the Japanese vowels "ae", again and again. Each recording is 7 to 29 steps long, with twelve numbers a
step that describe the sound. The network says who speaks. aeon brings the data: 270 recordings for training, and 370
for testing.

How small may the network be? The program is solved for fewer and fewer columns, each of which is one neuron.

python examples/spoken_vowels.py
"""

import matplotlib.pyplot as plt
from aeon.datasets import load_japanese_vowels

from convexsnn import SpikingClassifier
from convexsnn.display import ConfusionDisplay


def main(sizes=(1000, 300, 100, 30, 10), **settings):
    """Load, train a network of each size, draw; returns the test accuracies."""
    (X, y), (X_test, y_test) = (load_japanese_vowels(split=split) for split in ("train", "test"))
    X, X_test = ([recording.T for recording in part] for part in (X, X_test))
    print(f"{len(X)} training and {len(X_test)} test recordings of {X[0].shape[1]} features")

    models, accuracies = [], []
    for columns in sizes:
        models.append(SpikingClassifier(columns=columns, random_state=0, **settings).fit(X, y))
        accuracies.append(models[-1].score(X_test, y_test))
        gap = models[-1].certificate_.relative_gap
        print(f"at most {columns} columns: test accuracy {accuracies[-1]:.3f}, relative gap {gap:.1e}")

    _, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    left.plot([model.certificate_.support for model in models], accuracies, marker="o")
    left.set(xscale="log", xlabel="columns with weight", ylabel="test accuracy")
    ConfusionDisplay.from_estimator(models[0], X_test, y_test, ax=right, cmap="Blues", colorbar=False)
    right.set(xlabel="speaker that was named", ylabel="speaker")
    return accuracies


if __name__ == "__main__":
    main()
    plt.show()
