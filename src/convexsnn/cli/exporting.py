"""What `convexsnn export` does."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from safetensors.torch import save as serialize

from convexsnn.cli.folder import model_file, read_model
from convexsnn.cli.targets import check_target, is_exported, is_graph
from convexsnn.export import to_nir, to_torch
from convexsnn.export.library import library
from convexsnn.files import write_atomically


def export(model: Path, to: str, out: Path, *, soft_reset: bool, steps: int | None, force: bool) -> dict[str, Any]:
    """Write the network of a model for another tool; returns what was written."""
    if to == "torch" and (soft_reset or steps is not None):
        raise ValueError("--soft-reset and --steps are for --to nir alone")
    check_target(out, is_exported if to == "torch" else is_graph, model_file(model), force=force)
    estimator, _ = read_model(model)
    network = estimator.network_
    hidden = network.hidden
    facts = {
        "inputs": hidden.n_features,
        "neurons": hidden.n_neurons,
        "outputs": network.W.shape[1],
        "readout": hidden.readout.describe(),
        "every_step": hidden.every_step,
    }
    if to == "torch":
        state = {name: tensor.contiguous() for name, tensor in to_torch(network).state_dict().items()}
        write_atomically(out, serialize(state, metadata={"convexsnn": json.dumps(facts)}))
        return facts | {"tensors": len(state)}
    graph = to_nir(network, soft_reset="subgraph" if soft_reset else "raise", steps=steps)
    buffer = io.BytesIO()
    library("nir").write(buffer, graph)
    write_atomically(out, buffer.getvalue())
    return facts | {"nodes": len(graph.nodes), "dt": graph.metadata["convexsnn_dt"]}
