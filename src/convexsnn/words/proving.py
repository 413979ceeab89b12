"""A network and a finite automaton: right on every word, wrong on a word, or undecided."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convexsnn.caller import isolated
from convexsnn.checks import check_integer, check_real
from convexsnn.estimators import SpikingClassifier
from convexsnn.network import Network
from convexsnn.proof.words import WORDS_FORMAT, CheckedWords, WordProofError, check_word_proof, seal_words
from convexsnn.tasks import Automaton
from convexsnn.words.boxes import Closed, Doubt, refine
from convexsnn.words.claim import WHO, claim_of, is_about
from convexsnn.words.counterexamples import first_error, hunt
from convexsnn.words.machine import Machine
from convexsnn.words.parts import ProofPart, close_parts

# Binary places of the bounds of boxes.
BOX_PLACES = 48
# Of the time for finding boxes, this share at most goes to branches apart: the rest is for all of them together.
PARTS_SHARE = 0.5


@dataclass(frozen=True)
class ProofSettings:
    """How far to look for a counterexample, and for a proof.

    Attributes
    ----------
    states : int
        States that are reached while words are run, the shortest words first, before a proof is tried.
    longest : int
        Steps of these words.
    boxes : int
        Boxes of a proof.
    seconds : float
        Time for finding the boxes, all ways together.
    """

    states: int = 50_000
    longest: int = 64
    boxes: int = 20_000
    seconds: float = 120.0

    def __post_init__(self) -> None:
        for name in ("states", "longest", "boxes"):
            check_integer(name, getattr(self, name))
        check_real("seconds", self.seconds, 0.0, open_minimum=True)


@dataclass(frozen=True)
class ProvedWords:
    """The network is right on words of every length.

    Attributes
    ----------
    file : str
        The proof file, which `convexsnn.proof.words` checks on its own.
    checked : CheckedWords
        What that check found.
    """

    file: str
    checked: CheckedWords


@dataclass(frozen=True)
class WrongWords:
    """The network is wrong on words, as running it shows.

    Attributes
    ----------
    words : list of tuple of int
        Each is answered wrong at its last step and right before it.
    shortest : bool
        Whether no shorter word is answered wrong.
    """

    words: list[tuple[int, ...]]
    shortest: bool


@dataclass(frozen=True)
class UndecidedWords:
    """Neither a proof nor a wrong word was found.

    Attributes
    ----------
    reason : str
        Why boxes did not close.
    right_up_to : int
        The network is right on all words of up to this length.
    """

    reason: str
    right_up_to: int


Outcome = ProvedWords | WrongWords | UndecidedWords


@isolated
def prove_words(
    model: Network | SpikingClassifier, automaton: Automaton, settings: ProofSettings | None = None
) -> Outcome:
    """Prove that a network answers every word of an automaton right, or find a word that it answers wrong.

    Parameters
    ----------
    model : Network or SpikingClassifier
        LIF neurons and threshold units in any number of layers and branches, read by "spike" or "membrane".
    automaton : Automaton
        Its answers are labels of the classifier, or numbers of classes of the network.
    settings : ProofSettings, optional

    Returns
    -------
    ProvedWords, WrongWords or UndecidedWords
        A proof has passed `check_word_proof`. It holds in real arithmetic, and in floating point with sums in any
        order. Each wrong word was run.

    Raises
    ------
    ValueError
        For networks that the proof does not know, by name, and where the automaton does not fit the network.
    """
    settings = settings or ProofSettings()
    network, automaton = in_classes(model, automaton)
    claim = claim_of(network, automaton)
    machine, wrong = Machine.of(network, automaton), []
    found = hunt(network, automaton, machine, most=settings.states, longest=settings.longest)
    if found.words:
        return WrongWords(found.words, shortest=found.complete == len(found.words[0]) - 1)

    def really_wrong(doubt: Doubt) -> bool:
        error = first_error(network, automaton, doubt.word)
        if error is not None:
            wrong.append(tuple(doubt.word[: error + 1]))
        return error is not None

    begun, reason = time.monotonic(), ""
    parts = close_parts(machine, most=settings.boxes, until=begun + PARTS_SHARE * settings.seconds)
    if parts is None:
        closed = refine(machine, most=settings.boxes, until=begun + settings.seconds, on_doubt=really_wrong)
        if isinstance(closed, Closed):
            parts = (ProofPart.whole(machine, closed.rows),)
        else:
            reason = closed
    if wrong:
        return WrongWords(wrong, shortest=False)
    if parts is not None:
        file = proof_file(claim, machine, parts)
        try:
            return ProvedWords(file, check_word_proof(file))
        except WordProofError as error:
            reason = f"the boxes found are no proof: {error}"
    return UndecidedWords(reason, found.complete)


def in_classes(model: Network | SpikingClassifier, automaton: Automaton) -> tuple[Network, Automaton]:
    """The network of a model, on the CPU, and the automaton with its answers as numbers of the network's classes."""
    if isinstance(model, Network):
        return model.to("cpu"), automaton
    if not isinstance(model, SpikingClassifier):
        raise ValueError(f"{WHO} is about a Network or a fitted SpikingClassifier, not {model!r}")
    if isinstance(model.classes_, list):
        raise ValueError(f"{WHO} knows one output, but the classifier has {len(model.classes_)}: use joint labels")
    return model.network_.to("cpu"), automaton.in_classes(model.classes_.tolist())


def check_proof_of(network: Network, file: str) -> CheckedWords:
    """What the contents of a proof file prove of a network.

    Raises
    ------
    WordProofError
        When they prove nothing, or are about another network.
    """
    checked = check_word_proof(file)
    if not is_about(json.loads(file), network):
        raise WordProofError("it is about another network")
    return checked


def proof_file(claim: dict[str, Any], machine: Machine, parts: Sequence[ProofPart]) -> str:
    """The proof as text: the claim, and the boxes of each part rounded outwards."""
    places, exact = min(BOX_PLACES, 2 * claim["places"]), [layer.exact.tolist() for layer in machine.layers]
    own = [{"layers": machine.layers_of(part.branches), "boxes": _boxes(part, places)} for part in parts]
    return seal_words({"format": WORDS_FORMAT} | claim | {"exact": exact, "box_places": places, "parts": own})


def _boxes(part: ProofPart, places: int) -> list[dict[str, Any]]:
    """The boxes of a part as a proof file has them."""
    rows, kept, echo = part.rows, part.machine.lasting, part.machine.echoing
    low = np.floor(np.ldexp(rows.low[:, kept], places)).tolist()
    high = np.ceil(np.ldexp(rows.high[:, kept], places)).tolist()
    spikes = rows.spikes[:, echo].astype(int).tolist()
    return [
        {"state": q, "spikes": s, "low": list(map(int, a)), "high": list(map(int, b))}
        for q, s, a, b in zip(rows.state.tolist(), spikes, low, high, strict=True)
    ]
