"""The semismooth Newton solver: proximal point steps, their Newton systems, and how these are solved."""
