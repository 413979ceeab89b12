"""The check of a proof that a spiking network answers every word right that a finite automaton allows.

A word is a sequence of symbols of any length. The network is taken apart into parts that feed no other. Each has boxes:
in a box the automaton is in a given state, and each membrane lies in an interval. This file checks that every part at
rest lies in a box, and that every symbol leads from every box into boxes of the part. By induction they hold all that
is reached. For each state and symbol a part adds at least so much to the lead of the right output over the others; the
sum over all parts must be a lead. The claim is about real arithmetic, and about floating point with sums in any order:
each sum is widened by a bound of its rounding error (Higham, Accuracy and Stability of Numerical Algorithms, 3.1).

All numbers are Python integers over a power of two, and nothing is rounded but outwards. The file needs the standard
library alone, and can be run by itself: ``python words.py PROOF.json``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import islice, product
from pathlib import Path
from typing import Any

WORDS_FORMAT = "convexsnn-words-2"
CLAIM_KEYS = ("dtype", "places", "network", "automaton")
KEYS = {"format", *CLAIM_KEYS, "exact", "box_places", "parts", "sha256"}
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
    parts, boxes, transitions, patterns : int
        Parts, their boxes, pairs of a box and a symbol, and spike patterns that are possible in these.
    margin : Fraction or None
        The right output exceeds every other by at least so much. None where no answer is asked.
    claim : str
        SHA-256 of what the claim is about: the dtype, the network and the automaton.
    """

    parts: int
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


@dataclass(frozen=True)
class _Proof:
    """A proof as parsed. Weights and symbols are over 2**places; potentials, outputs and boxes over 2**(2 places).

    `output` has rows by the number of a layer that is read, `terms` in all; sums for outputs that are `exact` do not
    round. A part has layers by number, and boxes.
    """

    places: int
    dtype: tuple[int, int]
    output: dict[int, list[list[int]]]
    terms: int
    exact: list[bool]
    automaton: dict[str, Any]
    parts: list[tuple[dict[int, _Layer], list[_Box]]]


def check_word_proof(text: str) -> CheckedWords:
    """Check the contents of a proof file; WordProofError where they cannot be read, or do not prove their claim."""
    try:
        content = _parse(text)
        return _checked(_read(content), claim_digest(content))
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


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    _require(len(dict(pairs)) == len(pairs), "a field stands twice in one object, or a layer is read twice")
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


def _matrix(rows: Any, height: int, width: int, least: int | None = None, most: int | None = None) -> list[list[int]]:
    _require(isinstance(rows, list) and len(rows) == height, f"{height} rows are expected")
    return [_integers(row, width, least, most) for row in rows]


def _read(content: dict[str, Any]) -> _Proof:
    """The proof as objects, after a check of all shapes and ranges."""
    places = _integer(content["places"], 1, 10_000)
    shift = 2 * places - _integer(content["box_places"], 0, 2 * places)
    network = _fields(content["network"], {"layers", "readout", "read", "output", "outputs"})
    automaton = _fields(content["automaton"], {"symbols", "start", "transitions", "answers"})
    symbols, states, outputs = automaton["symbols"], len(automaton["transitions"]), _integer(network["outputs"], 1)
    _matrix(symbols, len(symbols), len(symbols[0]))
    for name, most in (("transitions", states - 1), ("answers", max(2, outputs) - 1)):
        table = [[0 if entry is None else entry for entry in row] for row in automaton[name]]
        _matrix(table, states, len(symbols), 0, most)
    _integer(automaton["start"], 0, states - 1)
    _require(network["readout"] in ("spike", "membrane"), "the readout must be spike or membrane")
    read = _unique([(_fields(one, {"layer", "bias"})["layer"], one["bias"]) for one in network["read"]])
    layers: list[_Layer] = []
    for k, (facts, exact) in enumerate(zip(network["layers"], content["exact"], strict=True)):
        bias = read.get(k) if network["readout"] == "membrane" else None
        layers.append(_layer(facts, exact, bias, symbols, layers, places))
    widths = [len(_integers(bias, len(layers[_integer(k, 0)].leak))) for k, bias in read.items()]
    output = _matrix(network["output"], sum(widths), outputs)
    rows = iter(output)
    rows_of = {k: list(islice(rows, width)) for k, width in zip(read, widths, strict=True)}
    parts = [_part(facts, layers, states, shift) for facts in content["parts"]]
    covered = sorted(k for own, _ in parts for k in own)
    _require(bool(parts) and covered == list(range(len(layers))), "every layer must be in one part")
    columns = zip(*output, strict=True) if output else [()] * outputs
    exact = [sum(map(abs, own)) <= _divisor(own) << PRECISION["float64"][0] for own in columns]
    return _Proof(places, PRECISION[content["dtype"]], rows_of, len(output), exact, automaton, parts)


