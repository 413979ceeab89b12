"""``python -m convexsnn``: the command line, also for torchrun."""

from convexsnn.cli import main

main()
