"""The search's simulator compiled for CPUs: neurons are the lanes of vectors, and states stay in cache."""