def _part(facts: Any, layers: list[_Layer], states: int, shift: int) -> tuple[dict[int, _Layer], list[_Box]]:
    own = {k: layers[_integer(k, 0)] for k in sorted(_fields(facts, {"layers", "boxes"})["layers"])}
    _require(all(layer.below < 0 or layer.below in own for layer in own.values()), "a layer reads another part")
    return own, [_box(box, list(own.values()), states, shift) for box in facts["boxes"]]


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


def _divisor(values: Iterable[int]) -> int:
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


def _checked(proof: _Proof, claim: str) -> CheckedWords:
    """Whether all parts are held by their boxes, and all answers are right."""
    checks, outputs = [_Check(proof, *part) for part in proof.parts], range(len(proof.exact))
    margins: list[Fraction] = []
    for check in checks:
        check.run()
    # A state and a symbol that are not in all parts are not reached.
    for key in set[tuple[int, int]].intersection(*(set(check.leads) for check in checks)):
        answer = proof.automaton["answers"][key[0]][key[1]]
        # Of equal outputs the first is taken; a single one answers class 1 where it is positive.
        ties = [answer] if len(outputs) == 1 else [c < answer for c in outputs if c != answer]
        sums = map(sum, zip(*(check.leads[key] for check in checks), strict=True))
        margins.append(min(Fraction(lead - tie, 4**proof.places) for lead, tie in zip(sums, ties, strict=True)))
        _require(margins[-1] >= 0, f"state {key[0]}, symbol {key[1]}: the answer is not proved right")
    counts = {name: sum(getattr(check, name) for check in checks) for name in ("boxes", "transitions", "patterns")}
    return CheckedWords(len(checks), **counts, margin=min(margins, default=None), claim=claim)


