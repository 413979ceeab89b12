"""Fits on several ranks: the same spikes as on one process, and the same fit for every number of ranks."""

import numpy as np
import pytest
import torch

from convexsnn import Gaussian, SpikingClassifier, as_batches
from convexsnn.cli.app import run
from convexsnn.dictionary import build_dictionary
from convexsnn.families import Heterogeneous, Kernels, Reservoir, Search
from convexsnn.ranks import Alone, check_alike, dealt
from convexsnn.sequences import as_sequences
from convexsnn.sharded import ShardedSequences
from convexsnn.simulation import simulate_chunks
from convexsnn.verification import verify
from ranks import as_torchrun, on_processes, on_threads

SMALL = {"depth": 2, "branches": 1, "last": 20}
CRITICAL = Reservoir(**SMALL, leak_grid=(0.9,), threshold_grid=(1.0,), scale_grid=(1.0,))
# Each family that samples, with settings that take different ways through a fit.
MODELS = [
    SpikingClassifier(witnesses=family, random_state=0, **settings)
    for family, settings in (
        (Gaussian(**SMALL), {"loss": "logistic"}),
        (Gaussian(**SMALL), {"beta": (0.3, 0.1), "validation_fraction": 0.3}),
        (Heterogeneous(**SMALL) + Gaussian(**SMALL), {"intercept": True, "penalty": "elastic"}),
        (CRITICAL, {"penalty": "group"}),
        (Kernels(last=30), {"columns": 20}),
        (Kernels(last=60), {"columns": 4}),  # which are taught
        (Search(effort=2e6, depth=2, width=3, population=8), {"beta": 0.3}),
    )
]


def draw(n=40, steps=9, seed=0):
    g = np.random.default_rng(seed)
    X = g.normal(size=(n, steps, 3))
    return X, (X[:, :4].mean(axis=(1, 2)) > 0).astype(int)


def hidden_of(family, X, every_step=False):
    model = SpikingClassifier(witnesses=family, random_state=0, per_step=every_step)
    y = np.zeros(X.shape[:2], int) if every_step else np.zeros(len(X), int)
    y[:2] = 1
    return model.fit(X, y).trained_.witnesses


def everything(dictionary):
    facts = (dictionary.neuron_of, dictionary.column_of, dictionary.columns.dense())
    return facts, dictionary.spike_margin, dictionary.firing


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("readout", ["spike", "rate"])
def test_dictionaries_are_those_of_one_process(every_step, readout, monkeypatch):
    monkeypatch.setattr("convexsnn.simulation.CHUNK_FLOATS", 2**10)
    monkeypatch.setattr("convexsnn.simulation.LEAST_SEQUENCES", 3)
    X, _ = draw(n=45)
    lengths = np.random.default_rng(1).integers(1, 10, size=45)
    hidden = hidden_of(Gaussian(**SMALL, readout=readout), X[:4], every_step)
    sequences = as_sequences(X, lengths=lengths)
    assert len(list(simulate_chunks(hidden, sequences))) > 4
    plain = build_dictionary(hidden, sequences)
    batches = as_batches([{"X": [x[:steps] for x, steps in zip(X, lengths, strict=True)]}])
    for size, source in ((2, sequences), (3, batches), (12, sequences)):
        work = lambda ranks: everything(build_dictionary(hidden, ShardedSequences(source, ranks)))  # noqa: B023, E731
        for found in on_threads(size, work):
            assert all(map(torch.equal, found[0], (plain.neuron_of, plain.column_of, plain.columns.dense())))
            assert found[1:] == (plain.spike_margin, plain.firing)


def fit_all(ranks):
    X, y = draw()
    found = []
    for model in MODELS:
        own = SpikingClassifier(**model.get_params(deep=False)).fit(X, y, ranks=ranks)
        trained = own.trained_
        assert verify(trained, own.certificate_, own.problem(X, y).over(ranks)).problems == ()
        found.append((trained.W, trained.U, trained.certificate, trained.data_digest, own.beta_))
    return found


