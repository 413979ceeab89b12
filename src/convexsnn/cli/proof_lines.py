"""What a page says of a proof for every word."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from convexsnn.estimators import Estimator
from convexsnn.reading import reading
from convexsnn.words import check_proof_of

# States of which a page says how many boxes they have.
MOST_STATES = 20


def proof_lines(path: Path, estimator: Estimator) -> list[tuple[str, str]]:
    """States, boxes and margin of a proof in a model's folder; nothing where there is none.

    Raises
    ------
    DamagedFileError
        When the file proves nothing about this network.
    """
    if not path.is_file():
        return []
    with reading(path, "proof"):
        text = path.read_text()
        checked = check_proof_of(estimator.network_, text)
        content = json.loads(text)
    boxes = Counter(box["state"] for part in content["parts"] for box in part["boxes"])
    automaton = content["automaton"]
    each = ", ".join(f"{count} in state {state}" for state, count in sorted(boxes.items())[:MOST_STATES])
    margin = "no answer is asked for" if checked.margin is None else f"{float(checked.margin):.6g}"
    return [
        ("states and symbols of the automaton", f"{len(automaton['transitions'])}, {len(automaton['symbols'])}"),
        ("parts that are followed by themselves", str(checked.parts)),
        ("boxes that hold the membranes", f"{checked.boxes}: {each}" + (", ..." if len(boxes) > MOST_STATES else "")),
        ("steps checked, spike patterns in them", f"{checked.transitions}, {checked.patterns}"),
        ("least margin of the right output", margin),
        ("SHA-256 of the claim", checked.claim),
    ]
