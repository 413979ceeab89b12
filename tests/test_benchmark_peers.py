"""The benchmark's peers solve our program: each one that is installed gets to our optimum on a tiny one."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from convexsnn.columns import BitColumns, pack_bits
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.solvers import SolverOptions, solve

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import peers

# Those that compile at their first call are tried in the benchmark itself.
NAMES = [name for name in peers.PEERS if name not in ("skglm", "adelie", "celer")]


CASES = [(name, loss) for name in NAMES for loss in peers.PEERS[name].losses]


@pytest.mark.parametrize(("name", "loss"), CASES)
def test_peer_reaches_our_optimum(name: str, loss: str) -> None:
    classes = 3 if loss == "cross_entropy" else 2
    generator = torch.Generator().manual_seed(0)
    bits = torch.rand(12, 60, generator=generator) < 0.4
    labels = torch.randint(classes, (60,), generator=generator)
    targets = LOSSES[loss].encode(labels, classes)
    columns = BitColumns(pack_bits(bits), 60)
    program = ConvexProgram(columns, targets, LOSSES[loss], PENALTIES["l1"], 0.02, uniform_weights(60))
    assert peers.PEERS[name].takes(program)
    if find_spec(peers.PEERS[name].package) is None:
        pytest.skip(f"{name} is not installed")
    effort = 0 if name == "FISTA" else 2
    W = torch.as_tensor(peers.run(name, program, effort))
    best = solve(program, SolverOptions(1e-8)).certificate
    assert program.primal(W) == pytest.approx(best.primal, rel=1e-5)
    assert program.primal(W) >= best.dual
