"""
A round trip through NIR
========================

A certified network as a NIR graph: written to a file, read back, and run by snnTorch's importer where it is there.

python examples/nir_round_trip.py
"""

import tempfile
from pathlib import Path

import nir
import torch

from convexsnn import SpikingClassifier, as_sequences
from convexsnn.export import from_nir, to_nir
from convexsnn.simulation import scores
from convexsnn.tasks import TaskSettings, load_task


def main():
    """Train with hard reset and the spike readout, which NIR can express; export; compare outputs."""
    task = load_task("first-last-xor", TaskSettings(timesteps=4, seed=0))
    model = SpikingClassifier(
        reset="hard", leak=0.5, readout="spike", loss="hinge", beta=0.01, dtype="float32", random_state=0
    ).fit(task.train.X, task.train.y)
    print(model.certificate_)
    network, sequences = model.network_, as_sequences(task.test.X)
    expected = scores(network, sequences)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "xor.nir"
        nir.write(path, to_nir(network))  # weights divided by 1 - leak, dt = 1e-4
        graph = nir.read(path)
    back = scores(from_nir(graph, dtype="float32"), sequences)
    print(f"read back: largest difference of an output {float((back - expected).abs().max()):.1e}")

    try:
        from snntorch.import_nir import import_from_nir
    except ImportError:
        print("snnTorch is not installed: that was all")
        return float((back - expected).abs().max())
    module, state = import_from_nir(graph), None
    with torch.no_grad():
        for x in sequences.values.float().unbind(dim=1):
            y, state = module(x, state)
    print(f"snnTorch:  largest difference of an output {float((y - expected).abs().max()):.1e}")
    return float((y - expected).abs().max())


if __name__ == "__main__":
    main()
