"""Networks proved right on every word that a finite automaton allows (theory.md section 8)."""

from convexsnn.words.proving import (
    Outcome,
    ProofSettings,
    ProvedWords,
    UndecidedWords,
    WrongWords,
    check_proof_of,
    prove_words,
)
from convexsnn.words.training import Taught, going_on, train_until_proved

__all__ = [
    "Outcome",
    "ProofSettings",
    "ProvedWords",
    "Taught",
    "UndecidedWords",
    "WrongWords",
    "check_proof_of",
    "going_on",
    "prove_words",
    "train_until_proved",
]
