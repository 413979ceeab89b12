"""Random problems whose global bounds exact neurons try to beat, and whose exact fits must be attained.

    python benchmarks/adversary.py --problems 5000 [--start 0] [--record adversary.jsonl]

Prints what is wrong with each problem, and how many were tried and wrong. With --record each outcome is a line of that
file, and a run that was stopped goes on from it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from adversary import attack


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--problems", type=int, default=5000)
    options.add_argument("--start", type=int, default=0)
    options.add_argument("--record", type=Path)
    chosen = options.parse_args()
    begun, wrong, neurons, ends = time.perf_counter(), 0, 0, Counter()
    for outcome in outcomes(range(chosen.start, chosen.start + chosen.problems), chosen.record):
        wrong, neurons = wrong + bool(outcome["wrong"]), neurons + outcome["tried"]
        ends[f"{outcome['route']}: {outcome['ended']}"] += 1
        for problem in outcome["wrong"]:
            print(f"seed {outcome['seed']}: {problem}")
    print(f"{chosen.problems} problems, {wrong} wrong, {neurons} patterns of the adversary")
    print("\n".join(f"{count:6d} {end}" for end, count in sorted(ends.items())))
    print(f"{time.perf_counter() - begun:.0f} s")
    return 1 if wrong else 0


def outcomes(seeds: range, record: Path | None) -> Iterator[dict[str, Any]]:
    """The outcome of each seed, those of the record as they stand there."""
    lines = record.read_text().splitlines() if record is not None and record.exists() else []
    known = {outcome["seed"]: outcome for outcome in map(json.loads, lines)}
    for seed in seeds:
        if seed not in known:
            known[seed] = {"seed": seed} | vars(attack(seed))
            if record is not None:
                with record.open("a") as file:
                    file.write(json.dumps(known[seed]) + "\n")
        yield known[seed]


if __name__ == "__main__":
    sys.exit(main())
