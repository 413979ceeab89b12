"""Closed loop: the network's answer at one step is one of its inputs at the next.

A model is trained with teacher forcing: the input that holds the last answer is the right one. In closed loop it is the
network's own. Every step advances the state once, so T steps cost T times one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_integer, check_real
from convexsnn.estimators import Estimator, SpikingClassifier, SpikingRegressor
from convexsnn.estimators.classes import Classes, class_labels_of
from convexsnn.labels import decide
from convexsnn.losses import Head
from convexsnn.network import Network
from convexsnn.sequences import Sequences
from convexsnn.simulation import check_potentials, first_states, initial_state, read, step
from convexsnn.tasks import TaskData


@dataclass(frozen=True)
class FeedbackLoop:
    """Which answer is fed back, and as what.

    Attributes
    ----------
    feature : int
        The column of X that is fed back; what it holds after the warm-up is ignored.
    values : mapping of label to float, optional
        The number that stands for each label in the input. None is for real values, which are fed back as they are.
    output : int
        The output that is fed back, from 0 on; 0 where there is one.
    start : float
        The input at the first step.
    warm_up : int
        For this many first steps the input is what X holds, at least 0. A known series can so be continued from its
        end.

    Examples
    --------
    The last value of a series, known for 100 steps:

    >>> loop = FeedbackLoop(feature=0, warm_up=100)

    A digit, divided by nine, as input 2 of the next step:

    >>> loop = FeedbackLoop(feature=2, values={digit: digit / 9 for digit in range(10)})
    """

    feature: int
    values: Mapping[Any, float] | None = None
    output: int = 0
    start: float = 0.0
    warm_up: int = 0

    def __post_init__(self) -> None:
        check_integer("feature", self.feature, minimum=0)
        check_integer("output", self.output, minimum=0)
        check_real("start", self.start)
        check_integer("warm_up", self.warm_up, minimum=0)
        if self.values is None:
            return
        if not isinstance(self.values, Mapping):
            raise ValueError(f"values must be a mapping of labels to numbers, not {self.values!r}")
        for label, value in self.values.items():
            check_real(f"values[{label!r}]", value)

    @classmethod
    def of_task(cls, task: TaskData) -> FeedbackLoop:
        """The loop of a task with feedback, for its labels as they are: joint or factored.

        Raises
        ------
        ValueError
            If the task has no feedback.
        """
        if not isinstance(task, TaskData):
            raise ValueError(f"task must be TaskData, as load_task gives it, not {task!r}")
        joint, feedback = task.joint, task.feedback
        if joint is None or feedback is None:
            raise ValueError(f"task {task.name} has no feedback: no input of it is the answer of the step before")
        tokens = np.arange(joint.n_classes)
        values = feedback.next_input(tokens, joint).tolist()
        if not task.is_factored:
            return cls(feedback.input_feature, dict(zip(tokens.tolist(), values, strict=True)))
        factor = joint.split(tokens)[feedback.output_factor].tolist()
        return cls(feedback.input_feature, dict(zip(factor, values, strict=True)), feedback.output_factor)


@isolated
def predict_closed_loop(estimator: Estimator, X: Any, loop: FeedbackLoop, *, return_inputs: bool = False) -> Any:
    """Predict the labels or values of every step, where one input of each step is the answer of the step before.

    In float64 these are the labels that `predict` gives on the inputs that were generated, up to potentials and scores
    that tie within rounding.

    Parameters
    ----------
    estimator : SpikingClassifier or SpikingRegressor
        A fitted estimator with a label at every step (per_step).
    X : array of shape (n, T, d), list of n arrays of shape (T_i, d), or array of shape (n, d)
    loop : FeedbackLoop
    return_inputs : bool
        Also return the inputs that were generated.

    Returns
    -------
    answers
        The answers as `predict` gives them: (n, T) or a list of (T_i,), with one more axis for several outputs.
    inputs : array of shape (n, T, d) or list of n arrays of shape (T_i, d)
        X with the fed back feature filled in; only with `return_inputs`.

    Raises
    ------
    ValueError
        When the estimator has no answer at every step, when X or the loop do not fit it, or when potentials overflow.
    """
    if not isinstance(estimator, SpikingClassifier | SpikingRegressor):
        raise ValueError(f"estimator must be a SpikingClassifier or a SpikingRegressor, not {estimator!r}")
    if not estimator.per_step:
        raise ValueError("estimator must be fitted with per_step=True: in closed loop every step needs an answer")
    if not isinstance(loop, FeedbackLoop):
        raise ValueError(f"loop must be a FeedbackLoop, such as FeedbackLoop.of_task(task), not {loop!r}")
    sequences = estimator.sequences(X)
    if loop.feature >= sequences.n_features:
        last = sequences.n_features - 1
        raise ValueError(f"feature must be one of the {last + 1} columns of X, 0 to {last}: {loop.feature}")
    rule = _Labels.of(estimator, loop) if isinstance(estimator, SpikingClassifier) else _Values.of(estimator, loop)
    answers, inputs = _run(estimator.network_, sequences, loop, rule)
    shaped = sequences.unflatten(rule.shown(answers))
    return (shaped, sequences.unflatten(inputs.to(torch.float64).numpy())) if return_inputs else shaped


class _Rule(Protocol):
    """What the outputs S (rows, C) of a step answer, and what the answers are as input of the next."""

    def answers(self, S: Tensor) -> Tensor: ...
    def inputs(self, answers: Tensor) -> Tensor: ...
    def shown(self, answers: Tensor) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class _Labels:
    """Answers are class indices (rows, H), and a table says what input each class is."""

    heads: tuple[Head, ...]
    output: int
    table: Tensor
    classes: Classes

    @classmethod
    def of(cls, estimator: SpikingClassifier, loop: FeedbackLoop) -> _Labels:
        outputs = estimator.classes_ if isinstance(estimator.classes_, list) else [estimator.classes_]
        _check_output(loop, len(outputs))
        if loop.values is None:
            raise ValueError("values must say what number each label is as an input; only real values are their own")
        own = outputs[loop.output].tolist()
        missing = [label for label in own if label not in loop.values]
        if missing:
            raise ValueError(f"values must hold a number for every label of the output, but has none for {missing[:5]}")
        table = torch.tensor([float(loop.values[label]) for label in own], dtype=torch.float64)
        table = table.to(estimator.network_.hidden.device)
        return cls(estimator.loss_function.heads, loop.output, table, estimator.classes_)

    def answers(self, S: Tensor) -> Tensor:
        return decide(S, self.heads).reshape(len(S), -1)

    def inputs(self, answers: Tensor) -> Tensor:
        return self.table[answers[:, self.output]]

    def shown(self, answers: Tensor) -> np.ndarray:
        return class_labels_of((answers if self.heads else answers[:, 0]).numpy(), self.classes)


@dataclass(frozen=True)
class _Values:
    """Answers are the outputs themselves, and so are the inputs."""

    output: int
    single: bool

    @classmethod
    def of(cls, estimator: SpikingRegressor, loop: FeedbackLoop) -> _Values:
        _check_output(loop, estimator.network_.W.shape[1])
        if loop.values is not None:
            raise ValueError("values must be None for a regressor: a real value is fed back as it is")
        return cls(loop.output, estimator.single_output_)

    def answers(self, S: Tensor) -> Tensor:
        return S

    def inputs(self, answers: Tensor) -> Tensor:
        return answers[:, self.output]

    def shown(self, answers: Tensor) -> np.ndarray:
        return (answers[:, 0] if self.single else answers).numpy()


def _check_output(loop: FeedbackLoop, outputs: int) -> None:
    if loop.output >= outputs:
        raise ValueError(f"output must be one of the {outputs} outputs, 0 to {outputs - 1}: {loop.output}")


@torch.no_grad()
def _run(network: Network, sequences: Sequences, loop: FeedbackLoop, rule: _Rule) -> tuple[Tensor, Tensor]:
    """Answers (rows, H) and inputs (rows, d) of every step, ordered by sequence, then step; on the CPU.

    Sequences run together, longest first, and leave when they end. Of the network only its state is kept.
    """
    hidden, W = network.hidden, network.W.to(torch.float64)
    sequences = sequences.to(hidden.device, hidden.dtype)
    order = torch.argsort(sequences.lengths, descending=True, stable=True)
    lengths, inverse = sequences.lengths[order], torch.argsort(order)
    # By step, so that what is read and written at a step lies together.
    inputs = sequences.values[order].transpose(0, 1).contiguous()
    known = rule.answers(W.new_zeros(1, W.shape[1]))
    answers = known.new_zeros(*inputs.shape[:2], known.shape[1])
    state, margin = initial_state(hidden, len(order)), torch.tensor(torch.inf, dtype=hidden.dtype, device=hidden.device)
    if loop.warm_up == 0:
        inputs[0, :, loop.feature] = loop.start
    begin = 0
    for end in lengths.unique().tolist():
        running = int((lengths >= end).sum())
        state = first_states(state, running)
        for t in range(begin, end):
            if t >= max(1, loop.warm_up):
                inputs[t, :running, loop.feature] = rule.inputs(answers[t - 1, :running]).to(hidden.dtype)
            state, nearest, _ = step(hidden, inputs[t, :running], state)
            margin = torch.minimum(margin, nearest)
            features = read(hidden, state)[0].to(torch.float64) if hidden.branches else W.new_zeros(running, 0)
            answers[t, :running] = rule.answers(features @ W)
        check_potentials(hidden, state, margin)
        begin = end
    shown = torch.arange(len(inputs), device=hidden.device) < sequences.lengths.unsqueeze(1)
    rows = lambda by_step: by_step.transpose(0, 1)[inverse][shown].cpu()  # noqa: E731
    return rows(answers), rows(inputs)
