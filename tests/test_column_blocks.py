"""Columns that are kept while they are made: a killed fit goes on, on any number of processes, to the same result."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from convexsnn import Gaussian, Kernels, Reservoir, SpikingClassifier, SpikingRegressor, as_batches
from convexsnn.cli.app import run
from convexsnn.column_blocks import ColumnBlocks
from convexsnn.dictionary import build_dictionary
from convexsnn.observer import Observer
from convexsnn.ranks import Alone
from convexsnn.reading import DamagedFileError
from convexsnn.sequences import as_sequences
from convexsnn.sharded import ShardedSequences
from convexsnn.witnesses import Architecture, gaussian
from ranks import on_threads

N, T, D = 101, 5, 3
SMALL = Gaussian(depth=2, branches=1, last=12)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Seven sequences at a time, and a block whenever it can be."""
    monkeypatch.setattr("convexsnn.simulation._chunk_size", lambda *_: 7)
    monkeypatch.setattr("convexsnn.column_blocks.SECONDS", 0.0)
    monkeypatch.setattr("convexsnn.column_blocks.SHARE", 0.0)


def draw(seed=0):
    draws = np.random.default_rng(seed)
    X = draws.normal(size=(N, T, D))
    return X, (X[:, 0, 0] > 0).astype(int)


class KilledError(Exception):
    pass


def killing(rows):
    """An observer of a simulation that ends it when so many rows are done."""

    def simulated(done, _):
        if done >= rows:
            raise KilledError

    return simulated


def layers(readout, every_step=False):
    shape = Architecture(n_features=D, depth=2, branches=1, last=12, readout=readout, every_step=every_step)
    return gaussian(shape, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("readout", ["spike", "analog"])
@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("sizes", [(None, None), (None, 2), (1, 3), (3, 2), (2, None)])
def test_another_number_of_processes_goes_on_to_the_same_columns(readout, every_step, sizes, tmp_path):
    hidden, sequences = layers(readout, every_step), as_sequences(draw()[0])
    blocks, whole = ColumnBlocks(tmp_path / "columns", "of these"), build_dictionary(hidden, sequences)

    def killed(ranks):
        source = sequences if ranks is None else ShardedSequences(sequences, ranks)
        with pytest.raises(KilledError):
            build_dictionary(hidden, source, killing(100 if every_step else 20), blocks)

    def again(ranks, blocks=blocks):
        source, chunks = sequences if ranks is None else ShardedSequences(sequences, ranks), []
        found = build_dictionary(hidden, source, lambda *at: chunks.append(at), blocks)
        return found, found.columns.dense(), len(chunks)

    first, second = sizes
    killed(None) if first is None else on_threads(first, killed)
    results = [again(None)] if second is None else on_threads(second, again)
    anew = [again(None, None)] if second is None else on_threads(second, lambda ranks: again(ranks, None))
    assert sum(chunks for *_, chunks in results) < sum(chunks for *_, chunks in anew)
    for found, dense, _ in results:
        assert torch.equal(dense, whole.columns.dense())
        assert torch.equal(found.column_of, whole.column_of)
        assert (found.spike_margin, found.firing) == (whole.spike_margin, whole.firing)


@pytest.mark.parametrize("kind", [SpikingClassifier, SpikingRegressor])
@pytest.mark.parametrize("family", [SMALL, Kernels(last=12), Reservoir(last=12, sample_size=20)], ids=repr)
def test_a_killed_fit_goes_on_to_the_same_certificate(kind, family, tmp_path):
    X, y = draw()
    batches = as_batches([(X[:40], y[:40]), (X[40:], y[40:])])
    model = kind(witnesses=family, beta=0.1, random_state=0)
    expected = model.fit(batches, ranks=Alone()).certificate_
    with pytest.raises(KilledError):
        model.fit(batches, checkpoint=tmp_path, observer=Observer(simulated=killing(50)), ranks=Alone())
    begun = []
    model.fit(batches, checkpoint=tmp_path, observer=Observer(simulated=lambda *at: begun.append(at)), ranks=Alone())
    assert begun[0] >= (40, N)
    assert model.certificate_ == expected


def test_other_labels_have_the_same_columns(tmp_path):
    X, y = draw()
    model = SpikingClassifier(witnesses=SMALL, beta=0.1, random_state=0).fit(X, y, checkpoint=tmp_path)
    begun = []
    again = SpikingClassifier(witnesses=SMALL, beta=0.01, loss="hinge", random_state=0)
    again.fit(X, 1 - y, checkpoint=tmp_path, observer=Observer(simulated=lambda *at: begun.append(at)))
    assert begun[0] >= (96, N)  # a last byte that is not full is not kept
    assert again.certificate_ == clone(again).fit(X, 1 - y).certificate_
    assert model.certificate_ != again.certificate_


def test_blocks_of_other_data_are_left_alone_and_damaged_ones_are_refused(tmp_path):
    model, begun = SpikingClassifier(witnesses=SMALL, beta=0.1, random_state=0), []
    with pytest.raises(KilledError):
        model.fit(*draw(), checkpoint=tmp_path, observer=Observer(simulated=killing(50)))
    model.fit(*draw(1), checkpoint=tmp_path, observer=Observer(simulated=lambda *at: begun.append(at)))
    assert begun[0] == (7, N)
    path = min(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedFileError, match="delete the checkpoint to begin anew"):
        model.fit(*draw(), checkpoint=tmp_path)


def test_the_command_line_goes_on_and_takes_its_blocks_away(tmp_path, monkeypatch, capsys):
    X, y = draw()
    np.savez(tmp_path / "data.npz", X=X, y=y)
    command = ["fit", "--data", str(tmp_path / "data.npz"), "--witnesses", "gaussian", "--last", "12", "--beta", "0.1"]
    out, whole = tmp_path / "model", tmp_path / "whole"
    assert run([*command, "--out", str(whole)]) == 0
    write = ColumnBlocks.write

    def writing(*arguments):
        write(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ColumnBlocks, "write", writing)
        assert run([*command, "--out", str(out)]) == 130
    assert "columns is kept: the same command goes on from there" in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in out.iterdir()] == ["columns"]
    assert run([*command, "--out", str(out)]) == 0
    assert not (out / "columns").exists()
    assert (out / "certificate.json").read_bytes() == (whole / "certificate.json").read_bytes()
