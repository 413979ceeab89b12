"""Several categorical outputs: the loss against its definition, the solver against oracles, the classifier."""

import json

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn import Certificate, ConvexProgram, Gaussian, SpikingClassifier, solve
from convexsnn.columns import BitColumns, pack_bits
from convexsnn.losses import LOSSES, CrossEntropy, Head, head_blocks, loss_of
from convexsnn.metrics import split_scores
from convexsnn.penalties import PENALTIES
from convexsnn.reading import DamagedFileError
from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers import SolverOptions
from convexsnn.solvers.newton import system
from convexsnn.solvers.newton.columns import normalised
from convexsnn.solvers.newton.curvature import CurvatureMatrix
from convexsnn.storage import load_model, save_model
from convexsnn.tasks import TaskSettings, load_task
from helpers import reseal

seeds = st.integers(0, 100_000)
weights = st.floats(-3, 3).map(lambda x: 10.0**x)
several_heads = st.lists(st.builds(Head, st.integers(1, 4), weights), min_size=1, max_size=4).map(tuple)
THREE = (Head(3, 1.0), Head(1, 0.5), Head(2, 4.0))
SMALL = {"witnesses": Gaussian(depth=2, last=64), "random_state": 0}


def draw(heads, n=6, seed=0, scale=3.0):
    """A loss, encoded targets and scores."""
    rng = np.random.default_rng(seed)
    labels = np.column_stack([rng.integers(head.classes, size=n) for head in heads])
    C = sum(head.classes for head in heads)
    loss = CrossEntropy(heads)
    return loss, loss.encode(torch.from_numpy(labels), C), torch.from_numpy(rng.normal(scale=scale, size=(n, C)))


@given(several_heads, seeds)
def test_value_is_the_weighted_sum_over_heads(heads, seed):
    loss, Y, S = draw(heads, seed=seed)
    one = LOSSES["cross_entropy"]
    blocks = [slice(b.start, b.stop) for b in head_blocks(heads)]
    expected = sum(h.weight * one.value(S[:, b], Y[:, b]) for h, b in zip(heads, blocks, strict=True))
    assert torch.allclose(loss.value(S, Y), expected, rtol=1e-12)


@given(several_heads, seeds, st.floats(0.0, 1.0))
def test_conjugate_and_its_domain(heads, seed, t):
    """Fenchel-Young everywhere, with equality at the gradient; projection and scaling keep the domain."""
    loss, Y, S = draw(heads, seed=seed)
    total = sum(head.weight for head in heads)
    V = loss.project_dual(draw(heads, seed=seed + 1)[2], Y)
    assert torch.isfinite(loss.conjugate(t * V, Y)).all()
    assert torch.allclose(loss.project_dual(V, Y), V, atol=1e-12 * total)
    assert (loss.value(S, Y) + loss.conjugate(V, Y) - (S * V).sum(dim=1) >= -1e-10 * total).all()
    G = loss.gradient(S, Y)
    assert torch.allclose(loss.value(S, Y) + loss.conjugate(G, Y), (S * G).sum(dim=1), atol=1e-10 * total)


def test_conjugate_is_infinite_outside_its_domain():
    loss, Y, _ = draw((Head(2, 2.0), Head(2, 1.0)), n=1)
    V = loss.gradient(torch.zeros_like(Y), Y)
    assert torch.isfinite(loss.conjugate(V, Y)).all()
    for outside in (V + torch.tensor([0.1, 0.0, 0.0, 0.0]), 3.0 * V, V * torch.tensor([1.0, 1.0, 0.5, 1.0])):
        assert torch.isinf(loss.conjugate(outside, Y)).all()


@given(several_heads, seeds)
def test_gradient_and_curvature_are_derivatives(heads, seed):
    loss, Y, S = draw(heads, seed=seed, scale=1.0)
    S.requires_grad_()
    (gradient,) = torch.autograd.grad(loss.value(S, Y).sum(), S)
    S = S.detach()
    assert torch.allclose(loss.gradient(S, Y), gradient, atol=1e-10)
    direction = draw(heads, seed=seed + 1, scale=1.0)[2]
    h = 1e-6
    difference = (loss.gradient(S + h * direction, Y) - loss.gradient(S - h * direction, Y)) / (2 * h)
    scale = max(head.weight for head in heads)
    assert torch.allclose(loss.curvature(S, Y).apply(direction), difference, atol=1e-6 * scale)


