"""Branches run and scored on a GPU by one Triton kernel."""
