"""``python -m convexsnn.cli``."""

from convexsnn.cli import main

main()
