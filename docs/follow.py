"""Follows a page as a reader would: runs its listings in order, and compares what they print with what the page shows.

    python docs/follow.py docs/tutorials/series.md            # says where the page and its listings differ
    python docs/follow.py --write docs/tutorials/series.md    # puts the outputs into the page, and pictures beside it

A block `python` is run in one namespace for the whole page; a block `console` has commands `$ convexsnn ...`. The block
`text` after either shows what it prints. Words must be the same; numbers may differ by a tenth, or by 1e-6, since
processors round differently. Lines about seconds are not compared. Pictures are the .png files that listings save.
"""

import argparse
import contextlib
import io
import math
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```(python|console|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
# Rows of a table about seconds, on as many lines as they take, and the frame of a table.
TIMES_AND_FRAMES = re.compile(r"^.*\bseconds\b.*$(?:\n│ +│.*$)*|[\u2500-\u257f]", re.MULTILINE)
RELATIVE, ABSOLUTE = 0.1, 1e-6


@dataclass(frozen=True)
class Followed:
    """What came of a page.

    `text` is the page with the outputs as they are now, and `differences` says where these are not the page's own.
    `printed_after` has the seconds from the start until each output, by the clock and of processor time.
    """

    text: str
    differences: list[str]
    printed_after: list[tuple[float, float]]


def follow(page: Path, folder: Path) -> Followed:
    """Run the listings of `page` in `folder`, in which they may leave files."""
    names: dict[str, Any] = {}
    printed, differences, printed_after = "", [], []
    began = time.perf_counter(), time.process_time()

    def meet(block: re.Match) -> str:
        nonlocal printed
        kind, body = block.groups()
        if kind == "text":
            if not alike(body, printed):
                differences.append(f"{page.name} shows\n{body}but its listing prints\n{printed}")
            body, printed = printed, ""
        else:
            printed = run_python(body, page, names) if kind == "python" else run_commands(body)
            if printed:
                printed_after.append((time.perf_counter() - began[0], time.process_time() - began[1]))
        return f"```{kind}\n{body}```"

    with contextlib.chdir(folder):
        text = BLOCK.sub(meet, page.read_text())
    return Followed(text, differences, printed_after)


def run_python(listing: str, page: Path, names: dict[str, Any]) -> str:
    """What a listing prints; it leaves its names in `names`."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(listing, page.name, "exec"), names)
    return out.getvalue()


def run_commands(listing: str) -> str:
    """What the commands `$ convexsnn ...` print; raises RuntimeError where one of them fails."""
    from convexsnn.cli.app import run as command  # needs the extra `cli`, which pages without commands do not install

    out = io.StringIO()
    for line in listing.replace("\\\n", " ").splitlines():
        mark, name, *arguments = shlex.split(line, comments=True)
        if (mark, name) != ("$", "convexsnn"):
            raise ValueError(f"a console block has lines '$ convexsnn ...', got {line!r}")
        with contextlib.redirect_stdout(out):
            status = command(arguments)
        if status:
            raise RuntimeError(f"{line!r} ended with exit status {status}: {out.getvalue()}")
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


def alike(shown: str, printed: str) -> bool:
    """Whether two outputs have the same words, and nearly the same numbers."""
    shown, printed = (" ".join(TIMES_AND_FRAMES.sub("", text).split()) for text in (shown, printed))
    numbers = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=False)
    return NUMBER.sub("#", shown) == NUMBER.sub("#", printed) and all(
        math.isclose(float(a), float(b), rel_tol=RELATIVE, abs_tol=ABSOLUTE) for a, b in numbers
    )


def main() -> int:
    """Follow the pages that are named; return 1 where one of them differs."""
    parser = argparse.ArgumentParser(description="Run the listings of a page, and compare their outputs with it.")
    parser.add_argument("pages", nargs="+", type=Path, help="Markdown files")
    parser.add_argument("--write", action="store_true", help="put outputs into the page, and pictures beside it")
    settings = parser.parse_args()
    os.environ.setdefault("MPLBACKEND", "agg")
    wrong = False
    for page in settings.pages:
        with tempfile.TemporaryDirectory() as folder:
            followed = follow(page.resolve(), Path(folder))
            if settings.write:
                page.write_text(followed.text)
                for picture in Path(folder).glob("*.png"):
                    shutil.copy(picture, page.parent)
        print(*followed.differences, sep="\n", end="")
        if followed.printed_after:
            clock, own = followed.printed_after[0]
            print(f"{page.name}: first output after {clock:.1f} s ({own:.1f} s of processor time)")
        wrong |= bool(followed.differences) and not settings.write
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
