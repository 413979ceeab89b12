"""Sealed files: the same content is the same bytes."""

import torch

from convexsnn.sealed import read_sealed, sealed_bytes


def test_the_same_content_is_the_same_bytes(tmp_path):
    header, tensors = {"a": 1, "ü": [0.1]}, {"W": torch.zeros(3), "U": torch.ones(2, dtype=torch.float64)}
    files = {sealed_bytes("kind", header, dict(reversed(tensors.items()) if i % 2 else tensors)) for i in range(40)}
    assert len(files) == 1
    path = tmp_path / "file"
    path.write_bytes(files.pop())
    found, read = read_sealed(path, "kind")
    assert found == header
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
