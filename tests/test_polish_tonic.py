"""Polishing on event data: tonic's frames, padded by tonic to one length, batch first or time first."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from convexsnn import polish

tonic = pytest.importorskip("tonic")
SIZE, CLASSES = 6, 3
EVENT = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", np.int8)])


class Corners(tonic.Dataset):
    """Events in one of three corners; recordings are of unequal length."""

    sensor_size = (SIZE, SIZE, 2)
    dtype, ordering = EVENT, EVENT.names

    def __init__(self, n, transform):
        super().__init__(save_to=".", transform=transform)
        rng = np.random.default_rng(0)
        self.targets = rng.integers(CLASSES, size=n).tolist()
        self.data = [self._draw(rng, label) for label in self.targets]

    @staticmethod
    def _draw(rng, label):
        n = int(rng.integers(40, 80))
        events = np.empty(n, dtype=EVENT)
        events["t"] = np.sort(rng.integers(100 * n, size=n))
        events["p"] = rng.integers(2, size=n)
        events["x"] = rng.integers(4, size=n) + 2 * (label % 2)
        events["y"] = rng.integers(4, size=n) + 2 * (label // 2)
        return events

    def __getitem__(self, index):
        return self.transform(self.data[index]), self.targets[index]

    def __len__(self):
        return len(self.data)


class LIFCell(nn.Module):
    def forward(self, current, v):
        v = 0.8 * v + current
        spikes = (v >= 0.5).to(v)
        return spikes, v - spikes * 0.5


class Frames(nn.Module):
    """Reads frames (n, T, p, h, w), or (T, n, p, h, w); its readout is called once a step."""

    def __init__(self, batch_first):
        super().__init__()
        torch.manual_seed(0)
        self.batch_first = batch_first
        self.conv, self.lif, self.flat, self.out = nn.Conv2d(2, 4, 3), LIFCell(), nn.Flatten(), nn.Linear(64, CLASSES)

    def forward(self, frames):
        v, total = 0.0, 0.0
        for frame in frames.float().unbind(dim=1 if self.batch_first else 0):
            spikes, v = self.lif(self.conv(frame), v)
            total = total + self.out(self.flat(spikes))
        return total


def loader(batch_first):
    frames = tonic.transforms.ToFrame(sensor_size=Corners.sensor_size, time_window=1000)
    together = tonic.collation.PadTensors(batch_first=batch_first)
    return DataLoader(Corners(90, frames), batch_size=90, collate_fn=together)


@pytest.mark.parametrize("batch_first", [True, False])
def test_events_are_polished(batch_first):
    net, batches = Frames(batch_first), loader(batch_first)
    result = polish(net, batches, pooling="count", beta=0.02)
    assert result.certificate.holds(1e-6)
    assert result.improved
    assert result.after.accuracy > max(0.8, result.before.accuracy)
    (frames, labels), *_ = list(batches)
    with torch.no_grad():
        assert float((net(frames).argmax(1) == labels).double().mean()) == pytest.approx(result.after.accuracy)


def test_the_axis_of_time_is_not_guessed():
    with pytest.raises(ValueError, match="expected one call a step"):
        polish(Frames(batch_first=True), loader(batch_first=False), pooling="count")
