"""All 0/1 patterns that single neurons give, by enumeration in exact arithmetic, and weights for them."""
