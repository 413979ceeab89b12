"""Surrogate-gradient training: exact forward, gradients as automatic differentiation has them, and resuming."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from convexsnn import Problem
from convexsnn.losses import LOSSES
from convexsnn.network import Network
from convexsnn.penalties import PENALTIES
from convexsnn.simulation import scores
from convexsnn.surrogate import SurrogateSettings, SurrogateShape, initial_network, train_surrogate
from convexsnn.surrogate.batches import TrainingData
from convexsnn.surrogate.module import Gradients, TrainableNetwork
from convexsnn.surrogate.run import TRAINED_AT_ONCE
from convexsnn.surrogate.scan import ScanSettings, scan
from convexsnn.surrogate.shapes import SHAPES
from convexsnn.validation import Accuracy, Validation
from convexsnn.witnesses import Architecture
from helpers import KINDS, draw_hidden, draw_sequences, generator


def with_weights(hidden, outputs=3):
    return Network(hidden, torch.randn(hidden.n_last, outputs, generator=generator(1), dtype=torch.float64))


@pytest.mark.parametrize("kind", [*KINDS, "delayed"])
@pytest.mark.parametrize("readout", ["spike", "membrane", "analog"])
@pytest.mark.parametrize("every_step", [False, True])
def test_the_module_computes_what_the_simulation_does(kind, readout, every_step):
    settings = {"reset": "delayed"} if kind == "delayed" else {}
    hidden = draw_hidden("LIF soft" if settings else kind, readout=readout, every_step=every_step, **settings)
    network, sequences = with_weights(hidden), draw_sequences(ragged=True)
    module = TrainableNetwork(network, Gradients(SurrogateShape()), torch.float64)
    torch.testing.assert_close(module(sequences.values, sequences.lengths), scores(network, sequences))
    assert module.to_network().equals(network)


class Fire(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, surrogate):
        ctx.save_for_backward(x)
        ctx.surrogate = surrogate
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.surrogate.derivative(ctx.saved_tensors[0]), None


def naive(current, recurrent, leak, threshold, settings):
    """The same layer one operation after another, with automatic differentiation."""
    v = torch.zeros_like(current[0])
    s = torch.zeros_like(current[0])
    spikes, membranes = [], []
    for x in current:
        potential = leak * v + x + (0 if recurrent is None else s @ recurrent)
        in_reset = lambda s: s.detach() if settings.detach_reset else s  # noqa: E731
        if settings.reset == "delayed":
            potential = potential - threshold * in_reset(s)
        s = Fire.apply(potential - threshold, settings.surrogate)
        if settings.reset == "soft":
            v = potential - threshold * in_reset(s)
        elif settings.reset == "hard":
            v = potential * (1 - in_reset(s))
        else:
            v = potential
        spikes.append(s)
        membranes.append(v)
    return torch.stack(spikes), torch.stack(membranes)


@pytest.mark.parametrize("reset", ["soft", "hard", "none", "delayed"])
@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("with_recurrence", [False, True])
def test_gradients_are_those_of_automatic_differentiation(reset, detach_reset, with_recurrence):
    T, n, m = 6, 4, 5
    g = generator(3)
    draw = lambda *shape: torch.randn(shape, generator=g, dtype=torch.float64)  # noqa: E731
    arguments = [draw(T, n, m) + 0.5, draw(m, m) if with_recurrence else None, draw(m).sigmoid(), draw(m).abs() + 0.3]
    to_spikes, to_membrane = draw(T, n, m), draw(T, n, m)
    settings = ScanSettings(reset, SurrogateShape("arctan", 1.5), detach_reset)
    results = []
    for function in (scan, naive):
        leaves = [None if a is None else a.clone().requires_grad_() for a in arguments]
        spikes, membrane = function(*leaves, settings)
        ((spikes * to_spikes).sum() + (membrane * to_membrane).sum()).backward()
        results.append([spikes.detach(), membrane.detach(), *(a.grad for a in leaves if a is not None)])
    assert 0 < results[0][0].mean() < 1
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_bumps_of_height_one(shape):
    x = torch.arange(-30, 31, dtype=torch.float64) / 10
    values = SurrogateShape(shape, 0.5).derivative(x)
    assert values[30] == 1.0
    torch.testing.assert_close(values, values.flip(0))
    assert bool((values[:30].diff() >= 0).all())


def test_bad_settings_name_themselves():
    for settings, message in [
        ({"surrogate": "arctangent"}, "surrogate"),
        ({"surrogate_width": 0.0}, "width"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"dropout": 1.0}, "dropout"),
        ({"schedule": "linear"}, "schedule"),
        ({"path_norm": "yes"}, "path_norm"),
    ]:
        with pytest.raises(ValueError, match=message):
            SurrogateSettings(**settings)


@pytest.mark.parametrize("readout", ["spike", "membrane", "analog"])
@pytest.mark.parametrize("every_step", [False, True])
def test_dropout_silences_what_is_read_of_a_last_layer(readout, every_step):
    """With one hidden layer and another readout than spikes it silenced nothing."""
    architecture = Architecture(3, depth=2, branches=1, last=40, readout=readout, every_step=every_step)
    start = initial_network(architecture, 1, generator(0))
    module = TrainableNetwork(Network(start.hidden, torch.eye(40, dtype=torch.float64)), Gradients(SurrogateShape()))
    sequences = draw_sequences(5, 6, 3, ragged=every_step)
    values, lengths = sequences.values.to(torch.float32) + 2.0, sequences.lengths
    whole, thin = module(values, lengths), module(values, lengths, 0.5, generator(1))
    scaled = torch.isclose(thin, 2.0 * whole)
    assert bool((scaled | (thin == 0.0)).all())
    silenced = (thin == 0.0) & (whole != 0.0)
    share = float(silenced.sum() / (whole != 0.0).sum())
    assert 0.3 < share < 0.7
    if every_step:  # for all steps of a sequence
        first = slice(0, int(lengths[0]))
        neither = (whole[first] != 0.0).any(0) & (silenced[first].any(0) & (thin[first] != 0.0).any(0))
        assert not bool(neither.any())


def xor_problem(every_step=False, n=120, T=4):
    rng = np.random.default_rng(0)
    sequences = draw_sequences(n, T, 3, ragged=every_step)
    rows = sequences.rows(every_step)
    labels = torch.from_numpy(rng.integers(2, size=rows))
    if not every_step:
        labels = (sequences.values[:, -1, 0] > 0.5).to(torch.int64)
    targets = LOSSES["cross_entropy"].encode(labels, 2)
    return Problem(sequences, targets, LOSSES["cross_entropy"], PENALTIES["l1"], 1e-3, every_step=every_step)


def small_network(every_step=False, **settings):
    architecture = Architecture(3, branches=1, hidden=12, last=16, every_step=every_step, **settings)
    return initial_network(architecture, 2, generator(0), gain=2.0)


@pytest.mark.parametrize("settings", [{}, {"recurrent": True, "bias": True}, {"neuron": "threshold", "bias": True}])
def test_training_lowers_the_objective(settings):
    problem, start = xor_problem(), small_network(readout="spike", **settings)
    result = train_surrogate(start, problem, SurrogateSettings(epochs=30, batch_size=16, learning_rate=2e-2), seed=1)
    assert problem.objective(result.network) < 0.8 * problem.objective(start)
    assert len(result.history) == 30
    assert result.epoch == 30


@pytest.mark.parametrize("every_step", [False, True])
def test_the_gradient_of_a_batch_may_be_taken_piece_by_piece(monkeypatch, every_step):
    problem, start = xor_problem(every_step), small_network(every_step)
    settings = SurrogateSettings(epochs=3, batch_size=None, clip_norm=0.1)
    histories = []
    for at_once in (1000, 7):
        monkeypatch.setitem(TRAINED_AT_ONCE, "cpu", at_once)
        result = train_surrogate(start, problem, settings, seed=1)
        histories.append([epoch.objective for epoch in result.history])
        assert histories[-1][0] == pytest.approx(problem.objective(start), rel=1e-5)
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-5)


def test_a_finished_run_at_a_constant_rate_can_be_made_longer(tmp_path):
    problem, start, file = xor_problem(), small_network(), tmp_path / "checkpoint.safetensors"
    settings = SurrogateSettings(epochs=5, batch_size=32, schedule="constant")
    whole = train_surrogate(start, problem, settings, seed=2)
    train_surrogate(start, problem, replace(settings, epochs=2), seed=2, checkpoint=file)
    longer = train_surrogate(start, problem, settings, seed=2, checkpoint=file)
    assert longer.network.equals(whole.network)
    assert [epoch.number for epoch in longer.history] == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="is of 5 epochs, more than epochs=4"):
        train_surrogate(start, problem, replace(settings, epochs=4), seed=2, checkpoint=file)
    file.unlink()
    train_surrogate(start, problem, replace(settings, epochs=2, schedule="cosine"), seed=2, checkpoint=file)
    with pytest.raises(ValueError, match="of other data, settings or seed"):  # its rates depend on the epochs
        train_surrogate(start, problem, replace(settings, schedule="cosine"), seed=2, checkpoint=file)


@pytest.mark.parametrize("every_step", [False, True])
def test_a_killed_run_goes_on_to_the_same_network(tmp_path, every_step):
    problem, start = xor_problem(every_step), small_network(every_step)
    settings = SurrogateSettings(epochs=6, batch_size=32, dropout=0.2, learn_leak=True, learn_threshold=True)
    problem = replace(problem, validation=Validation(problem.sequences, problem.targets, Accuracy()))
    whole = train_surrogate(start, problem, settings, seed=2)

    def kill(epoch):
        if epoch.number == 3:
            raise RuntimeError("killed")

    file = tmp_path / "checkpoint.safetensors"
    with pytest.raises(RuntimeError, match="killed"):
        train_surrogate(start, problem, settings, seed=2, on_epoch=kill, checkpoint=file)
    resumed = train_surrogate(start, problem, settings, seed=2, checkpoint=file)
    assert resumed.network.equals(whole.network)
    assert resumed.epoch == whole.epoch
    assert [e.objective for e in resumed.history] == [e.objective for e in whole.history]
    with pytest.raises(ValueError, match="of other data, settings or seed"):
        train_surrogate(start, problem, settings, seed=3, checkpoint=file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="cannot be read"):
        train_surrogate(start, problem, settings, seed=2, checkpoint=file)


def test_patience_stops():
    problem, start = xor_problem(), small_network()
    settings = SurrogateSettings(epochs=20, batch_size=32, patience=2)
    never_better = Validation(problem.sequences, problem.targets, lambda *_: 0.0)
    result = train_surrogate(start, replace(problem, validation=never_better), settings)
    assert (result.epoch, len(result.history)) == (1, 3)


def test_interrupt_gives_the_best_network_so_far():
    problem, start = xor_problem(), small_network()

    def interrupt(epoch):
        if epoch.number == 2:
            raise KeyboardInterrupt

    result = train_surrogate(start, problem, SurrogateSettings(epochs=9), on_epoch=interrupt)
    assert result.interrupted
    assert result.epoch == 2


@pytest.mark.parametrize("every_step", [False, True])
def test_equal_sequences_are_merged_without_a_change_of_objective_or_gradient(every_step):
    sequences = draw_sequences(40, 5, 2, ragged=True)
    again = torch.arange(80) % 40
    twice = sequences.take(again)
    rows = twice.rows(every_step)
    labels = torch.from_numpy(np.random.default_rng(1).integers(3, size=rows // 2)).repeat(2)
    # One sequence keeps its twin, but with another label: these two are not equal.
    labels[0] = (labels[0] + 1) % 3
    weights = torch.rand(rows, generator=generator(2), dtype=torch.float64)
    loss = LOSSES["cross_entropy"]
    problem = Problem(twice, loss.encode(labels, 3), loss, PENALTIES["l1"], 0.01, weights, every_step=every_step)
    merged = problem.merged_sequences
    assert len(merged.sequences) == 41
    hidden = draw_hidden("LIF soft", readout="analog", every_step=every_step, d=2)
    network = with_weights(hidden)
    assert merged.objective(network) == pytest.approx(problem.objective(network), rel=1e-12)
    gradients = []
    for one in (problem, merged):
        module = TrainableNetwork(network, Gradients(SurrogateShape()), torch.float64)
        data = TrainingData.of(one, torch.device("cpu"), torch.float64)
        batch = data.batch(torch.arange(len(data)))
        (batch.row_weights @ loss.value(module(batch.values, batch.lengths), batch.targets)).backward()
        gradients.append([p.grad for p in module.parameters()])
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
