"""Sealed files: safetensors with a JSON header and a digest of both, written as a whole or not at all.

Models and checkpoints are such files. A file that is damaged in any bit of its content is refused before anything is
made of it, and none executes code when it is loaded. The digest is no signature: who alters a file can seal it again.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from convexsnn.files import write_atomically
from convexsnn.reading import DamagedFileError, parse_json, reading, regular_size

DIGEST = "sha256"


def write_sealed(path: str | Path, kind: str, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write what `sealed_bytes` gives. Raises OSError when it cannot be written; the old file is left as it was."""
    write_atomically(path, sealed_bytes(kind, header, tensors))


def sealed_bytes(kind: str, header: dict[str, Any], tensors: dict[str, Tensor]) -> bytes:
    """A header and tensors as the contents of a sealed file.

    Parameters
    ----------
    kind : str
        What the file is; the name of the header in it.
    header : dict
        JSON-compatible.
    tensors : dict of str to Tensor

    Raises
    ------
    ValueError
        When the header holds what JSON has not, such as a NaN.
    """
    # Each tensor on its own, as safetensors wants it.
    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(header, allow_nan=False)
    return _in_order(serialize(ready, metadata={kind: text, DIGEST: _digest(kind, text, ready)}))


def _in_order(content: bytes) -> bytes:
    """A safetensors file with the names of its header sorted: safetensors writes metadata in an order of chance."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)  # tensors begin at a multiple of 8 bytes
    return len(header).to_bytes(8, "little") + header + content[end:]


def read_sealed(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Inverse of `write_sealed`: header and tensors, which are on the CPU.

    Raises
    ------
    DamagedFileError
        When the file is missing, damaged in any bit, or of another kind.
    """
    metadata, tensors = _read(path, kind)
    with reading(path, DIGEST):
        if metadata.get(DIGEST) != _digest(kind, metadata[kind], tensors):
            raise ValueError("it is not that of the content, so the file is damaged, or not of this version")
    return parse_json(metadata[kind], path, "header"), tensors


def read_sealed_header(path: str | Path, kind: str) -> dict[str, Any]:
    """The header alone, without reading the tensors, so it is not held against the digest. Raises DamagedFileError."""
    return parse_json(_read(path, kind, with_tensors=False)[0][kind], path, "header")


def _read(path: str | Path, kind: str, *, with_tensors: bool = True) -> tuple[dict[str, str], dict[str, Tensor]]:
    regular_size(path)
    with reading(path, "file"):
        # safetensors holds the offsets of all tensors against the file's size before it reads any.
        try:
            with safe_open(str(path), framework="pt") as file:
                metadata = file.metadata() or {}
                names = list(file.keys()) if with_tensors else []
                tensors = {name: file.get_tensor(name) for name in names}
        except Exception as error:
            raise ValueError(f"it is truncated or not a safetensors file ({error})") from error
    if kind not in metadata:
        raise DamagedFileError(path, "header", f"it has none of the kind {kind!r}: convexsnn did not write it as such")
    return metadata, tensors


def _digest(kind: str, text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps([kind, text]).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name].numpy())
        digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()


def check_tensor(name: str, tensor: Tensor | None, dtype: torch.dtype, *shape: int) -> Tensor:
    """A tensor of a file, which must be of this dtype and shape and finite; ValueError that names it otherwise."""
    if tensor is None:
        raise ValueError(f"tensor {name} is missing")
    if tensor.dtype != dtype or tuple(tensor.shape) != shape:
        raise ValueError(f"tensor {name} must be {dtype} of shape {shape}, got {tensor.dtype} {tuple(tensor.shape)}")
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"tensor {name} must be finite")
    return tensor
