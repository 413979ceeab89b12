"""Cells of a neuron's parameters in which it decides alike on all its input, along the tree of its prefixes."""
