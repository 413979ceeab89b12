"""Damaged files: mutations of every format that the library reads, each read in a process with limits.

Each file is one of an honest kind with a few bytes changed, or with other fields, tensors, arrays, words or headers. It
must be refused by a `DamagedFileError` that names file and field, or give exactly what the honest file gives. Formats
without a seal (images, automata, arrays, graphs) cannot tell another value from a damaged one: what they give is held
against a second reader of the same bytes. Files that are sealed again after the change are other files rather than
damaged ones: they may be accepted, but nothing but the named error may come of reading and using them.

    python benchmarks/fuzz.py --files 12000 --seed 0
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import fuzz_mutations as mutations
from convexsnn.reading import DamagedFileError
from fuzz_subjects import SUBJECTS, Subject

# For each file: seconds, and memory beyond what the process began with.
SECONDS, MEMORY = 20, 2**30
BATCH = 100
GOOD = ("refused", "accepted, the same", "accepted, as the file says", "accepted, sealed again")


class OutOfTimeError(Exception):
    """The file took too long."""


def outcome(subject: Subject, path: Path, *, honest: str, before: str | None, forged: bool) -> str:
    """What came of reading one file: one of `GOOD`, or what was wrong."""
    try:
        found = subject.read(path)
    except DamagedFileError as error:
        starved = "memory" in error.reason and "GiB of memory" not in error.reason
        if starved or "allocate" in error.reason:
            return f"too much memory: {error.field}: {error.reason[:80]}"
        return "refused" if Path(error.path).name == path.name and error.field else f"file not named: {error}"
    except OutOfTimeError:
        return "too slow"
    except Exception as error:
        return f"traceback: {type(error).__name__}: {str(error)[:120]}"
    if found == honest:
        return "accepted, the same"
    if forged:
        return "accepted, sealed again"
    if subject.plain is None:
        return "accepted and different"
    try:
        plain = subject.plain(path)
    except Exception as error:
        return f"accepted, where a second reader fails: {type(error).__name__}: {error}"
    # Of a graph the second reader knows the arrays only: other arrays, another network.
    agrees = plain != before if before is not None else plain == found
    return "accepted, as the file says" if agrees else "accepted and different"


def damaged(subject: Subject, data: bytes, seed: int) -> tuple[bytes, bool]:
    """The bytes of one damaged file, and whether it was sealed again."""
    rng = random.Random(f"{subject.name} {seed}")
    chosen = rng.choice([mutations.mutate_bytes, subject.mutate, *([subject.forge] if subject.forge else [])])
    try:
        return chosen(data, rng), chosen is subject.forge
    except Exception:  # the mutation asked for what cannot be written
        return mutations.mutate_bytes(data, rng), False


def work(subject: Subject, folder: Path, seeds: range, pipe: Any) -> None:
    """Read damaged files one by one, within the limits, and report each."""
    warnings.simplefilter("ignore")
    path = next(folder.glob("honest*")) / (folder / "name").read_text()
    data, honest = path.read_bytes(), subject.read(path)
    before = subject.plain(path) if subject.plain is not None else None
    before = before if before != honest else None
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
    signal.signal(signal.SIGALRM, _ring)
    for seed in seeds:
        content, forged = damaged(subject, data, seed)
        pipe.send((seed, None))
        if content == data:
            pipe.send((seed, "accepted, the same"))
            continue
        path.write_bytes(content)
        signal.alarm(SECONDS)
        result = outcome(subject, path, honest=honest, before=before, forged=forged)
        signal.alarm(0)
        pipe.send((seed, result))
    path.write_bytes(data)


def _ring(*_: Any) -> None:
    raise OutOfTimeError


def campaign(subject: Subject, seeds: range) -> tuple[Counter, dict[str, int]]:
    """How often each outcome came, and a seed of each that is wrong."""
    counts: Counter = Counter()
    examples: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "honest").mkdir()
        path = subject.make(folder / "honest")
        (folder / "name").write_text(str(path.relative_to(folder / "honest")))
        left = seeds
        while left:
            batch, left = left[:BATCH], left[BATCH:]
            done = _batch(subject, folder, path, batch)
            for seed, result in done.items():
                counts[result if result in GOOD else "WRONG"] += 1
                if result not in GOOD:
                    examples.setdefault(result, seed)
    return counts, examples


def _batch(subject: Subject, folder: Path, path: Path, seeds: range) -> dict[int, str]:
    """Outcomes of some files; a process that dies is started again after the file that killed it."""
    done: dict[int, str] = {}
    honest = path.read_bytes()
    while len(done) < len(seeds):
        path.write_bytes(honest)
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(subject, folder, seeds[len(done) :], theirs))
        process.start()
        theirs.close()
        current = seeds[len(done)]
        try:
            while len(done) < len(seeds):
                seed, result = ours.recv()
                current = seed
                if result is not None:
                    done[seed] = result
        except EOFError:
            process.join()
            done[current] = f"the process died ({process.exitcode})"
        process.join()
    path.write_bytes(honest)
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=12_000, help="over all formats")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="*", default=[subject.name for subject in SUBJECTS])
    options = parser.parse_args()
    chosen = [subject for subject in SUBJECTS if subject.name in options.formats]
    each = -(-options.files // len(chosen))
    total: Counter = Counter()
    print(f"| format | files | {' | '.join(GOOD)} | wrong | seconds |\n|{'---|' * (len(GOOD) + 4)}", flush=True)
    wrong: list[str] = []
    for subject in chosen:
        begun = time.perf_counter()
        first = options.seed * 10**6
        counts, examples = campaign(subject, range(first, first + each))
        total += counts
        cells = [str(counts[name]) for name in (*GOOD, "WRONG")]
        print(f"| {subject.name} | {each} | {' | '.join(cells)} | {time.perf_counter() - begun:.0f} |", flush=True)
        wrong += [f"{subject.name}, seed {seed}: {result}" for result, seed in examples.items()]
    print(f"| all | {sum(total.values())} | {' | '.join(str(total[name]) for name in (*GOOD, 'WRONG'))} | |")
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    assert shutil.which("true"), "the limits are those of POSIX"
    sys.exit(main())
