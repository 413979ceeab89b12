"""The best pattern of two layers, the first of few neurons: tuples of spike trains, and functions of these, bounded."""