def test_one_head_is_plain_cross_entropy():
    loss, Y, S = draw((Head(3),))
    plain = LOSSES["cross_entropy"]
    assert torch.equal(plain.encode(Y.argmax(dim=1), 3), Y)
    for name in ("value", "gradient", "conjugate", "project_dual"):
        inputs = (loss.gradient(S, Y), Y) if name in ("conjugate", "project_dual") else (S, Y)
        assert torch.equal(getattr(loss, name)(*inputs), getattr(plain, name)(*inputs)), name


def test_bad_heads_are_refused():
    with pytest.raises(ValueError, match="the classes of head 1 must be an integer of at least 1"):
        CrossEntropy((Head(2), Head(0)))
    with pytest.raises(ValueError, match="the weight of head 0 must be more than 0"):
        CrossEntropy((Head(2, 0.0),))
    with pytest.raises(ValueError, match="loss must be 'cross_entropy' for several categorical outputs, not 'hinge'"):
        loss_of("hinge", (Head(2),))
    with pytest.raises(ValueError, match=r"labels must have shape \(n, 2\) and n_classes be 5"):
        CrossEntropy((Head(2), Head(3))).encode(torch.zeros(4, dtype=torch.int64), 5)


def make_program(heads, penalty, *, n=30, P=12, level=0.05, seed=0):
    """A random program; rho = level times the rho that gives W = 0."""
    rng = np.random.default_rng(seed)
    loss, Y, _ = draw(heads, n=n, seed=seed)
    columns = BitColumns(pack_bits(torch.from_numpy(rng.random((P, n)) < rng.uniform(0.2, 0.8, size=(P, 1)))), n)
    row_weights = torch.from_numpy(rng.uniform(0.5, 1.5, size=n))
    unit = ConvexProgram(columns, Y, loss, PENALTIES[penalty], 1.0, row_weights / row_weights.sum())
    largest = float(unit.penalty.dual_norm(columns.rmatmul(unit.data_gradient(torch.zeros_like(Y)))))
    return ConvexProgram(columns, Y, loss, unit.penalty, level * largest or 1.0, unit.row_weights)


@pytest.mark.parametrize("penalty", ["l1", "group"])
@pytest.mark.parametrize("heads", [THREE, (Head(2, 0.01), Head(4, 10.0))])
def test_agrees_with_clarabel(penalty, heads):
    program = make_program(heads, penalty)
    D, Y = program.columns.dense().numpy(), program.targets.numpy()
    W = cp.Variable((program.n_columns, program.n_outputs))
    S, w = D @ W, program.row_weights.numpy()
    data = 0.0
    for head, block in zip(heads, head_blocks(heads), strict=True):
        s, y = S[:, block.start : block.stop], Y[:, block.start : block.stop]
        data = data + head.weight * (w @ (cp.log_sum_exp(s, axis=1) - cp.sum(cp.multiply(y, s), axis=1)))
    norm = cp.sum(cp.abs(W)) if penalty == "l1" else cp.sum(cp.norm(W, 2, axis=1))
    problem = cp.Problem(cp.Minimize(data + program.rho * norm))
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-10, tol_feas=1e-10)
    solution = solve(program, SolverOptions(tol=1e-7))
    assert solution.certificate.holds(1e-7)
    assert solution.certificate.heads == heads
    assert solution.certificate.primal == pytest.approx(problem.value, rel=1e-6)
    assert solution.certificate.dual == pytest.approx(problem.value, rel=1e-6)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(several_heads, st.floats(-3, 0.2).map(lambda x: 10.0**x), st.integers(2, 50), st.integers(1, 40), seeds)
def test_l1_separates_into_a_program_a_head(heads, level, n, P, seed):
    program = make_program(heads, "l1", n=n, P=P, level=level, seed=seed)
    whole = solve(program)
    assert whole.certificate.holds(1e-6)
    assert whole.certificate.relative_gap >= -1e-12
    primal = dual = 0.0
    for head, block in zip(heads, head_blocks(heads), strict=True):
        targets, rho = program.targets[:, block.start : block.stop], program.rho / head.weight
        part = ConvexProgram(
            program.columns, targets, LOSSES["cross_entropy"], program.penalty, rho, program.row_weights
        )
        solution = solve(part, SolverOptions(tol=1e-8))
        primal += head.weight * solution.certificate.primal
        dual += head.weight * solution.certificate.dual
    assert whole.certificate.primal >= dual * (1 - 1e-9) - 1e-13
    assert whole.certificate.dual <= primal * (1 + 1e-9) + 1e-13