def test_fits_and_verification_are_those_of_one_rank():
    X, y = draw()
    alone = fit_all(Alone())
    for found in on_processes(3, fit_all):
        for one, other in zip(found, alone, strict=True):
            assert all(map(torch.equal, one[:2], other[:2]))
            assert one[2:] == other[2:]
    for model, own in zip(MODELS, alone, strict=True):
        model.fit(X, y)
        assert model.trained_.data_digest == own[3]
        assert model.beta_ == pytest.approx(own[4], rel=1e-12)
        assert model.certificate_.primal == pytest.approx(own[2].primal, rel=2e-6)


DIGITS = ["--task", "digits", "--n-train", "60", "--n-val", "20", "--n-test", "20", "--timesteps", "4"]
FIT = ["fit", *DIGITS, "--witnesses", "gaussian", "--depth", "2", "--branches", "1", "--last", "20", "--beta", "1"]


def test_of_several_processes_one_speaks_and_writes(tmp_path):
    made = str(tmp_path / "made")
    first, second = as_torchrun(2, [*FIT, "--beta", "0.3", "--out", made])
    assert (first[0], second[0], second[1:]) == (0, 0, ("", ""))
    assert "written to" in first[1]
    assert run(["verify", "--model", made, "--task", "digits"]) == 0
    for status, said, _ in as_torchrun(2, ["verify", "--model", made, "--task", "digits"]):
        assert status == 0
        assert said == "" or said.rstrip().endswith("the certificate holds")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([*FIT, "--beta", "-1"], "beta[1] must be more than 0"),
        (["fit", *DIGITS, "--witnesses", "surrogate"], "witnesses='surrogate' needs all sequences in memory"),
        ([*FIT, "--device", "cuda"], "start it without torchrun"),
        (["predict"], "predict is the work of one process: start it without torchrun"),
    ],
)
def test_all_processes_fail_with_one_message(arguments, reason, tmp_path):
    out = tmp_path / "made"
    found = as_torchrun(2, [*arguments, "--out", str(out)])
    assert [status for status, _, _ in found] == [2, 2]
    said = "".join(errors for _, _, errors in found)
    assert said.count("error:") == 1
    assert reason in said
    assert not out.exists()


def test_a_process_that_fails_alone_says_why(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError("the disk is full")

    monkeypatch.setattr("convexsnn.cli.fitting.write_model", fails)
    found = as_torchrun(2, [*FIT, "--out", str(tmp_path / "made")])
    assert [status for status, _, _ in found] == [2, 2]
    assert found[0][2].endswith("error: the disk is full\n")
    assert found[1][2] == ""


def test_what_is_the_work_of_one_process_is_refused():
    X, y = draw()
    with pytest.raises(ValueError, match="witnesses='surrogate' needs all sequences in memory, and X is spread over"):
        SpikingClassifier(witnesses="surrogate").fit(X, y, ranks=Alone())
    with pytest.raises(ValueError, match="seconds go by the clock of one process"):
        SpikingClassifier(witnesses=Search(seconds=1.0)).fit(X, y, ranks=Alone(0, 2))
    with pytest.raises(ValueError, match="witnesses='search' needs all sequences in memory"):
        SpikingClassifier(witnesses="search").fit(as_batches([(X, y)]), ranks=Alone())


def test_work_is_dealt_evenly_and_all_of_it():
    costs = [9.0, 1.0, 1.0, 7.0, 3.0, 3.0, 3.0, 1.0]
    shares = [dealt(costs, Alone(rank, 3)) for rank in range(3)]
    assert sorted(piece for share in shares for piece in share) == list(range(8))
    assert max(sum(costs[i] for i in share) for share in shares) == 10.0
    assert dealt(costs, Alone()) == list(range(8))


def test_what_differs_between_ranks_is_said():
    def work(ranks):
        check_alike(b"same", "the data", ranks)
        with pytest.raises(ValueError, match=r"the data must be the same in every process, but differs in \[2\] from"):
            check_alike(b"other" if ranks.rank == 2 else b"same", "the data", ranks)
        return True

    assert on_threads(3, work) == [True] * 3
