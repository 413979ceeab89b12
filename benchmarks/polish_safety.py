"""What polishing does to networks of many kinds, judged by running them: none is made worse, or it is refused.

    OMP_NUM_THREADS=1 python benchmarks/polish_safety.py [--n 1000] [--epochs 8]

Each network is trained on the digits of scikit-learn (64 pixels as constant current), then polished. Printed are the
module's own training objective and its own accuracy on training and test images, before and after, computed here by
running the module and nothing else; or why it was refused, in which case the weights must be the same bit for bit.
"""

import argparse
import warnings

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from convexsnn import polish
from polish_networks import CASES


def digits(n):
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    X, y = torch.tensor(X / 16).float(), torch.tensor(y)
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))
    a, b = order[:n], order[n : n + 500]
    return (X[a], y[a]), (X[b], y[b])


def train(case, x, y, epochs):
    torch.manual_seed(0)
    net = case.make()
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(epochs if case.trained else 0):
        for index in torch.randperm(len(x)).split(50):
            optimiser.zero_grad()
            nn.functional.cross_entropy(case.answer(net, x[index]), y[index]).backward()
            optimiser.step()
    return net


def readout_of(net, case):
    """The layer that is polished: the one that is named, else the last Linear, else the last convolution."""
    name = case.settings.get("readout")
    if name:
        return net.get_submodule(name)
    parts = list(net.modules())
    for kind in (nn.Linear, nn.Conv2d):
        found = [part for part in parts if isinstance(part, kind)]
        if found:
            return found[-1]
    raise ValueError("the network has no layer that could be the readout")


@torch.no_grad()
def judge(state, case, rho, x, y):
    """The module's own objective and accuracy, by running one that is made anew of its weights."""
    net = case.make()
    net.load_state_dict(state)
    net.eval()
    S, readout = case.answer(net, x).double(), readout_of(net, case)
    rows = [readout.weight.flatten(1).T.double()] + ([] if readout.bias is None else [readout.bias[None].double()])
    weights = torch.cat(rows)
    omega = weights.norm(dim=1).sum() if case.settings.get("penalty") == "group" else weights.abs().sum()
    return float(nn.functional.cross_entropy(S, y) + rho * omega), float((S.argmax(1) == y).double().mean())


def try_one(case, parts, epochs):
    """(result or error, objectives, training accuracies, test accuracies); of each the old and the new."""
    (x, y), test = parts
    net = train(case, x, y, epochs)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    try:
        result = polish(net, DataLoader(TensorDataset(x, y), 200), **({"beta": 0.02} | case.settings))
    except ValueError as error:
        same = all(torch.equal(value, net.state_dict()[name]) or value.isnan().any() for name, value in before.items())
        assert same, "refused, but the module changed"
        return error, None, None, None
    rho = result.certificate.rho
    train_pair = [judge(state, case, rho, x, y) for state in (before, net.state_dict())]
    test_pair = [judge(state, case, rho, *test) for state in (before, net.state_dict())]
    return result, *zip(*train_pair, strict=True), tuple(accuracy for _, accuracy in test_pair)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=8)
    arguments = parser.parse_args()
    parts = digits(arguments.n)
    print("| network | own objective | own training accuracy % | own test accuracy % | synapses |")
    print("|---|---|---|---|---|")
    counts = {"polished": 0, "refused": 0, "wrong": 0}
    for name, case in CASES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result, objectives, accuracies, test = try_one(case, parts, arguments.epochs)
        if isinstance(result, ValueError):
            right = case.refused is not None and case.refused in str(result)
            print(f"| {name} | refused: {str(result)[:240]} | | | |", flush=True)
        else:
            right = case.refused is None and objectives[1] <= objectives[0]
            right = right and abs(result.after.accuracy - accuracies[1]) < 1e-9
            synapses = f"{result.before.synapses} to {result.after.synapses}"
            percent = lambda pair: f"{100 * pair[0]:.1f} to {100 * pair[1]:.1f}"  # noqa: E731
            print(
                f"| {name} | {objectives[0]:.4f} to {objectives[1]:.4f} | {percent(accuracies)} | {percent(test)} | "
                f"{synapses} |",
                flush=True,
            )
        counts["wrong" if not right else "refused" if isinstance(result, ValueError) else "polished"] += 1
    print(", ".join(f"{kind} {number}" for kind, number in counts.items()))


if __name__ == "__main__":
    main()