@settings(max_examples=25, deadline=None, derandomize=True)
@given(several_heads, st.floats(-3, 0.2).map(lambda x: 10.0**x), st.integers(2, 50), st.integers(1, 40), seeds)
def test_group_is_certified_on_any_program(heads, level, n, P, seed):
    solution = solve(make_program(heads, "group", n=n, P=P, level=level, seed=seed))
    assert solution.certificate.holds(1e-6)
    assert solution.certificate.relative_gap >= -1e-12


@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_without_one_factor_of_coupled_outputs(monkeypatch, penalty):
    program = make_program(THREE, penalty, level=0.02)
    reference = solve(program).certificate
    monkeypatch.setattr(system, "COUPLED_LIMIT", 5)
    certificate = solve(program).certificate
    assert certificate.holds(1e-6)
    assert certificate.primal == pytest.approx(reference.primal, rel=2e-6)


@pytest.mark.parametrize("outputs", [range(6), range(3), range(4, 6), range(1, 2)])
def test_curvature_matrix_of_heads(outputs):
    program = make_program(THREE, "l1")
    columns = normalised(program.columns, program.row_weights)
    curvature = program.loss.curvature(draw(THREE, n=program.n_rows)[2], program.targets)
    assert isinstance(curvature, RowMatrices)
    active = torch.rand(12, 6, generator=torch.Generator().manual_seed(0)) < 0.6
    entries = (matrix := CurvatureMatrix(columns, outputs, curvature, torch.float64)).require(active)
    R = program.columns.dense().T * columns.scale
    identity = torch.eye(6, dtype=torch.float64).expand(program.n_rows, 6, 6)
    H = torch.stack([curvature.apply(identity[:, c]) for c in range(6)], dim=2)
    expected = torch.einsum(
        "ai,bi,iab->ab", R[entries.column], R[entries.column], H[:, entries.output][:, :, entries.output]
    )
    assert torch.allclose(matrix.lower(entries.position).tril(), expected.tril(), atol=1e-12)


def test_certificate_keeps_its_heads():
    certificate = solve(make_program(THREE, "l1")).certificate
    assert Certificate.from_json(certificate.to_json()) == certificate
    assert "cross_entropy of 3 heads" in str(certificate)
    fields = json.loads(certificate.to_json())
    for heads in (3, [[2]], [[0, 1.0]], [[2, -1.0]], [[2, "x"]], [2]):
        with pytest.raises(ValueError, match=r"heads|head 0"):
            Certificate.from_json(json.dumps(fields | {"heads": heads}))


def bits(n=120, T=5, seed=0):
    drawn = np.random.default_rng(seed).integers(2, size=(n, T))
    return np.eye(2)[drawn], drawn


def two_outputs(drawn):
    """Three numbers, and two words."""
    return drawn[:, :2].sum(axis=1), np.array(["no", "yes"])[drawn[:, -1]]


def test_one_label_of_several_outputs_a_sequence():
    X, drawn = bits()
    y = np.column_stack([drawn[:, -1], drawn[:, -2] + drawn[:, -1]])
    model = SpikingClassifier(beta=0.003, witnesses=Gaussian(depth=2, last=256), random_state=0).fit(X, y)
    assert model.certificate_.holds(1e-6)
    assert model.certificate_.heads == (Head(2), Head(3))
    assert [c.tolist() for c in model.classes_] == [[0, 1], [0, 1, 2]]
    predicted = model.predict(X)
    assert predicted.shape == y.shape
    assert predicted.dtype == y.dtype
    assert model.score(X, y) == np.mean((predicted == y).all(axis=1)) > 0.9
    scores = split_scores(model, X, y)
    assert scores["accuracy"] == model.score(X, y)
    assert scores["accuracy_output_1"] == np.mean(predicted[:, 1] == y[:, 1])
    probabilities, decision = model.predict_proba(X), model.decision_function(X)
    assert [p.shape for p in probabilities] == [(120, 2), (120, 3)]
    assert [d.shape for d in decision] == [(120,), (120, 3)]
    for k, p in enumerate(probabilities):
        assert np.allclose(p.sum(axis=1), 1.0)
        assert np.array_equal(model.classes_[k][p.argmax(axis=1)], predicted[:, k])
    assert np.array_equal(model.classes_[0][(decision[0] > 0).astype(int)], predicted[:, 0])
    weight = np.random.default_rng(0).uniform(size=len(X))
    right = (predicted == y).all(axis=1)
    assert model.score(X, y, weight) == pytest.approx(np.average(right, weights=weight))


