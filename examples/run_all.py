"""Run the examples one after another, keep their pictures, and say how long each took.

python examples/run_all.py [NAME ...] [--out FOLDER]

Without names it runs all of them. The pictures go to runs/examples, as forecast-1.png and so on.
"""

from __future__ import annotations

import argparse
import runpy
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.py") if path != Path(__file__))


def run(name: str, out: Path, **settings: Any) -> tuple[Any, list[Path]]:
    """What the `main` of an example returns, and its pictures in `out`."""
    from matplotlib import pyplot as plt

    plt.switch_backend("agg")
    result, pictures = runpy.run_path(str(HERE / f"{name}.py"))["main"](**settings), []
    out.mkdir(parents=True, exist_ok=True)
    for number in plt.get_fignums():
        pictures.append(out / f"{name}-{number}.png")
        plt.figure(number).savefig(pictures[-1], dpi=100)
    plt.close("all")
    return result, pictures


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(NAMES)}")
    parser.add_argument("--out", type=Path, default=Path("runs/examples"), help="folder of the pictures")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"there is no example {', '.join(sorted(unknown))}")
    for name in arguments.names or NAMES:
        begun = time.process_time()
        print(f"== {name}")
        _, pictures = run(name, arguments.out)
        print(f"-- {time.process_time() - begun:.1f} s of processor time, {len(pictures)} pictures\n", flush=True)


if __name__ == "__main__":
    main()
