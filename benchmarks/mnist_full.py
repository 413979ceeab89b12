"""Sequential MNIST with all 60 000 images, row by row: surrogate gradients, and the convex readout of the same neurons.

    python benchmarks/mnist_full.py [--data-dir DIR] [--seed 0] [--out mnist-full]

One recurrent layer of LIF neurons; the spikes of the last step are the only readout. 2000 of the images are for
validation. Training goes on from the checkpoint in --out after it has been killed.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from convexsnn import SpikingClassifier
from convexsnn.bench.cells import CELLS
from convexsnn.bench.methods import SENSIBLE, load_setup, sensible_start
from convexsnn.penalties import PENALTIES
from convexsnn.surrogate import train_surrogate

CELL = replace(CELLS["mnist-T14-L3"], timesteps=28, sizes=(58_000, 2000, 10_000))
BETAS = (0.01, 0.03, 0.1, 0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("mnist-full"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--neurons", type=int, default=768)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    setup = load_setup(CELL, options.seed, options.data_dir, options.out)
    start = sensible_start(setup, options.neurons).to(options.device)
    problem = replace(setup.problem("cross_entropy", 0.01, options.neurons), penalty=PENALTIES["group"])
    settings = replace(SENSIBLE, epochs=options.epochs, batch_size=128, learning_rate=3e-3, dropout=options.dropout)
    trained = train_surrogate(
        start,
        problem,
        settings,
        seed=options.seed,
        validation=setup.validation(),
        on_epoch=lambda epoch: print(epoch, flush=True),
        checkpoint=options.out / f"sg-{options.seed}.safetensors",
    )
    network, task = trained.network.to("cpu"), setup.task
    print(
        f"SG: test {100 * setup.accuracy(network, 'test'):.2f} %, objective {problem.objective(trained.network):.5f}",
        flush=True,
    )
    began = time.perf_counter()
    model = SpikingClassifier(witnesses=network.hidden, penalty="group", beta=list(BETAS), device=options.device)
    model.fit(task.train.X, task.train.y, validation=(task.val.X, task.val.y))
    test, seconds = 100.0 * model.score(task.test.X, task.test.y), time.perf_counter() - began
    print(f"SG-CVX: test {test:.2f} %, beta {model.beta_}, {seconds:.0f} s; {model.certificate_}")


if __name__ == "__main__":
    main()
