"""A seed gives the same bits on one thread and on two, under every hash seed, and in every process."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import hashlib, sys
import numpy as np, torch
torch.set_num_threads(int(sys.argv[1]))
from convexsnn import Exact, Gaussian, Search, SpikingClassifier

random = np.random.default_rng(0)
families = (Gaussian(depth=2, last=60, readout="spike"), Search(depth=2, effort=2e6), Exact(leak=0.9, readout="spike"))
for witnesses, loss in zip(families, ("cross_entropy", "hinge", "squared")):
    n = 400 if isinstance(witnesses, Gaussian) else 10
    X = random.normal(size=(n, 3 if n > 10 else 2, 2))
    y = (X[:, 0, 0] * X[:, -1, 1] > 0).astype(int)
    model = SpikingClassifier(witnesses=witnesses, loss=loss, rho=0.02, random_state=0).fit(X, y)
    parts = [tensor.numpy().tobytes() for tensor in (model.trained_.W, model.trained_.U)]
    print(hashlib.sha256(b"".join(parts) + model.certificate_.to_json().encode()).hexdigest())
"""


def digests(threads, hash_seed):
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(hash_seed)}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(threads)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture(scope="module")
def first():
    return digests(1, 0)


@pytest.mark.parametrize(("threads", "hash_seed"), [(1, 12345), (2, 7)])
def test_weights_dual_vectors_and_certificates_are_the_same_bits(first, threads, hash_seed):
    assert len(first) == 3
    assert digests(threads, hash_seed) == first
