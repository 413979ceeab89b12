r"""Cells."""
