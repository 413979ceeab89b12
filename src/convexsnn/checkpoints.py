"""Checkpoints of long work: safetensors with a JSON header and a digest, written as a whole or not at all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from convexsnn.files import write_atomically

# What reading a damaged file may raise, here and where its content is made into a state again.
DAMAGED = (SafetensorError, OSError, KeyError, TypeError, ValueError, IndexError, AttributeError, RuntimeError)


def write_checkpoint(path: str | Path, kind: str, of: str, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write the state of some work.

    Parameters
    ----------
    path : path of the file
    kind : str
        What work it is, and the version of its format, such as "search 5".
    of : str
        Digest of everything that the course of the work depends on.
    header : dict
        JSON-compatible.
    tensors : dict of str to Tensor

    Raises
    ------
    OSError
        When the file cannot be written; the old one, if any, is left as it was.
    """
    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(header)
    metadata = {"kind": kind, "of": of, "header": text, "digest": _digest(kind, of, text, ready)}
    write_atomically(path, serialize(ready, metadata={"convexsnn_checkpoint": json.dumps(metadata)}))


def read_checkpoint(path: str | Path, kind: str, of: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Inverse of `write_checkpoint`: header and tensors.

    Raises
    ------
    ValueError
        When the file is damaged in any bit, of another kind of work or version, or of other data, settings or seed.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = json.loads((file.metadata() or {})["convexsnn_checkpoint"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        if metadata["kind"] != kind:
            raise ValueError(f"it is of {metadata['kind']!r}, not of {kind!r}")
        if metadata["digest"] != _digest(kind, metadata["of"], metadata["header"], tensors):
            raise ValueError("its digest is not that of its content")
        header = json.loads(metadata["header"])
    except DAMAGED as error:
        raise unreadable(path, error) from error
    if metadata["of"] != of:
        raise ValueError(f"checkpoint {path} is of other data, settings or seed: name another file, or delete it")
    return header, tensors


def unreadable(path: str | Path, error: Exception) -> ValueError:
    """The error of a checkpoint that cannot be used."""
    return ValueError(f"checkpoint {path} cannot be read ({error}): delete it to begin anew")


def _digest(kind: str, of: str, header: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps([kind, of, header]).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name].numpy())
        digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
