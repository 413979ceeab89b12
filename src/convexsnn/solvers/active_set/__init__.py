"""Newton's method on the active set, for one output after another."""
