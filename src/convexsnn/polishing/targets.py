"""Labels of a loader as targets of the convex program."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def encode(labels: Tensor, outputs: int, loss: str) -> Tensor:
    """Encoded labels (n, outputs): class indices, or real targets of the squared loss."""
    if loss == "cross_entropy" and outputs == 1:
        raise ValueError("cross_entropy needs one output a class, the readout has 1: use loss='logistic' or 'hinge'")
    if labels.is_floating_point():
        values = labels.to(torch.float64).reshape(len(labels), -1)
        if loss != "squared" or values.shape[1] != outputs:
            raise ValueError(
                f"labels are {labels.dtype} of shape {tuple(labels.shape)}: real targets go with loss='squared' and a "
                f"readout of as many outputs (it has {outputs}); class indices must be integers"
            )
        if not bool(torch.isfinite(values).all()):
            raise ValueError("labels contain NaN or infinity")
        return values
    if labels.ndim != 1 or labels.dtype == torch.bool:
        raise ValueError(f"labels must be class indices (n,), got {labels.dtype} of shape {tuple(labels.shape)}")
    classes = 2 if outputs == 1 else outputs
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise ValueError(
            f"labels lie in {int(labels.min())}..{int(labels.max())}, but a readout of {outputs} outputs has classes "
            f"0..{classes - 1}"
        )
    one_hot = nn.functional.one_hot(labels.long(), classes).to(torch.float64)
    if loss == "cross_entropy":
        return one_hot
    return 2.0 * (one_hot[:, 1:] if outputs == 1 else one_hot) - 1.0
