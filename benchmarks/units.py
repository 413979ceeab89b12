"""Features in units of their own: what `standardise` is worth to neurons that are drawn.

    OMP_NUM_THREADS=1 python benchmarks/units.py [--seeds 3]

The data are JapaneseVowels, which aeon brings with it: as they come, and with each feature in a unit of its own, from a
thousandth to a thousand, and a hundred units above zero. Prints a Markdown table of test accuracy in per cent.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import numpy as np

from convexsnn import Gaussian, Heterogeneous, Reservoir, SpikingClassifier
from convexsnn.families import WitnessFamily
from series import Split, load

FAMILIES = {"Gaussian": Gaussian, "Heterogeneous": Heterogeneous, "Reservoir": Reservoir}


def in_other_units(part: Split) -> Split:
    """The same sequences with each feature in a unit of its own."""
    unit = 10.0 ** np.linspace(-3.0, 3.0, part.X[0].shape[1])
    return Split([unit * (x + 100.0) for x in part.X], part.y)


def accuracy(family: WitnessFamily, change: Callable[[Split], Split], seeds: int) -> str:
    """A cell of the table."""
    found = []
    for seed in range(seeds):
        train, test = map(change, load("JapaneseVowels", seed, None))
        model = SpikingClassifier(
            witnesses=family, loss="squared", penalty="ridge", beta="path", random_state=seed
        ).fit(train.X, train.y)
        found.append(100.0 * float(np.mean(model.predict(test.X) == test.y)))
    return f"{np.mean(found):.1f} ± {np.std(found):.1f}"


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    warnings.simplefilter("ignore")
    print("| 400 neurons, rates | as they come | in other units |\n|---|---|---|")
    for name, kind in FAMILIES.items():
        for standardise in (False, True):
            family = kind(depth=2, last=400, readout="rate", standardise=standardise)
            cells = [accuracy(family, change, seeds) for change in (lambda part: part, in_other_units)]
            print(f"| `{name}`{', `standardise`' if standardise else ''} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
