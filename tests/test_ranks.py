"""Fits on several ranks: the same spikes as on one process, and the same fit for every number of ranks."""

import numpy as np
import pytest
import torch
from ranks import on_processes, on_threads

from convexsnn import Gaussian, SpikingClassifier, SpikingRegressor, as_batches
from convexsnn.columns import RealColumns
from convexsnn.dictionary import build_dictionary
from convexsnn.families import Heterogeneous, Kernels, Reservoir, Search
from convexsnn.ranks import Alone, dealt
from convexsnn.sequences import as_sequences
from convexsnn.sharded import ShardedColumns, ShardedSequences, rows_of_rank
from convexsnn.simulation import simulate_chunks
from convexsnn.verification import verify

SMALL = {"depth": 2, "branches": 1, "last": 40}


def draw(n=60, steps=9, seed=0):
    g = np.random.default_rng(seed)
    X = g.normal(size=(n, steps, 3))
    return X, (X[:, :4].mean(axis=(1, 2)) > 0).astype(int) + (X[:, -1, 0] > 1)


def hidden_of(family, X, every_step=False):
    model = SpikingClassifier(witnesses=family, random_state=0, per_step=every_step)
    y = np.zeros(X.shape[:2], int) if every_step else np.zeros(len(X), int)
    y[:2] = 1
    return model.fit(X, y).trained_.witnesses


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("readout", ["spike", "rate"])
def test_dictionaries_are_those_of_one_process(size, every_step, readout, monkeypatch):
    monkeypatch.setattr("convexsnn.simulation.CHUNK_FLOATS", 2**10)
    monkeypatch.setattr("convexsnn.simulation.LEAST_SEQUENCES", 3)
    X, _ = draw(n=45)
    lengths = np.random.default_rng(1).integers(1, 10, size=45)
    hidden = hidden_of(Gaussian(**SMALL, readout=readout), X[:4], every_step)
    sequences = as_sequences(X, lengths=lengths)
    assert len(list(simulate_chunks(hidden, sequences))) > 4
    plain = build_dictionary(hidden, sequences)
    for found in on_threads(size, lambda ranks: everything(build_dictionary(hidden, ShardedSequences(sequences, ranks)))):
        assert all(map(torch.equal, found[0], (plain.neuron_of, plain.column_of, plain.columns.dense())))
        assert found[1:] == (plain.spike_margin, plain.firing)


def everything(dictionary):
    facts = (dictionary.neuron_of, dictionary.column_of, dictionary.columns.dense())
    return facts, dictionary.spike_margin, dictionary.firing


FAMILIES = {
    "gaussian": (Gaussian(**SMALL), {"loss": "logistic"}),
    "heterogeneous": (Heterogeneous(**SMALL), {"beta": 0.3}),
    "reservoir": (Reservoir(**SMALL, leak_grid=(0.9,), threshold_grid=(1.0,), scale_grid=(0.5, 1.0)), {"penalty": "group"}),
    "kernels": (Kernels(last=40), {"columns": 20}),
    "folds": (Gaussian(**SMALL), {"loss": "hinge", "beta": (0.3, 0.1)}),
    "intercept": (Gaussian(**SMALL) + Heterogeneous(**SMALL), {"penalty": "elastic", "intercept": True}),
}


def facts_of(model):
    trained = model.trained_
    return trained.certificate, trained.W, trained.U, trained.data_digest, model.beta_


@pytest.mark.parametrize("name", FAMILIES)
def test_fits_are_the_same_for_every_number_of_ranks(name):
    family, settings = FAMILIES[name]
    X, y = draw()
    y = np.minimum(y, 1) if settings.get("loss") in ("logistic", "hinge") else y
    model = SpikingClassifier(witnesses=family, random_state=0, **settings)

    def work(ranks):
        own = SpikingClassifier(**model.get_params(deep=False)).fit(X, y, ranks=ranks)
        problem = own.problem(X, y).over(ranks)
        assert verify(own.trained_, own.certificate_, problem).problems == ()
        return facts_of(own)

    alone = work(Alone())
    for size in (2, 3):
        for found in on_processes(size, work):
            assert found[0] == alone[0]
            assert all(map(torch.equal, found[1:3], alone[1:3]))
            assert found[3:] == alone[3:]
    plain = model.fit(X, y)
    assert (plain.trained_.data_digest, plain.beta_) == alone[3:]
    assert abs(plain.certificate_.primal - alone[0].primal) <= 2e-6 * alone[0].primal
