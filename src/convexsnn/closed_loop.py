"""Closed loop: the network's answer at one step is one of its inputs at the next.

A model is trained with teacher forcing: the input that holds the last answer is the right one. In closed loop it is the
network's own. Every step advances the state once, so T steps cost T times one step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_integer, check_real
from convexsnn.estimators import SpikingClassifier
from convexsnn.estimators.classes import class_labels_of
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
        The column of X that is fed back; what it holds is ignored.
    values : mapping of label to float
        What each label is as an input.
    output : int
        Which of several outputs is fed back; 0 where there is one.
    start : float
        The input at the first step.

    Examples
    --------
    A digit, divided by nine, as input 2 of the next step:

    >>> loop = FeedbackLoop(feature=2, values={digit: digit / 9 for digit in range(10)})
    """

    feature: int
    values: Mapping[Any, float]
    output: int = 0
    start: float = 0.0

    def __post_init__(self) -> None:
        check_integer("feature", self.feature, minimum=0)
        check_integer("output", self.output, minimum=0)
        check_real("start", self.start)
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
def predict_closed_loop(
    estimator: SpikingClassifier, X: Any, loop: FeedbackLoop, *, return_inputs: bool = False
) -> Any:
    """Predict the labels of every step, where one input of each step is the answer of the step before.

    In float64 these are the labels that `predict` gives on the inputs that were generated, up to potentials and scores
    that tie within rounding.

    Parameters
    ----------
    estimator : SpikingClassifier
        Fitted with per_step.
    X : array of shape (n, T, d), list of n arrays of shape (T_i, d), or array of shape (n, d)
    loop : FeedbackLoop
    return_inputs : bool
        Also return the inputs that were generated.

    Returns
    -------
    labels
        As `predict` gives them: (n, T) or a list of (T_i,), with one more axis for several outputs.
    inputs : array of shape (n, T, d) or list of n arrays of shape (T_i, d)
        X with the fed back feature filled in; only with `return_inputs`.

    Raises
    ------
    ValueError
        When the estimator has no label at every step, when X or the loop do not fit it, or when potentials overflow.
    """
    if not isinstance(estimator, SpikingClassifier):
        raise ValueError(f"estimator must be a SpikingClassifier, whose answers are labels, not {estimator!r}")
    if not estimator.per_step:
        raise ValueError("estimator must be fitted with per_step=True: in closed loop every step needs an answer")
    sequences = estimator.sequences(X)
    table = _input_table(loop, estimator, sequences.n_features)
    heads = estimator.loss_function.heads
    answers, inputs = _run(estimator.network_, sequences, heads, loop, table)
    labels = class_labels_of((answers if heads else answers[:, 0]).numpy(), estimator.classes_)
    if not return_inputs:
        return sequences.unflatten(labels)
    return sequences.unflatten(labels), sequences.unflatten(inputs.to(torch.float64).numpy())


def _input_table(loop: FeedbackLoop, estimator: SpikingClassifier, n_features: int) -> Tensor:
    """The input that each class of the output in the loop gives; float64 of shape (classes,)."""
    if loop.feature >= n_features:
        raise ValueError(f"feature must be one of the {n_features} columns of X, 0 to {n_features - 1}: {loop.feature}")
    outputs = estimator.classes_ if isinstance(estimator.classes_, list) else [estimator.classes_]
    if loop.output >= len(outputs):
        raise ValueError(f"output must be one of the {len(outputs)} outputs, 0 to {len(outputs) - 1}: {loop.output}")
    classes = outputs[loop.output].tolist()
    missing = [label for label in classes if label not in loop.values]
    if missing:
        raise ValueError(f"values must hold a number for every label of the output, but has none for {missing[:5]}")
    return torch.tensor([float(loop.values[label]) for label in classes], dtype=torch.float64)


@torch.no_grad()
def _run(
    network: Network, sequences: Sequences, heads: tuple[Head, ...], loop: FeedbackLoop, table: Tensor
) -> tuple[Tensor, Tensor]:
    """Class indices (rows, H) and inputs (rows, d) of every step, ordered by sequence, then step; on the CPU.

    Sequences run together, longest first, and leave when they end. Of the network only its state is kept.
    """
    hidden, W = network.hidden, network.W.to(torch.float64)
    sequences = sequences.to(hidden.device, hidden.dtype)
    order = torch.argsort(sequences.lengths, descending=True, stable=True)
    lengths, inverse = sequences.lengths[order], torch.argsort(order)
    # By step, so that what is read and written at a step lies together.
    inputs = sequences.values[order].transpose(0, 1).contiguous()
    answers = torch.zeros(*inputs.shape[:2], max(1, len(heads)), dtype=torch.int64, device=hidden.device)
    table = table.to(hidden.device, hidden.dtype)
    state, margin = initial_state(hidden, len(order)), torch.tensor(torch.inf, dtype=hidden.dtype, device=hidden.device)
    inputs[0, :, loop.feature] = loop.start
    begin = 0
    for end in lengths.unique().tolist():
        running = int((lengths >= end).sum())
        state = first_states(state, running)
        for t in range(begin, end):
            if t > 0:
                inputs[t, :running, loop.feature] = table[answers[t - 1, :running, loop.output]]
            state, nearest, _ = step(hidden, inputs[t, :running], state)
            margin = torch.minimum(margin, nearest)
            features = read(hidden, state)[0].to(torch.float64) if hidden.branches else W.new_zeros(running, 0)
            answers[t, :running] = decide(features @ W, heads).reshape(running, -1)
        check_potentials(hidden, state, margin)
        begin = end
    shown = torch.arange(len(inputs), device=hidden.device) < sequences.lengths.unsqueeze(1)
    rows = lambda by_step: by_step.transpose(0, 1)[inverse][shown].cpu()  # noqa: E731
    return rows(answers), rows(inputs)
