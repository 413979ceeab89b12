"""Networks proved right on every word that a finite automaton allows (theory.md section 8)."""

from convexsnn.words.prove import Outcome, ProofSettings, ProvedWords, UndecidedWords, WrongWords, prove

__all__ = ["Outcome", "ProofSettings", "ProvedWords", "UndecidedWords", "WrongWords", "prove"]
