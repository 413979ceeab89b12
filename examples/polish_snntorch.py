"""
Polish an snnTorch network
==========================

Polish an snnTorch network: train it on small digits as usual, then make its readout optimal, sparse and certified.

python examples/polish_snntorch.py
"""

import matplotlib.pyplot as plt
import snntorch as snn
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from convexsnn import polish
from convexsnn.display import WeightsDisplay
from convexsnn.polishing import module_cost


class Network(nn.Module):
    """64 inputs shown as constant current for 8 steps, 200 leaky neurons, outputs summed over the steps."""

    def __init__(self):
        super().__init__()
        self.fc, self.lif, self.out = nn.Linear(64, 200), snn.Leaky(beta=0.9), nn.Linear(200, 10)

    def forward(self, x):
        mem, total = self.lif.reset_mem(), 0.0
        for _ in range(8):
            spikes, mem = self.lif(self.fc(x), mem)
            total = total + self.out(spikes)
        return total


def train(net, x, y, epochs=5):
    """Surrogate gradients, as in snnTorch's tutorials."""
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(epochs):
        for index in torch.randperm(len(x)).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(x[index]), y[index]).backward()
            optimiser.step()


@torch.no_grad()
def accuracy(net, x, y):
    """Share of right answers."""
    return float((net(x).argmax(dim=1) == y).float().mean())


def main():
    """Train, polish, compare."""
    torch.manual_seed(0)
    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16).float(), torch.tensor(y)
    train_set, test_set = (X[:1300], y[:1300]), (X[1300:], y[1300:])
    net = Network()
    train(net, *train_set)
    print(f"trained:  test accuracy {accuracy(net, *test_set):.4f}")

    # From here on it is polish.
    loader = DataLoader(TensorDataset(*train_set), batch_size=100)
    before, trained = module_cost(net, loader), net.out.weight.detach().clone()
    result = polish(net, loader, pooling="count", beta=0.03)
    after = module_cost(net, loader)
    print(f"polished: test accuracy {accuracy(net, *test_set):.4f}")
    print(f"readout synapses {result.before.synapses} -> {result.after.synapses}")
    print(f"objective {result.before.objective:.4f} -> {result.after.objective:.4f}")
    print(f"accumulates an inference {before.effective_acs:.0f} -> {after.effective_acs:.0f}")
    print(result.certificate)

    # The readout before and after: grey is zero.
    _, panels = plt.subplots(2, 1, figsize=(8, 4.4), layout="constrained", sharex=True)
    for ax, weight, title in zip(panels, (trained, net.out.weight.detach()), ("trained", "polished"), strict=True):
        WeightsDisplay(weight.numpy(), "class", "neuron").plot(ax)
        ax.set_title(f"{title}: {int((weight != 0).sum())} weights")
    return result


if __name__ == "__main__":
    main()
    plt.show()
