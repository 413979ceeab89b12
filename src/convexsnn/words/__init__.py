"""Networks proved right on every word that a finite automaton allows (theory.md section 8)."""

from convexsnn.words.prove import ProofSettings, ProvedWords, UndecidedWords, WrongWords, prove

__all__ = ["ProofSettings", "ProvedWords", "UndecidedWords", "WrongWords", "prove"]
