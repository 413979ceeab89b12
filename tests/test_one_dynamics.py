"""Places that write the dynamics of LIF neurons out anew, each for a reason that it gives, agree with `LIF.step`.

All numbers are small multiples of powers of two, so sums are exact in any order, ties are many, and equal means equal.
"""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn import LIF, Branch, Hidden, Layer, Network, as_sequences, simulate
from convexsnn.export import to_torch
from convexsnn.neurons import RESETS
from convexsnn.prefixes import prefixes_of
from convexsnn.proof.model import StoredBranch, StoredHidden, StoredLayer
from convexsnn.proof.readouts import StoredReadout
from convexsnn.proof.simulation import simulate_exactly
from convexsnn.readouts import Membrane, Spike
from convexsnn.search.branches.population import Population, StackedLayer
from convexsnn.search.branches.simulator import columns
from convexsnn.surrogate import SurrogateShape
from convexsnn.surrogate.scan import ScanSettings, scan


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 100_000), reset=st.sampled_from(RESETS), recurrent=st.booleans(), biased=st.booleans())
def test_every_simulator_is_the_step(seed, reset, recurrent, biased):
    rng = np.random.default_rng(seed)
    n, T, d, m = 5, int(rng.integers(1, 7)), 2, 4
    eighths = lambda *shape: torch.from_numpy(rng.integers(-8, 9, size=shape) / 8)  # noqa: E731
    leak, threshold = (torch.from_numpy(rng.choice(v, size=m)) for v in ([0.0, 0.5, 1.0], [-0.5, 0.0, 0.5, 1.0]))
    neuron = LIF(leak, threshold, reset)
    layer = Layer(eighths(d, m), neuron, eighths(m, m) if recurrent else None, eighths(m) if biased else None)
    X = torch.from_numpy(rng.integers(-2, 3, size=(n, T, d)) / 2)

    state, s, spikes, membranes = neuron.initial_state(torch.zeros(n, m).double()), torch.zeros(n, m).double(), [], []
    for t in range(T):
        current = X[:, t] @ layer.weight + (s @ layer.recurrent if recurrent else 0) + (layer.bias if biased else 0)
        fired = neuron.step(current, state)
        state, s = fired.state, fired.spikes.double()
        spikes.append(fired.spikes)
        membranes.append(fired.membrane)
    spikes, membranes = torch.stack(spikes, dim=1), torch.stack(membranes, dim=1)
    rows = {"spike": spikes.flatten(0, 1), "membrane": (membranes >= 0).flatten(0, 1)}

    # The simulator of the library, which calls it.
    hidden = Hidden(d, (Branch((layer,)),), every_step=True)
    assert torch.equal(simulate(hidden, as_sequences(X)).features, rows["spike"])

    # Surrogate gradients.
    flow = (X @ layer.weight + (layer.bias if biased else 0)).transpose(0, 1).contiguous()
    scanned = scan(flow, layer.recurrent, leak, threshold, ScanSettings(reset, SurrogateShape(), True))
    assert torch.equal(scanned.spikes.transpose(0, 1) > 0, spikes)
    assert torch.equal(scanned.membrane.transpose(0, 1), membranes)

    # The search.
    together = lambda tensor: None if tensor is None else tensor[None]  # noqa: E731
    stacked = StackedLayer(*map(together, (layer.weight, layer.recurrent, layer.bias, leak, threshold)))
    prefixes = prefixes_of(as_sequences(X), every_step=True, dtype=torch.float64)
    for readout in (Spike(), Membrane()):
        population = Population((stacked,), "lif", reset, readout)
        found = columns(population, torch.zeros(m, dtype=torch.int64), torch.arange(m), prefixes)
        assert torch.equal(found.T, rows[readout.name])

    # The module that is exported.
    for readout in ("spike", "membrane"):
        network = Network(Hidden(d, hidden.branches, readout, every_step=True), torch.eye(m).double())
        with torch.no_grad():
            y, _ = to_torch(network)(X.transpose(0, 1))
        assert torch.equal(y.transpose(0, 1).flatten(0, 1) > 0, rows[readout])

    # The proof, which finds all of these decisions exact.
    plain = lambda tensor: None if tensor is None else tensor.numpy()  # noqa: E731
    weights = map(plain, (layer.weight, layer.recurrent, layer.bias))
    stored = StoredBranch((StoredLayer(*weights, reset, plain(leak), plain(threshold)),), None)
    for readout in ("spike", "membrane"):
        alone = StoredHidden(d, (stored,), StoredReadout(readout), True, np.dtype(np.float64))
        proved = simulate_exactly(alone, X.numpy(), np.full(n, T))
        assert np.array_equal(proved.columns, rows[readout].numpy())
        assert proved.undecided == 0
