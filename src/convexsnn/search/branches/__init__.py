"""Small branches of neurons, many at once: how they are kept, drawn and varied, run, and priced."""
