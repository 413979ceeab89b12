"""Neurons of SpikingJelly in our terms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from convexsnn.neurons import LIF
from convexsnn.witnesses.foreign.kinds import ForeignKind, ForeignNeurons, check_fires


def _if_node(name: str, part: Any) -> ForeignNeurons:
    check_fires(name, part.surrogate_function, ties=True)
    if part.v_reset not in (None, 0.0):
        raise ValueError(f"module: {name} resets to {part.v_reset}; neurons of convexsnn reset to 0 or by subtraction")
    if part._memories_rv != {"v": 0.0}:
        raise ValueError(f"module: {name} begins from {part._memories_rv.get('v')}; neurons of convexsnn begin from 0")
    reset = "soft" if part.v_reset is None else "hard"
    return ForeignNeurons(LIF, {"leak": 1.0, "threshold": part.v_threshold}, {"reset": reset})


def _lif_node(name: str, part: Any) -> ForeignNeurons:
    return _decaying(name, part, 1.0 / part.tau)


def _parametric_lif_node(name: str, part: Any) -> ForeignNeurons:
    return _decaying(name, part, part.w.detach().sigmoid())


def _decaying(name: str, part: Any, share: Any) -> ForeignNeurons:
    """Neurons of which this share of the membrane is lost in each step."""
    own = _if_node(name, part)
    return replace(own, values=own.values | {"leak": 1.0 - share}, gain=share if part.decay_input else 1.0)


def _begin(part: Any) -> None:
    part.step_mode = "s"
    part.reset()


_FIXED = {"_neuron_precision": None}
_READ = ("v_threshold", "v_reset", "_memories_rv", "surrogate_function")
_IDLE = ("_memories", "_step_mode", "_backend", "detach_reset", "_store_v_seq", "v_seq", "lava_s_cale")

KINDS = {
    "LIFNode": ForeignKind(_lif_node, (*_READ, "tau", "decay_input"), _FIXED, _IDLE, _begin),
    "IFNode": ForeignKind(_if_node, _READ, _FIXED, _IDLE, _begin),
    "ParametricLIFNode": ForeignKind(_parametric_lif_node, (*_READ, "w", "decay_input"), _FIXED, _IDLE, _begin),
}
