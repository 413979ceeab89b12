"""What work takes in memory beyond its input and its result, measured in a process of its own."""

import subprocess
import sys

import pytest

PREAMBLE = """
import resource
import numpy as np, torch
from convexsnn import Architecture, Gaussian, SpikingClassifier, as_sequences, gaussian, simulate
from convexsnn.dictionary import distinct_rows
torch.set_num_threads(1)  # threads are not copied
most = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
random = np.random.default_rng(0)
small = SpikingClassifier(witnesses=Gaussian(depth=2, branches=1, last=16), random_state=0)
small.fit(random.normal(size=(6, 5, 2)), [0, 1] * 3)
"""
# Work, and the MiB that it may take: the states of all steps would be 630, one more copy of the input 150.
WORK = {
    "states are not kept": (
        "hidden = gaussian(Architecture(2), torch.Generator().manual_seed(0))\n"
        "sequences = as_sequences(random.normal(size=(400, 270, 2)))",
        "simulate(hidden, sequences)",
        200,
    ),
    "wide dictionaries are not copied": (
        "rows = torch.from_numpy(random.integers(256, size=(150_000, 1000), dtype=np.uint8))",
        "distinct_rows(rows)",
        100,
    ),
    "weights of one copy nothing": (
        "X = random.normal(size=(1000, 500, 40)); y = (X[:, 0, 0] > 0).astype(int)",
        "small.fit(X, y, sample_weight=np.ones(1000))",
        400,
    ),
}


# Each work has a copy of the process that has loaded and compiled all: what it takes is what the copy grows by.
EACH = """
import os
for what, (given, work, _) in WORK.items():
    if os.fork() == 0:
        exec(given)
        before = most()
        exec(work)
        print(what, most() - before, sep=":", flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def taken():
    """MiB that each work takes."""
    code = f"WORK = {WORK!r}\n{PREAMBLE}\n{EACH}"
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    return dict(line.split(":") for line in ran.stdout.splitlines())


@pytest.mark.parametrize("what", WORK)
def test_memory_stays_within(taken, what):
    assert float(taken[what]) < WORK[what][2]
