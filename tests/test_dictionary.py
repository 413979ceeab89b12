"""Columns and dictionary: packing, products, duplicates, silent neurons."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import convexsnn.columns as columns_module
import convexsnn.dictionary as dictionary_module
import convexsnn.simulation as simulation_module
from convexsnn import Branch, Hidden, Layer, Threshold, as_sequences, build_dictionary, simulate
from convexsnn.columns import BitColumns, RealColumns, pack_bits, pack_rows, unpack_bits
from convexsnn.dictionary import distinct_rows
from helpers import draw_hidden, draw_sequences


@given(st.integers(1, 40), st.integers(0, 9), st.integers(0, 1000))
def test_bits_round_trip(n, P, seed):
    bits = torch.from_numpy(np.random.default_rng(seed).random((P, n)) < 0.5)
    packed = pack_bits(bits)
    assert packed.shape == (P, -(-n // 8))
    assert torch.equal(unpack_bits(packed, n) > 0, bits)
    assert torch.equal(pack_rows(bits.T), packed.T)
    for i in range(n):
        assert torch.equal((packed[:, i // 8] >> (i % 8)) & 1 > 0, bits[:, i])


@pytest.mark.parametrize("block", [1, 50, 2**20])
def test_products_are_those_of_the_matrix(monkeypatch, block):
    monkeypatch.setattr(columns_module, "CPU_BLOCK_ENTRIES", block)
    rng = np.random.default_rng(0)
    dense = torch.from_numpy(rng.random((13, 21)) < 0.4)
    W, U = torch.from_numpy(rng.normal(size=(21, 2))), torch.from_numpy(rng.normal(size=(13, 2)))
    W[::3] = 0.0
    for columns in (BitColumns(pack_bits(dense.T), 13), RealColumns(dense.T.to(torch.float64))):
        matrix = dense.to(torch.float64)
        assert columns.shape == (13, 21)
        assert torch.equal(columns.dense(), matrix)
        assert torch.allclose(columns.matmul(W), matrix @ W)
        assert torch.allclose(columns.rmatmul(U), matrix.T @ U)
        assert torch.allclose(columns.squares(U[:, 0] ** 2), (matrix**2).T @ U[:, 0] ** 2)
        chosen = torch.tensor([4, 0, 20])
        assert torch.equal(columns.take(chosen).dense(), matrix[:, chosen])


def test_products_without_columns():
    columns = BitColumns(torch.zeros(0, 2, dtype=torch.uint8), 13)
    assert columns.matmul(torch.zeros(0, 2, dtype=torch.float64)).shape == (13, 2)
    assert columns.rmatmul(torch.ones(13, 2, dtype=torch.float64)).shape == (0, 2)
    assert columns.dense().shape == (13, 0)


def threshold_branch(*biases):
    m = len(biases)
    return Branch((Layer(torch.ones(1, m).double(), Threshold(), bias=torch.tensor(biases).double()),))


@given(st.integers(0, 1000), st.integers(1, 30), st.integers(1, 3), st.sampled_from([1, 40, 2**20]), st.booleans())
def test_distinct_rows_are_the_first_of_their_kind(seed, P, width, block, real):
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 2, size=(P, width)).astype(np.float64 if real else np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dictionary_module, "BLOCK_BYTES", block)
        first, position = distinct_rows(torch.from_numpy(rows))
    seen = {}
    for i, row in enumerate(map(tuple, rows.tolist())):
        if any(row):
            seen.setdefault(row, i)
    assert first.tolist() == list(seen.values())
    places = {row: k for k, row in enumerate(seen)}
    assert position.tolist() == [places.get(row, -1) for row in map(tuple, rows.tolist())]


def test_duplicates_and_silent_neurons_are_remembered():
    # On inputs 0, 1, 2 a unit with bias -b fires where the input is at least b.
    hidden = Hidden(1, (threshold_branch(-1.0, -5.0, -0.5), threshold_branch(-2.0, -1.0, 9.0)))
    dictionary = build_dictionary(hidden, as_sequences(np.array([0.0, 1.0, 2.0]).reshape(3, 1, 1)))
    assert dictionary.columns.dense().T.tolist() == [[0, 1, 1], [0, 0, 1], [1, 1, 1]]
    assert dictionary.neuron_of.tolist() == [0, 3, 5]
    assert dictionary.column_of.tolist() == [0, -1, 0, 1, 0, 2]
    assert (dictionary.n_silent, dictionary.n_duplicates) == (1, 2)
    assert [hidden.owner(i) for i in dictionary.neuron_of.tolist()] == [(0, 0), (1, 0), (1, 2)]
    W = torch.tensor([[1.0], [2.0], [3.0]])
    assert dictionary.to_neurons(W).flatten().tolist() == [1, 0, 0, 2, 0, 3]
    assert torch.equal(dictionary.to_columns(dictionary.to_neurons(W)), W)
    assert dictionary.to_columns(torch.ones(6, 1)).flatten().tolist() == [3, 1, 1]


@pytest.mark.parametrize("readout", ["spike", "membrane", "analog"])
@pytest.mark.parametrize("every_step", [False, True])
def test_dictionary_holds_the_columns_of_the_simulation(monkeypatch, readout, every_step):
    monkeypatch.setattr(simulation_module, "CHUNK_FLOATS", 500)  # several chunks, of sizes that are no multiple of 8
    monkeypatch.setattr(simulation_module, "LEAST_SEQUENCES", 1)
    hidden = draw_hidden(readout=readout, every_step=every_step)
    sequences = draw_sequences(n=43, ragged=True)
    dictionary = build_dictionary(hidden, sequences)
    features = simulate(hidden, sequences).features.to(torch.float64)
    for neuron, column in enumerate(dictionary.column_of.tolist()):
        values = features[:, neuron]
        if column < 0:
            assert not values.any()
        else:
            assert torch.allclose(dictionary.columns.dense()[:, column], values)
    distinct = torch.unique(features[:, features.any(dim=0)], dim=1).shape[1]
    assert dictionary.columns.shape == (sequences.rows(every_step), distinct)


def test_progress_counts_rows(monkeypatch):
    monkeypatch.setattr(simulation_module, "CHUNK_FLOATS", 500)
    monkeypatch.setattr(simulation_module, "LEAST_SEQUENCES", 1)
    seen = []
    build_dictionary(draw_hidden(), draw_sequences(n=30), lambda done, total: seen.append((done, total)))
    assert seen[-1] == (30, 30)
    assert len(seen) > 1
