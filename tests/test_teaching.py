"""Few kernels that are taught what many answer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from sklearn.datasets import load_digits

from convexsnn import Kernels, SpikingClassifier, SpikingRegressor, teaching
from convexsnn.kernel_search import noisy
from convexsnn.network import Hidden, Network
from convexsnn.sequences import Sequences
from convexsnn.simulation import scores
from convexsnn.teaching import can_be_taught, taught
from convexsnn.validation import Accuracy
from convexsnn.verification import verify
from convexsnn.witnesses import InputView, with_constant
from convexsnn.witnesses.kernels import KernelShape, kernels

PIXELS, LABELS = load_digits(return_X_y=True)
IMAGES = PIXELS.reshape(-1, 8, 8)
GIVEN = Sequences(torch.from_numpy(IMAGES[:150]), torch.full((150,), 8, dtype=torch.int64))
"""Digits, row by row."""


def networks(given: Sequences) -> tuple[Network, Network]:
    """A network of few kernels and one of many, with weights of their own, each with a neuron that always fires."""
    generator = torch.Generator().manual_seed(0)
    many = with_constant(kernels(given, generator, KernelShape(neurons=120)))
    few = with_constant(kernels(given, generator, KernelShape(neurons=6, lengths=(3,))))
    W = 0.2 * torch.randn(many.n_last, 4, generator=generator, dtype=torch.float64)
    W[-1] -= (columns(many, given) @ W).mean(dim=0)  # so that no class is always the answer
    large = Network(many, W)
    return Network(few, best_weights(few, large, given)), large


def best_weights(hidden: Hidden, many: Network, sequences: Sequences) -> torch.Tensor:
    """The output weights (P_last, C) with which neurons answer most like `many`."""
    return torch.linalg.lstsq(columns(hidden, sequences), scores(many, sequences)).solution


def columns(hidden: Hidden, sequences: Sequences) -> torch.Tensor:
    return scores(Network(hidden, torch.eye(hidden.n_last, dtype=torch.float64)), sequences)


def error(hidden: Hidden, many: Network, sequences: Sequences) -> float:
    """How far the answers are apart, with the best output weights."""
    answers = columns(hidden, sequences) @ best_weights(hidden, many, sequences)
    return float((answers - scores(many, sequences)).square().mean())


def test_kernels_learn_to_answer_as_many_do() -> None:
    few, many = networks(GIVEN)
    hidden = taught(few, many, GIVEN, Accuracy(), seed=0)
    others = noisy(GIVEN, torch.Generator().manual_seed(9))
    assert error(hidden, many, others) < 0.95 * error(few.hidden, many, others)
    assert taught(few, many, GIVEN, Accuracy(), seed=0).equals(hidden)
    assert not taught(few, many, GIVEN, Accuracy(), seed=1).equals(hidden)


def test_a_neuron_that_always_fires_stays_so() -> None:
    few, many = networks(GIVEN)
    assert [can_be_taught(branch) for branch in few.hidden.branches[-2:]] == [True, False]
    old, new = few.hidden.branches[-1].last, taught(few, many, GIVEN, Accuracy(), seed=0).branches[-1].last
    assert torch.equal(new.weight, old.weight)
    assert new.neuron is old.neuron


def test_what_answers_alike_stays_as_it_is() -> None:
    _, many = networks(GIVEN)
    assert taught(many, many, GIVEN, Accuracy(), seed=0) is many.hidden


def test_units_of_the_features_do_not_matter() -> None:
    few, many = networks(GIVEN)
    scale = torch.ones(8, dtype=torch.float64)
    scale[2], scale[5] = 2.0**12, 2.0**-9

    def scaled(network: Network) -> Network:
        return replace(network, hidden=InputView(torch.zeros_like(scale), scale).inside(network.hidden))

    other = Sequences(GIVEN.values * scale, GIVEN.lengths)
    expected = scaled(replace(few, hidden=taught(few, many, GIVEN, Accuracy(), seed=0))).hidden
    assert taught(scaled(few), scaled(many), other, Accuracy(), seed=0).equals(expected)


def test_few_columns_of_a_classifier_are_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = IMAGES, LABELS
    fit = lambda: SpikingClassifier(witnesses=Kernels(last=400), columns=20, random_state=0).fit(X[:150], y[:150])  # noqa: E731
    model = fit()
    assert model.certificate_.support <= 20
    assert model.certificate_.relative_gap < 1e-6
    assert verify(model.trained_, model.certificate_, model.problem(X[:150], y[:150])).problems == ()
    monkeypatch.setattr(teaching, "ENOUGH", 0.0)  # nothing is taught
    assert model.score(X[600:], y[600:]) > fit().score(X[600:], y[600:]) + 0.02


def test_few_columns_of_a_regression_are_taught(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(300, 12, 2, generator=generator, dtype=torch.float64).numpy()
    y = X[:, 3:9, 0].sum(axis=1) * X[:, 5, 1]
    fit = lambda: SpikingRegressor(witnesses=Kernels(last=300), columns=8, random_state=0).fit(X[:200], y[:200])  # noqa: E731
    model = fit()
    assert verify(model.trained_, model.certificate_, model.problem(X[:200], y[:200])).problems == ()
    monkeypatch.setattr(teaching, "ENOUGH", -float("inf"))
    assert not model.network_.hidden.equals(fit().network_.hidden)
