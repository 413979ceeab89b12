"""ONNX: the torch module of a network as a file that ONNX Runtime reads, checked there before it is written."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import torch
from torch import Tensor, nn

from convexsnn.caller import isolated
from convexsnn.checks import check_integer
from convexsnn.export.library import library
from convexsnn.export.plain_torch import to_torch
from convexsnn.export.wiring import ExportedNetwork
from convexsnn.files import write_atomically
from convexsnn.network import Network

# Sequences on which the file is run before it is written, and how near its outputs must come.
CHECKED, NEAR = 64, {torch.float32: 1e-4, torch.float64: 1e-9}


class Outputs(nn.Module):
    """An exported network from its zero state: its outputs alone."""

    def __init__(self, network: ExportedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of sequences; see `ExportedNetwork`."""
        return self.network(x)[0]


def program_of(network: Network, steps: int, *, batch_first: bool = False) -> torch.export.ExportedProgram:
    """What `torch.export` makes of a network for any number of sequences of so many steps: outputs alone, no gradient.

    Raises
    ------
    ValueError
        As in `to_torch`, and when `steps` is not a whole number of at least 1.
    """
    check_integer("steps", steps)
    module = Outputs(to_torch(network, batch_first=batch_first)).requires_grad_(False).eval()
    example = _drawn(network, 3, steps, batch_first=batch_first)
    sequences = {0 if batch_first else 1: torch.export.Dim("sequences", min=1)}
    return torch.export.export(module, (example,), dynamic_shapes=(sequences,))


@isolated
def to_onnx(network: Network, path: str | PathLike[str], *, steps: int, batch_first: bool = False) -> None:
    """Write a network as an ONNX file, which takes any number of sequences of so many steps, from the zero state.

    The file has one input x, of shape (steps, n, d) in the dtype of the network, and one output. It is run by ONNX
    Runtime on random numbers and on 0/1 input before it is written. Needs the packages ``onnx``, ``onnxscript`` and
    ``onnxruntime``.

    Parameters
    ----------
    network : Network
    path : path
        The file, which is written as a whole or not at all.
    steps : int
        The steps of every sequence, at least 1.
    batch_first : bool
        x has shape (n, steps, d).

    Raises
    ------
    ValueError
        As in `to_torch`.
    RuntimeError
        When ONNX Runtime gives other outputs than the network. Nothing is written.
    ImportError
        When one of the packages is missing.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        library(package)
    program = program_of(network, steps, batch_first=batch_first)
    written = torch.onnx.export(program, input_names=["x"], output_names=["y"], dynamo=True)
    assert written is not None
    data = written.model_proto.SerializeToString()
    _check(data, program.module(), network, steps, batch_first=batch_first)
    write_atomically(Path(path), data)


def _check(data: bytes, module: nn.Module, network: Network, steps: int, *, batch_first: bool) -> None:
    """RuntimeError where ONNX Runtime and the module answer differently."""
    session = library("onnxruntime").InferenceSession(data, providers=["CPUExecutionProvider"])
    drawn = _drawn(network, CHECKED, steps, batch_first=batch_first)
    for x in (drawn, (drawn > 0.0).to(drawn.dtype)):
        expected, found = module(x), torch.from_numpy(session.run(None, {"x": x.numpy()})[0])
        near = NEAR[network.hidden.dtype]
        if found.shape != expected.shape or not torch.allclose(found, expected, rtol=near, atol=near):
            raise RuntimeError("ONNX Runtime gives other outputs than the network: no file was written")


def _drawn(network: Network, sequences: int, steps: int, *, batch_first: bool) -> Tensor:
    shape = (sequences, steps) if batch_first else (steps, sequences)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, network.hidden.n_features, generator=generator, dtype=network.hidden.dtype)
