"""
Event data through tonic
========================

A data set in tonic's format gives structured arrays of events (x, y, t, p). tonic's `ToFrame` bins them into frames,
and flattened frames are what a network is shown at each step. So that nothing is downloaded the events are made here:
a bar that moves left, right, up or down across a small sensor, with noise. The four classes have about the same
events in all; only their order tells them apart.

python examples/events_tonic.py
"""

import matplotlib.pyplot as plt
import numpy as np
from tonic import Dataset
from tonic.transforms import ToFrame

from convexsnn import Gaussian, SpikingClassifier
from convexsnn.display import ConfusionDisplay, RasterDisplay

SIZE, DURATION = 8, 8000  # pixels a side, microseconds
EVENT = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.int8)])


class MovingBars(Dataset):
    """Events of bars that move in one of four directions."""

    classes = ("left", "right", "up", "down")
    sensor_size = (SIZE, SIZE, 2)
    dtype = EVENT
    ordering = EVENT.names

    def __init__(self, n, seed, transform=None):
        super().__init__(save_to=".", transform=transform)
        rng = np.random.default_rng(seed)
        self.targets = rng.integers(4, size=n)
        self.data = [self._draw(rng, label) for label in self.targets]

    def __getitem__(self, index):
        events = self.data[index]
        return (events if self.transform is None else self.transform(events)), self.targets[index]

    def __len__(self):
        return len(self.data)

    @staticmethod
    def _draw(rng, label):
        """The bar's front gives events of polarity 1 and its back of polarity 0; one event in six is noise."""
        step = np.repeat(np.arange(SIZE), 12)
        along = step if label in (1, 3) else SIZE - 1 - step
        across, polarity = rng.integers(SIZE, size=len(step)), rng.integers(2, size=len(step))
        moved = np.clip(along - np.where(polarity == 1, 0, 1 if label in (1, 3) else -1), 0, SIZE - 1)
        x, y = (moved, across) if label < 2 else (across, moved)
        noise = rng.random(len(step)) < 1 / 6
        x, y = np.where(noise, rng.integers(SIZE, size=len(step)), x), np.where(noise, across, y)
        events = np.empty(len(step), dtype=EVENT)
        events["x"], events["y"], events["p"] = x, y, polarity
        events["t"] = (step + rng.random(len(step))) * DURATION / SIZE
        return np.sort(events, order="t")


def arrays(dataset):
    """Frames (n, T, polarity * height * width) and labels of a data set whose transform is `ToFrame`."""
    frames, labels = zip(*(dataset[i] for i in range(len(dataset))), strict=True)
    return np.stack([np.asarray(f, dtype=float).reshape(len(f), -1) for f in frames]), np.array(labels)


def main(n=400, last=256):
    """Bin, train, draw; returns the test accuracy."""
    binned = ToFrame(sensor_size=MovingBars.sensor_size, n_time_bins=SIZE)
    X, y = arrays(MovingBars(n, seed=0, transform=binned))
    X_test, y_test = arrays(MovingBars(n, seed=1, transform=binned))
    print(f"{len(X)} recordings of {X.shape[1]} frames of {X.shape[2]} pixels and polarities")

    model = SpikingClassifier(witnesses=Gaussian(depth=2, last=last, leak=0.7), beta=0.03, random_state=0).fit(X, y)
    accuracy = model.score(X_test, y_test)
    print(f"test accuracy {accuracy:.3f} with {model.certificate_.support} of {model.certificate_.P} columns")
    print(model.certificate_)

    _, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained", width_ratios=[2, 3])
    ConfusionDisplay.from_estimator(model, X_test, y_test, ax=left, display_labels=MovingBars.classes, colorbar=False)
    RasterDisplay.from_estimator(model, X_test, index=0, ax=right)
    right.set_title(f"a bar that moves {MovingBars.classes[y_test[0]]}")
    return accuracy


if __name__ == "__main__":
    main()
    plt.show()