def test_numbers_and_words_side_by_side(tmp_path):
    X, drawn = bits()
    y = np.empty((len(X), 2), dtype=object)
    y[:, 0], y[:, 1] = two_outputs(drawn)
    model = SpikingClassifier(beta=0.01, output_weights=[1, 2.5], penalty="group", **SMALL).fit(X, y)
    assert [c.tolist() for c in model.classes_] == [[0, 1, 2], ["no", "yes"]]
    assert model.certificate_.heads == (Head(3, 1.0), Head(2, 2.5))
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert loaded.output_weights == [1, 2.5]
    assert loaded.certificate_ == model.certificate_
    assert loaded.loss_function == model.loss_function
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert np.array_equal(model.predict(X)[:, 1] == "yes", model.decision_function(X)[1] > 0)


@pytest.mark.parametrize("ragged", [False, True])
def test_several_outputs_at_every_step(ragged):
    X, drawn = bits()
    y = np.stack([drawn, np.cumsum(drawn, axis=1) % 2], axis=2)
    if ragged:
        lengths = np.arange(len(X)) % 5 + 1
        X, y = ([a[:k] for a, k in zip(array, lengths, strict=True)] for array in (X, y))
    model = SpikingClassifier(per_step=True, **SMALL).fit(X, y)
    predicted, shown = model.predict(X), model.predict_proba(X)
    assert [p.shape for p in predicted] == [t.shape for t in y]
    assert len(shown) == 2
    assert [s.shape for s in shown[1]] == [(len(t), 2) for t in y]
    right = [(p == t).all(axis=1) for p, t in zip(predicted, y, strict=True)]
    scores = split_scores(model, X, y)
    assert model.score(X, y) == pytest.approx(np.mean(np.concatenate(right)))
    assert scores["sequence_accuracy"] == pytest.approx(np.mean([r.all() for r in right]))
    assert scores["accuracy_output_0"] >= scores["accuracy"] >= scores["sequence_accuracy"]


def test_a_repeated_output_is_solved_like_the_single_one():
    """With l1 the heads separate: weights 1 and 3 are the programs of rho and rho / 3."""
    X, drawn = bits(n=60)
    y = drawn[:, 0] ^ drawn[:, 1]
    both = SpikingClassifier(rho=0.006, output_weights=(1.0, 3.0), **SMALL).fit(X, np.column_stack([y, y]))
    first, second = (SpikingClassifier(rho=rho, **SMALL).fit(X, y) for rho in (0.006, 0.002))
    expected = first.certificate_.primal + 3.0 * second.certificate_.primal
    assert both.certificate_.primal == pytest.approx(expected, rel=2e-6)
    assert np.allclose(both.predict_proba(X)[0], first.predict_proba(X), atol=1e-2)
    assert np.allclose(both.predict_proba(X)[1], second.predict_proba(X), atol=1e-2)


def test_an_output_of_one_class_is_constant():
    X, drawn = bits(n=60)
    y = np.column_stack([np.full(60, 7), drawn[:, -1]])
    model = SpikingClassifier(beta=0.01, **SMALL).fit(X, y)
    assert (model.predict(X)[:, 0] == 7).all()
    assert model.certificate_.holds(1e-6)
    assert split_scores(model, X, y)["accuracy_output_0"] == 1.0


def test_several_betas_and_weights_of_rows():
    X, drawn = bits(n=100)
    y = drawn[:, [0, -1]]
    model = SpikingClassifier(beta=[1.0, 0.01], **SMALL).fit(X, y)
    assert model.beta_ == 0.01
    balanced = SpikingClassifier(beta=0.01, class_weight="balanced", **SMALL).fit(X, y)
    counts = [np.bincount(column) for column in y.T]
    by_hand = [len(y) / (2 * count[column]) for count, column in zip(counts, y.T, strict=True)]
    weighted = SpikingClassifier(beta=0.01, **SMALL).fit(X, y, sample_weight=by_hand[0] * by_hand[1])
    assert balanced.certificate_.primal == pytest.approx(weighted.certificate_.primal, rel=2e-6)


