"""Networks of ours in the terms of other libraries, spike for spike, and back; each target has its file."""

from convexsnn.export.norse import to_norse
from convexsnn.export.onnx_file import to_onnx
from convexsnn.export.plain_torch import from_torch, to_torch
from convexsnn.export.read_nir import from_nir
from convexsnn.export.snntorch import to_snntorch
from convexsnn.export.spikingjelly import to_spikingjelly
from convexsnn.export.wiring import ExportedNetwork
from convexsnn.export.write_nir import to_nir

__all__ = [
    "ExportedNetwork",
    "from_nir",
    "from_torch",
    "to_nir",
    "to_norse",
    "to_onnx",
    "to_snntorch",
    "to_spikingjelly",
    "to_torch",
]
