"""Labels of a loader as targets and row weights of the convex program."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor, nn

from convexsnn.polishing.batches import Labels, Rows


def encode(labels: Tensor, outputs: int, loss: str) -> Tensor:
    """Encoded labels (n, outputs): class indices, or real targets of the squared loss."""
    if loss == "cross_entropy" and outputs == 1:
        raise ValueError("cross_entropy needs one output a class, the module has 1: use loss='logistic' or 'hinge'")
    if labels.is_floating_point():
        values = labels.to(torch.float64).reshape(len(labels), -1)
        if loss != "squared" or values.shape[1] != outputs:
            raise ValueError(
                f"labels are {labels.dtype} of shape {tuple(labels.shape)}: real targets go with loss='squared' and a "
                f"module of as many outputs (it has {outputs}); class indices must be integers"
            )
        if not bool(torch.isfinite(values).all()):
            raise ValueError("labels contain NaN or infinity")
        return values
    if labels.ndim != 1 or labels.dtype == torch.bool:
        raise ValueError(f"labels must be class indices (n,), got {labels.dtype} of shape {tuple(labels.shape)}")
    classes = 2 if outputs == 1 else outputs
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(
            f"labels lie in {int(labels.min())}..{int(labels.max())}, but a module of {outputs} outputs has classes "
            f"0..{classes - 1}"
        )
    one_hot = nn.functional.one_hot(labels.long(), classes).to(torch.float64)
    if loss == "cross_entropy":
        return one_hot
    return 2.0 * (one_hot[:, 1:] if outputs == 1 else one_hot) - 1.0


def check_classes(labels: Tensor, outputs: int) -> None:
    """ValueError where the labels are of one class; a warning where an output has no row, and would learn never to win.

    Real targets are no classes.
    """
    if labels.is_floating_point():
        return
    present, classes = set(labels.unique().tolist()), 2 if outputs == 1 else outputs
    if len(present) == 1:
        raise ValueError(f"labels are all of class {present.pop()}: there is nothing to tell apart")
    missing = sorted(set(range(classes)) - present)
    if missing:
        shown = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        warnings.warn(
            f"no row of loader is of class {shown}: the polished readout will never answer these. Give rows of every "
            "class that the module should know",
            UserWarning,
            stacklevel=3,
        )


def row_weights(labels: Labels, rows: Rows) -> Tensor | None:
    """Weights of the rows (n,), not scaled; None is 1 each."""
    if rows.class_weight is None:
        return labels.weights
    if labels.values.is_floating_point():
        raise ValueError("class_weight goes with class labels, and the labels are real numbers")
    y = labels.values.numpy()
    classes = np.unique(y)
    if isinstance(rows.class_weight, Mapping):
        factors = np.array([rows.class_weight.get(int(label), 1.0) for label in classes])
    else:
        factors = compute_class_weight(rows.class_weight, classes=classes, y=y)
    weights = torch.from_numpy(factors[np.searchsorted(classes, y)]).to(torch.float64)
    return weights if labels.weights is None else weights * labels.weights
