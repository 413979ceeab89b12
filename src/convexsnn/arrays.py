"""Arrays of real numbers from what users bring, and refusals that name the argument and say what to pass instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor


def real_array(X: Any, name: str, *, missing: bool = False) -> np.ndarray:
    """`X` as a new float64 array of finite numbers, and of missing ones (NaN) where these are let through.

    Parameters
    ----------
    X : array, torch tensor, data frame or nested lists of real numbers
    name : str
        The argument's name in errors.
    missing : bool
        Whether NaN is let through.

    Raises
    ------
    ValueError
        When the values are no real numbers; the message says what to pass instead.
    """
    array = numeric(plain_array(X, name), name)
    with np.errstate(over="ignore"):  # what float64 cannot hold becomes infinite, and is refused
        array = np.array(array, dtype=np.float64)  # a copy: the caller's array is never aliased
    check_entries(array, name, missing=missing)
    return array


def check_entries(array: np.ndarray, name: str, *, missing: bool = False) -> None:
    """ValueError where there are infinite numbers, or missing ones that are not let through; says how many."""
    absent, infinite = int(np.isnan(array).sum()), int(np.isinf(array).sum())
    if infinite or (absent and not missing):
        carry = ", or fit with missing='carry', which takes the last known value" if absent else ""
        raise ValueError(
            f"{name} contains NaN or infinity: impute or drop those entries ({absent} missing, {infinite} infinite)"
            + carry
        )


def plain_array(X: Any, name: str) -> np.ndarray:
    """`X` as a numpy array of whatever dtype; ValueError for what is no array, or hides some of its entries."""
    check_kind(X, name)
    if isinstance(X, Tensor):
        return _of_tensor(X, name)
    check_unmasked(X, name, "give the steps of each sequence as a list of (T_i, d) arrays")
    try:
        return np.asarray(X)
    except ValueError as error:
        raise ValueError(
            f"{name} is ragged: pass a list of (T_i, d) arrays of equal d (of one feature: x[:, None])"
        ) from error


def check_unmasked(values: Any, name: str, advice: str) -> None:
    """ValueError where a masked array has masked entries: numpy hands out what lies under the mask."""
    masked = int(np.ma.getmaskarray(values).sum()) if isinstance(values, np.ma.MaskedArray) else 0
    if masked:
        raise ValueError(
            f"{name} is a masked array with {masked} masked entries, which would count like all others: fill them "
            f"({name}.filled(0)), or {advice}"
        )


def check_flat_cells(frame: Any, name: str) -> None:
    """ValueError where the cells of a data frame hold series or arrays instead of numbers."""
    cells = np.asarray(frame)
    if cells.dtype.hasobject and any(np.ndim(cell) > 0 for cell in cells.flat):
        raise ValueError(
            f"{name} is a data frame whose cells hold sequences: pass a list of (T_i, d) arrays, such as "
            f"[np.column_stack(list(row)) for row in {name}.to_numpy()]"
        )


def check_kind(X: Any, name: str) -> None:
    """ValueError where `X` is of a kind that holds no array of numbers; names the kind and says what to pass."""
    match X:
        case None:
            wrong = "None"
        case str() | bytes():
            wrong = f"the text {X[:40]!r}: load the file first"
        case Mapping():
            wrong = f"a mapping with the keys {', '.join(map(repr, list(X)[:5]))}: pass one of its arrays"
        case Iterator():
            wrong = f"a {type(X).__name__}, which can be read once only: pass list({name})"
        case Set():
            wrong = "a set, which has no order"
        case bool() | int() | float() | complex():
            wrong = f"the single number {X!r}"
        case _ if hasattr(X, "toarray") and hasattr(X, "nnz"):
            wrong = f"sparse: pass {name}.toarray()"
        case _ if hasattr(X, "__array_namespace__") and not hasattr(X, "__array__"):
            wrong = f"an array of {type(X).__module__}, which does not become one of NumPy by itself: convert it first"
        case _ if type(X).__name__ == "Series":
            wrong = f"a Series, which has one axis: pass sequences, or the columns of a frame ({name}.to_frame())"
        case _ if callable(X) or isinstance(X, type):
            wrong = f"{X!r}"
        case _:
            return
    raise ValueError(
        f"{name} must be an array of shape (n, T, d) or (n, d), or a list of (T_i, d) arrays, but it is {wrong}"
    )


def _of_tensor(X: Tensor, name: str) -> np.ndarray:
    if X.device.type == "meta":
        raise ValueError(f"{name} is a tensor on the device meta, which holds no numbers: make it on the CPU")
    if X.is_nested:
        raise ValueError(f"{name} is a nested tensor: pass list({name}.unbind())")
    if X.layout != torch.strided:
        raise ValueError(f"{name} is a sparse tensor ({X.layout}): pass {name}.to_dense()")
    if X.is_quantized:
        raise ValueError(f"{name} is a quantised tensor: pass {name}.dequantize()")
    own = X.detach().cpu().resolve_conj().resolve_neg()
    return (own.to(torch.float64) if own.is_floating_point() else own).numpy()  # numpy has no bfloat16


def numeric(array: np.ndarray, name: str) -> np.ndarray:
    """An array of real numbers as it is, one of objects as float64; ValueError for what holds no real numbers."""
    match array.dtype.kind:
        case "b" | "i" | "u" | "f":
            return array
        case "c":
            raise ValueError(f"Complex data not supported in {name}: pass real numbers")
        case "O":
            for value in array.ravel():
                if isinstance(value, (str, bytes)):
                    raise ValueError(f"{name} must be numeric, but it holds the text {value[:40]!r}: convert it")
            try:
                return array.astype(np.float64)
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(
                    f"{name} must be numeric, but it holds objects that float64 cannot hold: {error}"
                ) from error
        case _:
            raise ValueError(f"{name} must be numeric, got dtype {array.dtype}: convert it to numbers")


def column_names(X: Any) -> tuple[str, ...] | None:
    """The names of a data frame's columns; None for what is no frame, and for columns that are only counted.

    Raises
    ------
    ValueError
        When a name occurs twice.
    """
    if not hasattr(X, "columns") or not hasattr(X, "to_numpy"):
        return None
    names = tuple(map(str, X.columns))
    if len(set(names)) < len(names):
        raise ValueError(f"the columns of X must have names of their own, but they are {', '.join(names[:8])}")
    return None if names == tuple(map(str, range(len(names)))) else names


def unpadded(padded: Any, lengths: Any) -> list[np.ndarray]:
    """What each sequence has, or its labels, without the padding after its end."""
    return [np.asarray(row)[:steps] for row, steps in zip(padded, lengths.tolist(), strict=True)]
