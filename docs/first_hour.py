"""Measures how long a newcomer waits: clone, environment, install, and the listings of a tutorial.

    python docs/first_hour.py                                # `make demo`, and all tutorials
    python docs/first_hour.py docs/tutorials/series.md       # one of them; `demo` stands for `make demo`
    python docs/first_hour.py --torch torch==2.13.0          # which torch is installed

Each page is followed in a clone and in an environment of its own, which are removed afterwards. What is installed is
what the first `sh` block of the page says. Its listings are then run by `docs/follow.py`. The commit is the one that is
checked out; what is not committed is not tried. Each entry has seconds by the clock and, in brackets, seconds of
processor time. On a machine that does other work only the latter say how long it takes.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEMO, TUTORIALS = Path("demo"), sorted((ROOT / "docs" / "tutorials").glob("*.md"))
INSTALL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STATED = re.compile(r"first output after ([\d.]+) s \(([\d.]+) s of processor time\)")
# Until all is installed, until the first output, and until the end; each by the clock and of processor time.
Times = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]


@dataclass
class Newcomer:
    """A clone in a folder, an environment beside it, and a clock that starts with the clone."""

    folder: Path
    torch: str | None
    began: tuple[float, float] = field(default_factory=lambda: (time.perf_counter(), of_children()))

    @property
    def seconds(self) -> tuple[float, float]:
        """Seconds since the beginning, by the clock and of processor time."""
        return time.perf_counter() - self.began[0], of_children() - self.began[1]

    @property
    def clone(self) -> Path:
        """Where the clone is."""
        return self.folder / "convexsnn"

    def run(self, *command: str) -> str:
        """What a command prints that is run in the clone, with its environment's programs first; it must succeed."""
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment["PATH"] = f"{self.folder / 'venv' / 'bin'}{os.pathsep}{environment['PATH']}"
        if self.torch is not None:
            constraint = self.folder / "constraint.txt"
            constraint.write_text(self.torch + "\n")
            environment["PIP_CONSTRAINT"] = str(constraint)
        done = subprocess.run(command, cwd=self.clone, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return done.stdout

    def begin(self) -> None:
        """Clone."""
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(self.clone)], check=True)


def of_children() -> float:
    """Seconds of processor time of all commands that were run and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def follow_page(newcomer: Newcomer, page: Path) -> Times:
    """Seconds until all is installed, until the first output, and until the end of the page."""
    newcomer.begin()
    subprocess.run([sys.executable, "-m", "venv", str(newcomer.folder / "venv")], check=True)
    inside = newcomer.clone / page.relative_to(ROOT)
    block = INSTALL.search(inside.read_text())
    if block is None:
        raise ValueError(f"{page.name} does not say what to install: it has no sh block")
    newcomer.run("sh", "-ec", block[1])
    installed = newcomer.seconds
    stated = STATED.search(newcomer.run("python", "docs/follow.py", str(inside)))
    if stated is None:
        raise RuntimeError(f"{page.name} has no listing that prints anything")
    first = installed[0] + float(stated[1]), installed[1] + float(stated[2])
    return installed, first, newcomer.seconds


def run_demo(newcomer: Newcomer) -> Times:
    """The same of `make demo`, whose first output is its last."""
    newcomer.begin()
    newcomer.run("make", ".venv/.ready-demo")
    installed = newcomer.seconds
    newcomer.run("make", "demo")
    return installed, newcomer.seconds, newcomer.seconds


def main() -> int:
    """Measure, and print a line of a table for each."""
    parser = argparse.ArgumentParser(description="Measure how long a newcomer waits.")
    parser.add_argument("pages", nargs="*", type=Path, help="tutorials, or demo; all by default")
    parser.add_argument("--torch", help="a constraint on torch, such as torch==2.13.0")
    settings = parser.parse_args()
    print("| seconds since the clone began | all is installed | first result | end of the page |\n|---|---|---|---|")
    for page in settings.pages or [DEMO, *TUTORIALS]:
        with tempfile.TemporaryDirectory() as folder:
            newcomer = Newcomer(Path(folder), settings.torch)
            times = run_demo(newcomer) if page == DEMO else follow_page(newcomer, page.resolve())
        name = "`make demo`" if page == DEMO else page.stem
        print(f"| {name} | " + " | ".join(f"{clock:.0f} ({own:.0f})" for clock, own in times) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
