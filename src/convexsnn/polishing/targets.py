"""Labels of a loader as targets and row weights of the convex program."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from convexsnn.losses import LOSSES, Loss
from convexsnn.polishing.batches import Labels, Rows


def encode(labels: Tensor, outputs: int, loss: Loss) -> Tensor:
    """Targets of a loss, (n, outputs): what the loss makes of class indices, or real numbers as they are.

    Raises
    ------
    ValueError
        When the labels are not such as the loss can learn, or do not fit a module of so many outputs.
    """
    if labels.is_floating_point():
        return _real_targets(labels, outputs, loss)
    if labels.ndim != 1 or labels.dtype == torch.bool:
        raise ValueError(f"labels must be class indices (n,), got {labels.dtype} of shape {tuple(labels.shape)}")
    if "classes" not in loss.target_kinds:
        raise ValueError(f"loss {loss.name!r} learns real numbers, and the labels are class indices")
    classes = max(2, outputs)
    # A separable loss has one output for two classes; two are one against the rest each, as for more classes.
    apart = outputs == 2 and loss.separable
    width = outputs if apart else loss.encode(torch.zeros(1, dtype=torch.long), classes).shape[1]
    if width != outputs:
        raise ValueError(
            f"loss {loss.name!r} has {width} outputs for {classes} classes, the module has {outputs}: "
            "use loss='logistic' or 'hinge'"
        )
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(
            f"labels lie in {int(labels.min())}..{int(labels.max())}, but a module of {outputs} outputs has classes "
            f"0..{classes - 1}"
        )
    return loss.encode(labels.long(), 3)[:, :2] if apart else loss.encode(labels.long(), classes)


def _real_targets(labels: Tensor, outputs: int, loss: Loss) -> Tensor:
    values = labels.to(torch.float64).reshape(len(labels), -1)
    if "reals" not in loss.target_kinds or values.shape[1] != outputs:
        able = " or ".join(repr(other.name) for other in LOSSES.values() if "reals" in other.target_kinds)
        raise ValueError(
            f"labels are {labels.dtype} of shape {tuple(labels.shape)}: real targets need loss={able} and a "
            f"module of as many outputs (it has {outputs}); class indices must be integers"
        )
    if not bool(torch.isfinite(values).all()):
        raise ValueError("labels contain NaN or infinity")
    return values


def check_classes(labels: Tensor, outputs: int, *, allow_missing: bool) -> None:
    """ValueError where the labels are of one class, or an output has no row and would learn never to win.

    Real targets are no classes.
    """
    if labels.is_floating_point():
        return
    present, classes = set(labels.unique().tolist()), 2 if outputs == 1 else outputs
    if len(present) == 1:
        raise ValueError(f"labels are all of class {present.pop()}: there must be at least two classes")
    missing = sorted(set(range(classes)) - present)
    if missing and not allow_missing:
        shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise ValueError(
            f"no row of loader is of class {shown}: the polished readout would never answer these. Give rows of every "
            "class that the module should know, or pass rows=Rows(allow_missing_classes=True)"
        )


def row_weights(labels: Labels, rows: Rows) -> Tensor | None:
    """Weights of the rows (n,), not scaled; None is 1 each."""
    if rows.class_weight is None:
        return labels.weights
    if labels.values.is_floating_point():
        raise ValueError("class_weight is for class labels, but the labels are real numbers")
    y = labels.values.numpy()
    classes = np.unique(y)
    if isinstance(rows.class_weight, Mapping):
        factors = np.array([rows.class_weight.get(int(label), 1.0) for label in classes])
    else:
        factors = compute_class_weight(rows.class_weight, classes=classes, y=y)
    weights = torch.from_numpy(factors[np.searchsorted(classes, y)]).to(torch.float64)
    return weights if labels.weights is None else weights * labels.weights
