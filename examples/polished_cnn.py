"""
A convolutional network of snnTorch, polished
=============================================

A small spiking network with a convolution is trained on the digits of scikit-learn, as snnTorch's tutorials do. Then
`polish` makes its output layer optimal. The module stays a module of snnTorch: only weights of its last layer change,
and most of them become zero.

python examples/polished_cnn.py
"""

import matplotlib.pyplot as plt
import snntorch as snn
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from convexsnn import polish


class Network(nn.Module):
    """Convolution, spikes, pooling, spikes, output; the outputs of all steps are summed."""

    def __init__(self, steps=6):
        super().__init__()
        self.steps = steps
        self.conv, self.first = nn.Conv2d(1, 12, 3, padding=1), snn.Leaky(beta=0.9)
        self.hidden, self.second = nn.Linear(12 * 16, 100), snn.Leaky(beta=0.9)
        self.out = nn.Linear(100, 10)

    def forward(self, x):
        """The sum of the outputs of all steps, (n, 10)."""
        first, second, total = self.first.reset_mem(), self.second.reset_mem(), 0.0
        for _ in range(self.steps):
            spikes, first = self.first(self.conv(x), first)
            pooled = nn.functional.max_pool2d(spikes, 2).flatten(1)
            spikes, second = self.second(self.hidden(pooled), second)
            total = total + self.out(spikes)
        return total


def main(n=1300, epochs=4):
    """Train, polish, draw; returns what `polish` reports, and the test accuracies before and after."""
    torch.manual_seed(0)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16).float().reshape(-1, 1, 8, 8), torch.tensor(y)
    train, (X_test, y_test) = TensorDataset(X[:n], y[:n]), (X[1300:], y[1300:])
    net = Network()
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(epochs):
        for images, labels in DataLoader(train, batch_size=64, shuffle=True):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(images), labels).backward()
            optimiser.step()

    @torch.no_grad()
    def accuracy():
        return float((net(X_test).argmax(dim=1) == y_test).float().mean())

    before, trained = accuracy(), net.out.weight.detach().numpy().copy()
    result = polish(net, DataLoader(train, batch_size=128), readout="out", spikes="second", pooling="count", beta=0.03)
    print(result)
    print(f"test accuracy {before:.3f} -> {accuracy():.3f}")

    _, axes = plt.subplots(2, 1, figsize=(8, 4), layout="constrained", sharex=True)
    for ax, weights, name in zip(
        axes, (trained, net.out.weight.detach().numpy()), ("trained", "polished"), strict=True
    ):
        most = abs(weights).max()
        ax.imshow(weights, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto", interpolation="nearest")
        ax.set(ylabel="digit", title=f"output weights, {name}: {(weights != 0).sum()} are not zero")
    axes[1].set_xlabel("neuron")
    return result, (before, accuracy())


if __name__ == "__main__":
    main()
    plt.show()
