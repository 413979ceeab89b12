"""Peak memory of a large dictionary, and of fits to ever longer sequences.

    OMP_NUM_THREADS=1 python benchmarks/memory.py --what dictionary [--rows 60000] [--neurons 65536]
    OMP_NUM_THREADS=1 python benchmarks/memory.py --what lengths [--steps 20 200 2000]

The dictionary is that of one layer of random neurons on random images of 784 pixels, made in float32. The fits read
2000 sequences of random numbers, in four batches that are never together in memory, with 256 neurons in two layers.
Each figure is that of a process of its own. "Beyond" is what it had at most, less what it had when its data were there,
less the packed columns.
"""

import argparse
import subprocess
import sys
import time

import numpy as np
import torch

from scale import peak

PIXELS, SEQUENCES, BATCHES, LAST = 784, 2000, 4, 256


def report(what: str, before: float, packed: float, begun: float) -> None:
    seconds, beyond = time.process_time() - begun, peak() - before - packed
    print(f"| {what} | {before:.0f} | {packed:.0f} | {beyond:.0f} | {seconds:.0f} |", flush=True)


def dictionary(rows: int, neurons: int) -> None:
    from convexsnn.dictionary import build_dictionary
    from convexsnn.sequences import as_sequences
    from convexsnn.witnesses import Architecture, gaussian

    images = np.random.default_rng(0).random((rows, 1, PIXELS), dtype=np.float32)
    sequences = as_sequences(images)
    architecture = Architecture(PIXELS, depth=2, branches=2, last=neurons, readout="membrane", dtype="float32")
    hidden = gaussian(architecture, torch.Generator().manual_seed(0))
    before, begun = peak(), time.process_time()
    made = build_dictionary(hidden, sequences)
    report(f"dictionary {made.columns.shape}", before, made.columns.shape[1] * -(-rows // 8) / 2**20, begun)


def lengths(steps: int) -> None:
    from convexsnn import Gaussian, SpikingClassifier, as_batches

    def read():
        for number in range(BATCHES):
            draws = np.random.default_rng(number)
            y = draws.integers(2, size=SEQUENCES // BATCHES)
            yield draws.normal(size=(len(y), steps, 2)) + y[:, None, None], y

    for _ in read():
        pass  # so that one batch is counted among the data
    before, begun = peak(), time.process_time()
    model = SpikingClassifier(witnesses=Gaussian(depth=3, branches=2, last=LAST), beta=0.1, random_state=0)
    model.fit(as_batches(read))
    report(f"fit, {steps} steps", before, model.certificate_.P * SEQUENCES / 8 / 2**20, begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=("dictionary", "lengths"), required=True)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--neurons", type=int, default=65_536)
    parser.add_argument("--steps", nargs="+", type=int, default=[20, 200, 2000])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child and given.what == "dictionary":
        dictionary(given.rows, given.neurons)
    elif given.child:
        lengths(given.steps[0])
    else:
        print("| what | data MiB | packed MiB | beyond MiB | seconds |\n|---|---|---|---|---|", flush=True)
        for steps in given.steps if given.what == "lengths" else given.steps[:1]:
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--child", "--steps", str(steps)], check=True)


if __name__ == "__main__":
    main()
