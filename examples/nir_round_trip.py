"""
A round trip through NIR
========================

A certified network as a NIR graph: written to a file, read back, and run by snnTorch's importer where it is there.

python examples/nir_round_trip.py
"""

import contextlib
import io
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import nir
import torch

from convexsnn import Gaussian, SpikingClassifier, as_sequences
from convexsnn.display import RasterDisplay
from convexsnn.export import from_nir, to_nir
from convexsnn.simulation import scores
from convexsnn.tasks import TaskSettings, load_task


def main():
    """Train with hard reset and the spike readout, which NIR can express; export; compare outputs."""
    task = load_task("first-last-xor", TaskSettings(timesteps=4, seed=0))
    family = Gaussian(reset="hard", leak=0.5, readout="spike", dtype="float32")
    model = SpikingClassifier(witnesses=family, loss="hinge", beta=0.01, random_state=0)
    model.fit(task.train.X, task.train.y)
    print(model.certificate_)
    network, sequences = model.network_, as_sequences(task.test.X)
    expected = scores(network, sequences)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "xor.nir"
        nir.write(path, to_nir(network))  # weights divided by 1 - leak, dt = 1e-4
        graph = nir.read(path)
    back = scores(from_nir(graph, dtype="float32"), sequences)
    difference = float((back - expected).abs().max())
    print(f"read back: largest difference of an output {difference:.1e}")

    outputs = {"read back by convexsnn": back}
    with contextlib.suppress(ImportError):
        outputs["read by snnTorch"] = run_in_snntorch(graph, sequences.values)
        difference = float((outputs["read by snnTorch"] - expected).abs().max())
        print(f"snnTorch:  largest difference of an output {difference:.1e}")

    _, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", width_ratios=[3, 2])
    RasterDisplay.from_estimator(model, task.test.X, ax=left)
    for (name, own), marker in zip(outputs.items(), "o+", strict=False):
        right.scatter(expected.flatten(), own.flatten(), marker=marker, label=name, s=60, alpha=0.6)
    right.axline((0, 0), slope=1, color="C7", lw=0.8)
    right.set(xlabel="output of the network", ylabel="output of the graph")
    right.legend()
    return difference


@torch.no_grad()
def run_in_snntorch(graph, X):
    """Outputs after the last step, by snnTorch's importer."""
    from snntorch.import_nir import import_from_nir

    with contextlib.redirect_stdout(io.StringIO()):  # it prints the arrays that it reads
        module, state = import_from_nir(graph), None
    for x in X.float().unbind(dim=1):
        y, state = module(x, state)
    return y


if __name__ == "__main__":
    main()
    plt.show()
