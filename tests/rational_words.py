"""A network of a proof file run in rational arithmetic, written down from the definition of its neurons."""

from fractions import Fraction


def rational_run(content, word):
    """What the network of a proof's `content` does at each step of a word: its spikes, membranes and answer."""
    unit = Fraction(1, 2 ** content["places"])
    network, symbols = content["network"], content["automaton"]["symbols"]
    layers = network["layers"]
    v = [[Fraction(0)] * len(layer["leak"]) for layer in layers]
    s = [[0] * len(layer["leak"]) for layer in layers]
    for a in word:
        for k, layer in enumerate(layers):
            below = [unit * x for x in symbols[a]] if layer["below"] < 0 else s[layer["below"]]
            v[k], s[k] = _step(layer, unit, below, v[k], s[k])
        read = []
        for one in network["read"]:
            k = one["layer"]
            above = [int(x >= unit * b) for x, b in zip(v[k], one["bias"], strict=True)]
            read += s[k] if network["readout"] == "spike" else above
        scores = [_dot(read, [row[c] for row in network["output"]]) for c in range(network["outputs"])]
        yield list(s), list(v), int(scores[0] > 0) if len(scores) == 1 else scores.index(max(scores))


def _step(layer, unit, below, v, s):
    after, spikes = [], []
    for j in range(len(v)):
        theta = unit * layer["threshold"][j]
        potential = unit * (layer["leak"][j] * v[j] + layer["bias"][j] + _dot(below, [r[j] for r in layer["weight"]]))
        if layer["recurrent"] is not None:
            potential += unit * _dot(s, [row[j] for row in layer["recurrent"]])
        if layer["reset"] == "delayed" and v[j] >= theta:
            potential -= theta
        spikes.append(int(potential >= theta))
        kept = {"soft": potential - theta, "hard": Fraction(0)}.get(layer["reset"], potential)
        after.append(kept if spikes[j] else potential)
    return after, spikes


def _dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def right_answers(content, word):
    """What the automaton of a proof's `content` asks for at each step; None where there is no such word."""
    automaton = content["automaton"]
    q, asked = automaton["start"], []
    for a in word:
        asked.append(automaton["answers"][q][a])
        q = automaton["transitions"][q][a]
        if q is None:
            return None
    return asked


def is_held(content, q, spikes, membranes):
    """Whether a box of each part of the proof holds this state of the automaton and the network."""
    return all(_is_held(content, part, q, spikes, membranes) for part in content["parts"])


def _is_held(content, part, q, spikes, membranes):
    unit = Fraction(1, 2 ** content["box_places"])
    echo, kept = [], []
    for k in part["layers"]:
        layer, s, v = content["network"]["layers"][k], spikes[k], membranes[k]
        late, recurrent = layer["reset"] == "delayed", layer["recurrent"]
        echo += [one for j, one in enumerate(s) if late or (recurrent is not None and any(recurrent[j]))]
        kept += [one for j, one in enumerate(v) if layer["leak"][j]]
    return any(
        box["state"] == q
        and box["spikes"] == echo
        and all(unit * a <= x <= unit * b for a, x, b in zip(box["low"], kept, box["high"], strict=True))
        for box in part["boxes"]
    )
