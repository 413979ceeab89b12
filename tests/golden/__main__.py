"""`python tests/golden`: compare every case with its file, to the last bit; `--write` pins what is now."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cases import CASES, run

FOLDER = Path(__file__).parent


def main() -> int:
    wanted = [name for name in sys.argv[1:] if not name.startswith("--")] or list(CASES)
    different = []
    for name in wanted:
        begun = time.perf_counter()
        facts, path = json.loads(json.dumps(run(name))), FOLDER / f"{name}.json"
        if "--write" in sys.argv:
            path.write_text(json.dumps(facts, indent=1) + "\n")
        same = facts == json.loads(path.read_text())
        print(f"{'same' if same else 'DIFFERENT':<10} {time.perf_counter() - begun:6.1f} s  {name}")
        if not same:
            different.append(name)
            before = json.loads(path.read_text())
            for key in before:
                if before[key] != facts.get(key):
                    print(f"    {key}:\n      was {str(before[key])[:300]}\n      is  {str(facts.get(key))[:300]}")
    return 1 if different else 0


sys.exit(main())
