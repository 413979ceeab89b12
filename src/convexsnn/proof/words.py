"""The check of a proof that a spiking network answers every word right that a finite automaton allows.

A word is a sequence of symbols of any length. The proof is a list of boxes: in each, the automaton is in a given state,
and each membrane lies in an interval. This file checks that the network at rest lies in a box, that every symbol leads
from every box into boxes of the list, and that the network's answer there is right. By induction it is then right on
every word. The claim is about real arithmetic, and about floating point with sums in any order: each potential is
widened by a bound of its rounding error (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1).

All numbers are Python integers over a power of two, and nothing is rounded but outwards. The file needs the standard
library alone, and can be run by itself: ``python words.py PROOF.json``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

WORDS_FORMAT = "convexsnn-words-1"
CLAIM_KEYS = ("dtype", "places", "network", "automaton")
KEYS = {"format", *CLAIM_KEYS, "exact", "box_places", "boxes", "sha256"}
PRECISION = {"float64": (53, 1074), "float32": (24, 149)}  # bits of a significand, places of the smallest number
LARGEST_EXPONENT = 100  # sums beyond this power of two are refused, so no potential overflows
MOST_PATTERNS = 2**16  # of one box under one symbol

_Cut = tuple[int, int, int, int]
"""What one neuron may do in a step: its spike, the bit that is read of it, and the interval of its membrane."""


class WordProofError(ValueError):
    """The file is no proof; says where it fails."""


@dataclass(frozen=True)
class CheckedWords:
    """What a proof was found to prove.

    Attributes
    ----------
    boxes, transitions, patterns : int
        Boxes, pairs of a box and a symbol, and spike patterns that are possible in these.
    margin : Fraction or None
        The right output exceeds every other by at least so much. None where no answer is asked.
    claim : str
        SHA-256 of what the claim is about: the dtype, the network and the automaton.
    """

    boxes: int
    transitions: int
    patterns: int
    margin: Fraction | None
    claim: str


@dataclass(frozen=True)
class _Layer:
    """A layer. `below` numbers the layer that it reads; -1 is the input. `grid` divides all terms of exact sums."""

    below: int
    weight: list[list[int]]
    recurrent: list[list[int]]
    bias: list[int]
    leak: list[int]
    threshold: list[int]
    reset: str
    read_bias: list[int] | None
    grid: list[int]
    kept: list[int]
    echoing: list[int]


@dataclass(frozen=True)
class _Box:
    """A state of the automaton, the spikes that matter for the next step, and intervals of the membranes that do.

    `before` and `echo` have these for all neurons of each layer, with zeros for those that do not matter.
    """

    state: int
    spikes: tuple[int, ...]
    low: list[int]
    high: list[int]
    before: list[list[tuple[int, int]]]
    echo: list[tuple[int, ...]]

    def holds(self, low: list[int], high: list[int]) -> bool:
        return all(a <= b and c <= d for a, b, c, d in zip(self.low, low, high, self.high, strict=True))


@dataclass
class _Proof:
    """A proof as parsed. Weights and symbols are over 2**places; potentials, outputs and boxes over 2**(2 places)."""

    places: int
    dtype: tuple[int, int]
    layers: list[_Layer]
    read: list[int]
    output: list[list[int]]
    outputs: int
    automaton: dict[str, Any]
    boxes: list[_Box]
    sums: dict[tuple[int, str, tuple[int, ...]], list[tuple[int, int]]] = field(default_factory=dict)

    def summed(self, k: int, name: str, rows: list[list[int]], inputs: tuple[int, ...]) -> list[tuple[int, int]]:
        """`inputs @ rows`, and the sums of the sizes of its terms; kept under the number of a layer and a name."""
        key = (k, name, inputs)
        if key not in self.sums:
            used = [(x, row) for x, row in zip(inputs, rows, strict=True) if x]
            width = len(rows[0]) if rows else self.outputs
            terms = ([x * row[j] for x, row in used] for j in range(width))
            self.sums[key] = [(sum(own), sum(map(abs, own))) for own in terms]
        return self.sums[key]


def check_word_proof(text: str) -> CheckedWords:
    """Check a proof.

    Parameters
    ----------
    text : str
        The contents of a proof file.

    Raises
    ------
    WordProofError
        When the file cannot be read, or does not prove its claim.
    """
    try:
        content = _parse(text)
        return _Check(_read(content)).run(claim_digest(content))
    except WordProofError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise WordProofError(f"the file cannot be read: {error!r}") from error


def claim_digest(content: dict[str, Any]) -> str:
    """SHA-256 of what a proof is about: its dtype, network and automaton."""
    return _digest({name: content[name] for name in CLAIM_KEYS})


def seal_words(content: dict[str, Any]) -> str:
    """The contents of a proof file: `content` with a digest of all of it."""
    return json.dumps(content | {"sha256": _digest(content)}, separators=(",", ":"))


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise WordProofError(reason)


def _parse(text: str) -> dict[str, Any]:
    content = json.loads(text, object_pairs_hook=_unique)
    _fields(content, KEYS)
    _require(content["format"] == WORDS_FORMAT, f"its format is {content['format']!r}, not {WORDS_FORMAT!r}")
    rest = {name: value for name, value in content.items() if name != "sha256"}
    _require(content["sha256"] == _digest(rest), "it is not as it was written: its SHA-256 differs")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _require(len(dict(pairs)) == len(pairs), "a field stands twice in one object")
    return dict(pairs)


def _fields(facts: Any, keys: set[str]) -> Any:
    _require(isinstance(facts, dict) and facts.keys() == keys, f"the fields must be {sorted(keys)}")
    return facts


def _integer(value: Any, least: int | None = None, most: int | None = None) -> int:
    _require(type(value) is int, f"{value!r} is no integer")
    _require((least is None or value >= least) and (most is None or value <= most), f"{value} is out of range")
    return value


def _integers(values: Any, size: int, least: int | None = None, most: int | None = None) -> list[int]:
    _require(isinstance(values, list) and len(values) == size, f"{size} integers are expected")
    return [_integer(value, least, most) for value in values]


def _matrix(rows: Any, height: int, width: int) -> list[list[int]]:
    _require(isinstance(rows, list) and len(rows) == height, f"{height} rows are expected")
    return [_integers(row, width) for row in rows]


def _table(rows: Any, states: int, symbols: int, most: int) -> list[list[int | None]]:
    shaped = len(rows) == states and all(len(row) == symbols for row in rows)
    _require(shaped, f"{states} rows of {symbols} entries are expected")
    return [[None if entry is None else _integer(entry, 0, most) for entry in row] for row in rows]


def _read(content: dict[str, Any]) -> _Proof:
    """The proof as objects, after a check of all shapes and ranges."""
    places = _integer(content["places"], 1, 10_000)
    shift = 2 * places - _integer(content["box_places"], 0, 2 * places)
    network = _fields(content["network"], {"layers", "readout", "read", "output", "outputs"})
    automaton = _fields(content["automaton"], {"symbols", "start", "transitions", "answers"})
    symbols, states = automaton["symbols"], len(automaton["transitions"])
    _matrix(symbols, len(symbols), len(symbols[0]))
    outputs = _integer(network["outputs"], 1)
    _table(automaton["transitions"], states, len(symbols), states - 1)
    _table(automaton["answers"], states, len(symbols), max(2, outputs) - 1)
    _integer(automaton["start"], 0, states - 1)
    _require(network["readout"] in ("spike", "membrane"), "the readout must be spike or membrane")
    read = {_fields(one, {"layer", "bias"})["layer"]: one["bias"] for one in network["read"]}
    _require(len(read) == len(network["read"]), "a layer is read twice")
    layers: list[_Layer] = []
    for k, (facts, exact) in enumerate(zip(network["layers"], content["exact"], strict=True)):
        bias = read.get(k) if network["readout"] == "membrane" else None
        layers.append(_layer(facts, exact, bias, symbols, layers, places))
    widths = [len(_integers(bias, len(layers[_integer(k, 0)].leak))) for k, bias in read.items()]
    output = _matrix(network["output"], sum(widths), outputs)
    boxes = [_box(facts, layers, states, shift) for facts in content["boxes"]]
    return _Proof(places, PRECISION[content["dtype"]], layers, list(read), output, outputs, automaton, boxes)


def _layer(facts: Any, exact: Any, read_bias: Any, symbols: Any, before: list[_Layer], places: int) -> _Layer:
    _fields(facts, {"below", "weight", "recurrent", "bias", "leak", "threshold", "reset"})
    below, m, reset = _integer(facts["below"], -1, len(before) - 1), len(facts["leak"]), facts["reset"]
    weight = _matrix(facts["weight"], len(symbols[0]) if below < 0 else len(before[below].leak), m)
    recurrent = [] if facts["recurrent"] is None else _matrix(facts["recurrent"], m, m)
    bias, threshold = _integers(facts["bias"], m), _integers(facts["threshold"], m)
    leak = _integers(facts["leak"], m, 0, 1 << places)
    _require(reset in ("soft", "hard", "none", "delayed"), f"the reset {reset!r} is unknown")
    _require(reset != "delayed" or min(threshold, default=1) > 0, "the reset 'delayed' needs positive thresholds")
    _require(isinstance(exact, list) and len(exact) == m, "`exact` needs one flag a neuron")
    inputs = symbols if below < 0 else [[1 << places] * len(weight)]
    others, grid = [bias, threshold, *recurrent], [0] * m
    for j in (j for j in range(m) if exact[j] is not False):
        _require(exact[j] is True and leak[j] in (0, 1 << places), "a neuron with a leak is not exact")
        terms = [x * row[j] for vector in inputs for x, row in zip(vector, weight, strict=True)]
        grid[j] = _divisor(terms + [values[j] << places for values in others])
    kept = [j for j in range(m) if leak[j]]
    echoing = [j for j in range(m) if reset == "delayed" or (recurrent and any(recurrent[j]))]
    return _Layer(below, weight, recurrent, bias, leak, threshold, reset, read_bias, grid, kept, echoing)


def _divisor(values: list[int]) -> int:
    """The largest power of two that divides all of these; 1 of zeros."""
    bits = 0
    for value in values:
        bits |= abs(value)
    return bits & -bits or 1


def _box(facts: Any, layers: list[_Layer], states: int, shift: int) -> _Box:
    _fields(facts, {"state", "spikes", "low", "high"})
    spikes = _integers(facts["spikes"], sum(len(layer.echoing) for layer in layers), 0, 1)
    kept = sum(len(layer.kept) for layer in layers)
    low, high = ([value << shift for value in _integers(facts[name], kept)] for name in ("low", "high"))
    ends, bits = zip(low, high, strict=True), iter(spikes)
    before = [[next(ends) if leak else (0, 0) for leak in layer.leak] for layer in layers]
    echo = [tuple(next(bits) if j in layer.echoing else 0 for j in range(len(layer.leak))) for layer in layers]
    return _Box(_integer(facts["state"], 0, states - 1), tuple(spikes), low, high, before, echo)


class _Check:
    """Whether the boxes of a proof hold all that is reached, and all answers there are right."""

    def __init__(self, proof: _Proof) -> None:
        self.proof, self.layers = proof, proof.layers
        self.groups: dict[tuple[int, tuple[int, ...]], list[_Box]] = {}
        for box in proof.boxes:
            self.groups.setdefault((box.state, box.spikes), []).append(box)
        self.margin: int | None = None

    def run(self, claim: str) -> CheckedWords:
        automaton, transitions, patterns = self.proof.automaton, 0, 0
        rest = [[(0, 0, 0, 0)] * len(layer.leak) for layer in self.layers]
        _require(self._held(automaton["start"], rest), "no box holds the network at rest")
        for number, box in enumerate(self.proof.boxes):
            for symbol, target in enumerate(automaton["transitions"][box.state]):
                if target is None:
                    continue
                transitions += 1
                where, first = f"box {number}, symbol {symbol}", patterns
                for cuts in self._steps(box, tuple(automaton["symbols"][symbol]), []):
                    patterns += 1
                    _require(patterns - first <= MOST_PATTERNS, f"{where}: too many spike patterns are possible")
                    self._check_answer(cuts, automaton["answers"][box.state][symbol], where)
                    _require(self._held(target, cuts), f"{where}: it leads out of all boxes")
        margin = None if self.margin is None else Fraction(self.margin, 4**self.proof.places)
        return CheckedWords(len(self.proof.boxes), transitions, patterns, margin, claim)

    def _held(self, state: int, cuts: list[list[_Cut]]) -> bool:
        """Whether one box holds all of this; the one that was found last is tried first."""
        pairs = list(zip(self.layers, cuts, strict=True))
        spikes = tuple(own[j][0] for layer, own in pairs for j in layer.echoing)
        low, high = ([own[j][end] for layer, own in pairs for j in layer.kept] for end in (2, 3))
        group = self.groups.get((state, spikes), [])
        for at, box in enumerate(group):
            if box.holds(low, high):
                group.insert(0, group.pop(at))
                return True
        return False

    def _steps(self, box: _Box, x: tuple[int, ...], done: list[list[_Cut]]) -> Iterator[list[list[_Cut]]]:
        """All that the neurons may do from a box under input x: for each layer one cut a neuron."""
        k = len(done)
        if k == len(self.layers):
            yield done
            return
        below = self.layers[k].below
        inputs = x if below < 0 else tuple(cut[0] << self.proof.places for cut in done[below])
        for cuts in product(*self._cuts(k, box.before[k], inputs, box.echo[k])):
            yield from self._steps(box, x, [*done, list(cuts)])

    def _cuts(
        self, k: int, before: list[tuple[int, int]], inputs: tuple[int, ...], spikes: tuple[int, ...]
    ) -> list[list[_Cut]]:
        """What each neuron of layer k may do."""
        proof, layer, places = self.proof, self.layers[k], self.proof.places
        (precision, smallest), drives = proof.dtype, proof.summed(k, "weight", layer.weight, inputs)
        if layer.recurrent:
            own = proof.summed(k, "recurrent", layer.recurrent, tuple(spike << places for spike in spikes))
            drives = [(a + c, b + d) for (a, b), (c, d) in zip(drives, own, strict=True)]
        # Products and sums, the leak, the bias and the threshold.
        terms, cuts = len(layer.weight) + len(layer.recurrent) + 4, []
        for j, ((current, size), (low, high)) in enumerate(zip(drives, before, strict=True)):
            leak, bias, theta = layer.leak[j], layer.bias[j] << places, layer.threshold[j] << places
            current += bias - (theta if layer.reset == "delayed" and spikes[j] else 0)
            # A product with a leak has `places` more than a potential: these are rounded outwards.
            low, high = leak * low >> places, -(-leak * high >> places)
            size += abs(bias) + abs(theta) + max(abs(low), abs(high))
            _require(size >> 2 * places < 1 << LARGEST_EXPONENT, "potentials may leave the range of the dtype")
            exact = layer.grid[j] > 0
            fine = size <= layer.grid[j] << precision and layer.grid[j] << smallest >= 1 << 2 * places
            _require(fine or not exact, "sums that are said to be exact may round")
            error = 0 if exact else _rounding(size, terms, places, precision, smallest)
            own = _cut(low + current - error, high + current + error, theta, layer.reset)
            cuts.append(own if layer.read_bias is None else _cut_again(own, layer.read_bias[j] << places))
        return cuts

    def _check_answer(self, cuts: list[list[_Cut]], answer: int | None, where: str) -> None:
        """Whether the output answers right by more than its rounding; of equal outputs the first is taken."""
        if answer is None:
            return
        proof = self.proof
        bits = tuple(cut[1] << proof.places for k in proof.read for cut in cuts[k])
        ends = []
        for c, (value, size) in enumerate(proof.summed(len(self.layers), "output", proof.output, bits)):
            exact = size <= _divisor([row[c] for row in proof.output]) << (53 + proof.places)
            error = 0 if exact else _rounding(size, len(bits), proof.places, *PRECISION["float64"])
            ends.append((value - error, value + error))
        if len(ends) == 1:  # class 1 where the output is positive
            leads = [ends[0][0] - 1 if answer else -ends[0][1]]
        else:
            leads = [ends[answer][0] - ends[c][1] - (c < answer) for c in range(len(ends)) if c != answer]
        _require(min(leads) >= 0, f"{where}: the answer is not proved right")
        self.margin = min(leads) if self.margin is None else min(self.margin, *leads)


def _rounding(size: int, terms: int, places: int, precision: int, smallest: int) -> int:
    """The largest error of a sum over 2**(2 places) of so many terms, the sizes of which add up to `size`."""
    return -(-size * terms // (2**precision - terms)) + (terms << max(0, 2 * places - smallest)) if size else 0


def _cut(low: int, high: int, theta: int, reset: str) -> list[_Cut]:
    """A potential in an interval, cut at the threshold, then reset; it fires where it reaches the threshold."""
    cuts = [(0, 0, low, min(high, theta))] if low < theta else []
    if high >= theta:
        low = max(low, theta)
        kept = {"soft": (low - theta, high - theta), "hard": (0, 0)}.get(reset, (low, high))
        cuts.append((1, 1, *kept))
    return cuts


def _cut_again(cuts: list[_Cut], bias: int) -> list[_Cut]:
    """The same, cut where the membrane that is left reaches its bias, with the bit that is read."""
    below = [(spike, 0, low, min(high, bias)) for spike, _, low, high in cuts if low < bias]
    return below + [(spike, 1, max(low, bias), high) for spike, _, low, high in cuts if high >= bias]


def _main(path: str) -> int:
    """Check a file, and print what it proves as JSON; 0 when it holds, 1 when not."""
    try:
        checked = check_word_proof(Path(path).read_text())
    except (OSError, ValueError) as error:
        print(f"does not hold: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(checked), indent=2, default=str))
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
