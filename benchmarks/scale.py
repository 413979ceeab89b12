"""Peak memory and seconds of fits to sequences that are made batch by batch and never are in memory together.

    OMP_NUM_THREADS=1 python benchmarks/scale.py --rows 200000
    OMP_NUM_THREADS=1 python benchmarks/scale.py --rows 1000000 --losses logistic cross_entropy
    OMP_NUM_THREADS=1 python benchmarks/scale.py --rows 1000000 --columns-in /tmp
    OMP_NUM_THREADS=1 python benchmarks/scale.py --rows 1000000 --checkpoint /tmp/columns

Sequences have 20 steps of 4 numbers, or as many as --steps says: they cost seconds, and no memory. The first steps lie
around one of ten centres, whose number is the class, or of two classes whether it is odd. Each fit runs in a process of
its own, which says how much memory it had at most when all columns were there, and at the end. With columns in a file
this counts the pages of the file that the system holds in memory. With a checkpoint the first loss makes the columns,
and the others take them from there.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

FEATURES, CENTRES, BATCH = 4, 10, 8192


def batches(rows, classes, steps):
    """A function that makes the same batches in each pass; sequences do not depend on the number of classes."""
    centres = np.random.default_rng(0).normal(size=(CENTRES, FEATURES))

    def read():
        for start in range(0, rows, BATCH):
            draws, n = np.random.default_rng(1 + start), min(BATCH, rows - start)
            centre = draws.integers(CENTRES, size=n)
            X = draws.normal(size=(n, steps, FEATURES))
            X[:, : steps // 2] += centres[centre][:, None]
            yield X, centre % classes

    return read


def peak():
    """Mebibytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fit(loss, given):
    from convexsnn import Gaussian, SpikingClassifier, as_batches
    from convexsnn.observer import Observer

    rows, notes = given.rows, {"loss": loss, "rows": given.rows, "imported": peak()}
    begun = time.process_time()

    def simulated(done, total):
        if done == total:
            notes.update(simulated=peak(), simulate_seconds=time.process_time() - begun)
            print(f"  simulated: {notes['simulate_seconds']:.0f} s, {peak():.0f} MiB", file=sys.stderr, flush=True)

    def solved(progress):
        print(f"  {progress.iteration}: gap {progress.relative_gap:.1e}, {peak():.0f} MiB", file=sys.stderr, flush=True)

    classes = CENTRES if loss == "cross_entropy" else 2
    source = as_batches(batches(rows, classes, given.steps), columns_in=given.columns_in)
    family = Gaussian(depth=2, branches=1, last=given.neurons)
    model = SpikingClassifier(witnesses=family, loss=loss, beta=given.beta, tol=1e-4, random_state=0)
    model.fit(source, observer=Observer(simulated=simulated, solved=solved), checkpoint=given.checkpoint)
    certificate = model.certificate_
    packed = certificate.P * -(-rows // 8) / 2**20
    notes |= {"P": certificate.P, "packed": packed, "peak": peak(), "beyond": peak() - packed}
    notes |= {"seconds": time.process_time() - begun, "gap": certificate.relative_gap, "support": certificate.support}
    print(json.dumps({name: round(v, 6) if isinstance(v, float) else v for name, v in notes.items()}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--neurons", type=int, default=2048)
    parser.add_argument("--losses", nargs="+", default=["logistic", "cross_entropy"])
    parser.add_argument("--beta", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--columns-in")
    parser.add_argument("--checkpoint", help="a folder for columns, from which a run that was stopped goes on")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        fit(given.losses[0], given)
        return
    for loss in given.losses:
        own = [*sys.argv[1:], "--child", "--losses", loss]
        subprocess.run([sys.executable, __file__, *own], check=True)


if __name__ == "__main__":
    main()
