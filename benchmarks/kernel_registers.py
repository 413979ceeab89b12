"""The kernel of a search on a GPU, compiled without one: registers and spilled bytes by shape of branch.

    python benchmarks/kernel_registers.py [--capability 90]

Needs Triton, which comes with PyTorch for CUDA and has the assembler. Nothing is run, so nothing is timed but what
compiling takes: seconds of the processor.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource

from convexsnn.readouts import Membrane
from convexsnn.search.branches.fused.genes import rows_of
from convexsnn.search.branches.on_gpu.kernel import Extent, Handed, StretchPointers, Written, walk_branch
from convexsnn.search.branches.on_gpu.walking import OPTIONS, lanes_for, shape_of
from convexsnn.search.branches.population import Population
from convexsnn.search.branches.variation import Variation
from convexsnn.witnesses import Architecture

SIGNATURE = {
    "tree": StretchPointers("*fp32", "*i32", "*i32", "*fp32", "i32"),
    "numbers": "*fp32",
    "handed": Handed("*fp32", "*fp32"),
    "written": Written("*fp32", "*i64"),
    "extent": Extent("i32", "i32", "i32", "i32", "i32"),
    "shape": "constexpr",
}
# Memory that torch gives begins at a multiple of 16 bytes, and so many are the paths.
SIXTEEN = [(0, 4), (0, 0), (0, 1), (0, 2), (0, 3), (1,), (2, 0), (2, 1), (3, 0), (3, 1)]
ALIGNED = {place: [["tt.divisibility", 16]] for place in SIXTEEN}
# Features, neurons of a layer, outputs (none: what is seen is kept instead), and the shape of a branch.
CASES = {
    "12 neurons, bits, recurrent": (2, 12, 1, {"depth": 2, "recurrent": True}),
    "the same, patterns": (2, 12, 0, {"depth": 2, "recurrent": True}),
    "12 neurons, bits": (2, 12, 1, {"depth": 2}),
    "12 neurons, 56 reals, 10 outputs, recurrent": (56, 12, 10, {"depth": 2, "recurrent": True}),
    "two layers of 12, bits": (2, 12, 1, {"depth": 3}),
    "three recurrent layers of 24, delayed reset": (2, 24, 1, {"depth": 4, "recurrent": True, "reset": "delayed"}),
    "64 neurons, 28 reals, 10 outputs, recurrent": (28, 64, 10, {"depth": 2, "recurrent": True}),
    "the same, two layers, membranes": (28, 64, 10, {"depth": 3, "recurrent": True, "readout": "membrane"}),
}


def branches(features: int, width: int, readout: str = "spike", **shape) -> Population:
    architecture = Architecture(features, bias=True, readout=readout, **shape)
    return Variation(architecture, width, torch.ones(features), free_leak=True).draw(1, torch.Generator())


def assembled(ptx: str, capability: int) -> str:
    """What the assembler says of registers and spills."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "kernel.ptx"
        source.write_text(ptx)
        architecture = f"sm_{capability}a" if capability >= 90 else f"sm_{capability}"
        command = [get_ptxas(capability).path, "-v", f"-arch={architecture}", str(source), "-o", str(source) + ".cubin"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capability", type=int, default=90)
    options = parser.parse_args()
    triton.knobs.compilation.always_compile = True
    print("| branches | paths of a program | registers | spilled bytes | compiling, s |\n|---|---|---|---|---|")
    for name, (features, width, outputs, form) in CASES.items():
        population = branches(features, width, **form)
        membrane = isinstance(population.readout, Membrane)
        shape = shape_of(*rows_of(population, lanes_for(population)), outputs, membrane=membrane)
        source = ASTSource(walk_branch, SIGNATURE, {(5,): shape}, ALIGNED)
        began = sum(os.times()[:4])
        compiled = triton.compile(source, target=GPUTarget("cuda", options.capability, 32), options=OPTIONS)
        seconds = sum(os.times()[:4]) - began
        said = assembled(compiled.asm["ptx"], options.capability)
        registers, spilled = (re.search(f, said)[1] for f in (r"Used (\d+) registers", r"(\d+) bytes spill stores"))
        print(f"| {name} | {shape.paths} | {registers} | {spilled} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