X3, Y3 = bits(n=10)[0], np.column_stack([np.arange(10) % 2, np.arange(10) % 3])


@pytest.mark.parametrize(
    ("parameters", "y", "message"),
    [
        ({"loss": "hinge"}, Y3, "loss must be 'cross_entropy' for several categorical outputs, not 'hinge'"),
        ({"output_weights": [1.0]}, Y3, "one number an output: y has 2, got 1"),
        ({"output_weights": [1.0, 0.0]}, Y3, r"output_weights\[1\] must be more than 0"),
        ({"output_weights": 2.0}, Y3, "output_weights must be a sequence"),
        ({"output_weights": "12"}, Y3, "output_weights must be a sequence"),
        ({"output_weights": [1.0]}, Y3[:, 0], "output_weights must be None where y has one output"),
        ({"class_weight": {0: 1.0, 1: 2.0}}, Y3, "class_weight must be None or 'balanced'"),
        ({}, Y3[:9], r"inconsistent numbers of samples: \[10, 9\]"),
        ({}, np.zeros((10, 2)), "one class in each output"),
        ({}, np.zeros((10, 2, 2), int), "for labels at every step: per_step=True"),
        ({"per_step": True}, np.zeros((10, 4, 2), int), r"y\[0\] must hold one label for each of its 5 steps"),
        ({}, np.column_stack([Y3[:, 0], np.linspace(0, 1, 10)]), "Unknown label type"),
        ({}, np.full((10, 2), np.nan), "NaN"),
    ],
)
def test_bad_input_names_the_argument(parameters, y, message):
    with pytest.raises(ValueError, match=message):
        SpikingClassifier(**(SMALL | parameters)).fit(X3, y)


def test_other_numbers_of_outputs_are_refused_after_fit():
    model = SpikingClassifier(**SMALL).fit(X3, Y3)
    with pytest.raises(ValueError, match="y has 1 outputs, but y in fit had 2"):
        model.problem(X3, Y3[:, 0])
    with pytest.raises(ValueError, match="validation: y has 1 outputs"):
        SpikingClassifier(beta=[1.0, 0.1], **SMALL).fit(X3, Y3, validation=(X3, Y3[:, 0]))
    model.set_params(output_weights=[1.0, 1.0]).fit(X3, Y3)
    assert model.set_params(output_weights=None).fit(X3, Y3[:, 0]).predict(X3).shape == (10,)


def test_one_label_a_step_without_per_step_is_said():
    y = np.arange(50).reshape(10, 5) % 2
    with pytest.warns(UserWarning, match="read as 5 outputs a sequence; for one label at each of the 5 steps"):
        SpikingClassifier(**SMALL).fit(X3, y)


def test_damaged_outputs_in_a_model_file_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save_model(SpikingClassifier(**SMALL).fit(X3, Y3), path)
    whole = path.read_bytes()
    for change in (
        lambda h: h["fitted"].update(classes=[[0, 1], [0, 1]]),
        lambda h: h["fitted"].update(classes=[[0, 1], [0, 2, 1]]),
        lambda h: h["fitted"].update(classes_dtype=["<i8"]),
        lambda h: h["parameters"].update(output_weights=[1.0]),
        lambda h: h["parameters"].update(loss="squared"),
        lambda h: h["certificate"].update(heads="two"),
    ):
        path.write_bytes(whole)
        reseal(path, lambda header, _, change=change: change(header))
        with pytest.raises(DamagedFileError, match="cannot be read"):
            load_model(path)


def test_factored_labels_of_a_task():
    task = load_task("addition:base-3", TaskSettings(n_train=10, n_val=4, n_test=5, timesteps=4))
    factored = task.factored()
    assert factored.is_factored
    assert factored.factored() is factored
    assert factored.test.y.shape == (5, 4, 2)
    assert np.array_equal(task.joint.join(*np.moveaxis(factored.val.y, -1, 0)), task.val.y)
    assert factored.train.X is task.train.X
    with pytest.raises(ValueError, match="labels of dfa:parity have no factors"):
        load_task("dfa:parity").factored()