class _Check:
    """Whether boxes hold all that a part reaches; `leads` has the least that it adds to leads of right outputs."""

    def __init__(self, proof: _Proof, layers: dict[int, _Layer], boxes: list[_Box]) -> None:
        self.proof, self.layers, self.all = proof, layers, boxes
        self.groups: dict[tuple[int, tuple[int, ...]], list[_Box]] = {}
        for box in boxes:
            self.groups.setdefault((box.state, box.spikes), []).append(box)
        self.sums: dict[tuple[int, str, tuple[int, ...]], list[tuple[int, int]]] = {}
        self.leads: dict[tuple[int, int], list[int]] = {}
        self.boxes, self.transitions, self.patterns = len(boxes), 0, 0

    def run(self) -> None:
        automaton = self.proof.automaton
        rest = {k: [(0, 0, 0, 0)] * len(layer.leak) for k, layer in self.layers.items()}
        _require(self._held(automaton["start"], rest), "no box holds the network at rest")
        for number, box in enumerate(self.all):
            row = automaton["transitions"][box.state]
            for symbol in (symbol for symbol, target in enumerate(row) if target is not None):
                self.transitions += 1
                where = f"box {number}, symbol {symbol}"
                for count, cuts in enumerate(self._steps(box, tuple(automaton["symbols"][symbol]), {})):
                    _require(count < MOST_PATTERNS, f"{where}: too many spike patterns are possible")
                    _require(self._held(row[symbol], cuts), f"{where}: it leads out of all boxes")
                    self._note_leads(cuts, box.state, symbol)
                    self.patterns += 1

    def _summed(self, k: int, name: str, rows: list[list[int]], inputs: tuple[int, ...]) -> list[tuple[int, int]]:
        """`inputs @ rows`, and the sums of the sizes of its terms; kept under the number of a layer and a name."""
        key = (k, name, inputs)
        if key not in self.sums:
            used = [(x, row) for x, row in zip(inputs, rows, strict=True) if x]
            width = len(rows[0]) if rows else len(self.proof.exact)
            terms = ([x * row[j] for x, row in used] for j in range(width))
            self.sums[key] = [(sum(own), sum(map(abs, own))) for own in terms]
        return self.sums[key]

    def _held(self, state: int, cuts: dict[int, list[_Cut]]) -> bool:
        """Whether one box holds all of this; the one that was found last is tried first."""
        pairs = [(layer, cuts[k]) for k, layer in self.layers.items()]
        spikes = tuple(own[j][0] for layer, own in pairs for j in layer.echoing)
        low, high = ([own[j][end] for layer, own in pairs for j in layer.kept] for end in (2, 3))
        group = self.groups.get((state, spikes), [])
        for at, box in enumerate(group):
            if all(a <= b and c <= d for a, b, c, d in zip(box.low, low, high, box.high, strict=True)):
                group.insert(0, group.pop(at))
                return True
        return False

    def _steps(self, box: _Box, x: tuple[int, ...], done: dict[int, list[_Cut]]) -> Iterator[dict[int, list[_Cut]]]:
        """All that the neurons may do from a box under input x: for each layer one cut a neuron."""
        i, k = len(done), next((k for k in self.layers if k not in done), None)
        if k is None:
            yield done
            return
        below = self.layers[k].below
        inputs = x if below < 0 else tuple(cut[0] << self.proof.places for cut in done[below])
        for cuts in product(*self._cuts(k, box.before[i], inputs, box.echo[i])):
            yield from self._steps(box, x, done | {k: list(cuts)})

    def _cuts(
        self, k: int, before: list[tuple[int, int]], inputs: tuple[int, ...], spikes: tuple[int, ...]
    ) -> list[list[_Cut]]:
        """What each neuron of layer k may do."""
        proof, layer, places = self.proof, self.layers[k], self.proof.places
        (precision, smallest), drives = proof.dtype, self._summed(k, "weight", layer.weight, inputs)
        if layer.recurrent:
            own = self._summed(k, "recurrent", layer.recurrent, tuple(spike << places for spike in spikes))
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

    def _note_leads(self, cuts: dict[int, list[_Cut]], state: int, symbol: int) -> None:
        """Keep the least leads of the right output, less the rounding of the sums of this part's terms."""
        proof, answer = self.proof, self.proof.automaton["answers"][state][symbol]
        if answer is None:
            return
        read = [k for k in proof.output if k in cuts]
        rows, bits = [row for k in read for row in proof.output[k]], (cut[1] for k in read for cut in cuts[k])
        sums, ends = self._summed(-1, "output", rows, tuple(bit << proof.places for bit in bits)), []
        for (value, size), exact in zip(sums, proof.exact, strict=True):
            error = 0 if exact else _rounding(size, proof.terms, proof.places, *PRECISION["float64"])
            ends.append((value - error, value + error))
        leads = [ends[0][0] if answer else -ends[0][1]]
        if len(ends) > 1:
            leads = [ends[answer][0] - high for c, (_, high) in enumerate(ends) if c != answer]
        self.leads[state, symbol] = list(map(min, leads, self.leads.get((state, symbol), leads)))


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
    """The boxes, cut where the membrane reaches its bias, each with the bit that is read."""
    below = [(spike, 0, low, min(high, bias)) for spike, _, low, high in cuts if low < bias]
    return below + [(spike, 1, max(low, bias), high) for spike, _, low, high in cuts if high >= bias]


if __name__ == "__main__":
    try:
        print(json.dumps(asdict(check_word_proof(Path(sys.argv[1]).read_text())), indent=2, default=str))
    except (OSError, ValueError) as failure:
        sys.exit(f"does not hold: {failure}")
