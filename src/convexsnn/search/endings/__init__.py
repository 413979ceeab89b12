"""How a search ends: fewer columns, fewer connections, and the choice among several attempts."""
