"""Crashes, full disks, kills and Ctrl-C in every command that writes: afterwards there is the old or the new.

    python benchmarks/crash.py points            every file operation of every writing command, in six ways
    python benchmarks/crash.py disk              a real full disk, a page larger at a time (needs the right to mount)
    python benchmarks/crash.py kills --runs 200  SIGKILL, SIGTERM and SIGINT at random moments from the start

Prints how many were tried, how many ended as before, as after and in neither, and each of the last.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from convexsnn.bench.jobs import Job, run_jobs
from convexsnn.cli.app import run
from convexsnn.cli.folder import CERTIFICATE, MODEL, OWNED, SUMS, folder_problems, model_file, seal_problems
from convexsnn.files.leftovers import NEW, OLD
from convexsnn.search.state import INTERRUPTED
from convexsnn.storage import read_header
from failing_disk import WAYS, FailingDisk, installed

DATA, SETTINGS = "data.npz", ["--witnesses", "gaussian", "--depth", "2", "--last", "12", "--leak", "0.5", "--readout"]
FIT = ["fit", "--data", DATA, *SETTINGS, "spike", "--reset", "hard", "--out", "model"]
SEARCH = [
    "fit",
    "--data",
    DATA,
    "--depth",
    "2",
    "--population",
    "8",
    "--width",
    "3",
    "--effort",
    "1e6",
    "--out",
    "model",
]
MINE = {"model/notes.txt": b"mine", "model/plots/one.png": b"also mine"}


@dataclass(frozen=True)
class Scenario:
    """A command, what is there before it, and which files it writes."""

    name: str
    before: tuple[list[str], ...]
    work: Callable[[], int]
    writes: str
    mine: bool = False


def command(*arguments: str) -> Callable[[], int]:
    return lambda: run(list(arguments))


def trivial(settings: dict, scratch: Path) -> list[dict]:  # noqa: ARG001
    return [{"value": settings["value"]}]


def bench() -> int:
    jobs = [Job(f"job{k}", {"value": k}) for k in range(3)]
    try:
        return int(len(list(run_jobs(jobs, trivial, Path("jobs"), 1))) != 3)
    except OSError:
        return 2
    except KeyboardInterrupt:
        return 130


def scenarios() -> list[Scenario]:
    other = [*FIT, "--beta", "0.3"]
    predict = ["predict", "--model", "model", "--data", DATA, "--out", "p.npz"]
    export = ["export", "--model", "model", "--to", "torch", "--out", "net.safetensors"]
    nir = ["export", "--model", "model", "--to", "nir", "--out", "net.nir"]
    quantised = ["quantise", "--model", "model", "--data", DATA, "--out", "integers", "--effort", "2"]
    bound = ["bound", "--model", "model", "--data", DATA, "--method", "arrangement"]
    return [
        Scenario("fit, new folder", (), command(*FIT), "model"),
        Scenario("fit, same again", (FIT,), command(*FIT), "model", mine=True),
        Scenario("fit --force over another", (other,), command(*FIT, "--force"), "model", mine=True),
        Scenario("fit of betas over a fit", (FIT,), command(*other, "--beta", "0.1", "--force"), "model", mine=True),
        Scenario("fit over a report", (FIT, ["report", "model"]), command(*FIT), "model"),
        Scenario("search, new folder", (), command(*SEARCH), "model"),
        Scenario("search --force over another", (FIT,), command(*SEARCH, "--force"), "model", mine=True),
        Scenario("bound", (FIT,), command(*bound), "model", mine=True),
        Scenario("quantise, new folder", (FIT,), command(*quantised), "integers"),
        Scenario("quantise --force", (FIT, [*FIT[:-1], "integers"]), command(*quantised, "--force"), "integers"),
        Scenario("predict, new file", (FIT,), command(*predict), "p.npz"),
        Scenario("predict over predictions", (FIT, predict), command(*predict), "p.npz"),
        Scenario("export to torch", (FIT,), command(*export), "net.safetensors"),
        Scenario(
            "export to torch over another", (other, export, [*FIT, "--force"]), command(*export), "net.safetensors"
        ),
        Scenario("export to nir", (FIT,), command(*nir), "net.nir"),
        Scenario("report", (FIT,), command("report", "model"), "model/report.html"),
        Scenario("report over a report", (FIT, ["report", "model"]), command("report", "model"), "model/report.html"),
        Scenario("bench", (), bench, "jobs"),
    ]


def save_data() -> None:
    X = np.random.default_rng(0).normal(size=(40, 3, 2))
    y = (X[:, -1, 0] > 0).astype(int)
    np.savez(DATA, X=X, y=y, X_test=X[:9], y_test=y[:9], X_val=X[9:20], y_val=y[9:20])


def prepared(scenario: Scenario, home: Path) -> None:
    """What is there before the command, in `home`; the working directory from now on."""
    home.mkdir(parents=True)
    os.chdir(home)
    save_data()
    for arguments in scenario.before:
        assert quietly(lambda arguments=arguments: run(arguments))[0] in (0, 1), arguments
    if scenario.mine:
        for name, data in MINE.items():
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_bytes(data)


def quietly(work: Callable[[], int]) -> tuple[int, str]:
    """Exit status and what was said on standard error."""
    from convexsnn.cli import output

    heard = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(heard):
        for console in (output.stdout, output.stderr):
            console.file = heard
        status = work()
    return status, heard.getvalue()


def state_of(path: Path) -> str | None:
    """What of an output does not change from run to run; None where there is nothing, BROKEN where it is not whole."""
    if path.is_dir():
        if path.name == "jobs":
            # Each job has a file of its own: whole, or not there yet.
            for file in path.glob("*.json"):
                json.loads(file.read_text())
            return "jobs"
        if problems := seal_problems(path):
            return f"BROKEN: {problems}"
        if not (path / MODEL).exists():
            left = [file.name for file in path.iterdir() if file.name in OWNED]
            return f"BROKEN: {left}" if left else None
        ours = sorted(name for name in OWNED if (path / name).exists())
        if SUMS not in ours:
            return "BROKEN: no seal"
        # Of one seal with the certificate; times differ from run to run.
        return " ".join([*ours, hashlib.sha256((path / CERTIFICATE).read_bytes()).hexdigest()[:8]])
    if not path.exists():
        return None
    data = path.read_bytes()
    if path.suffix == ".npz":
        return "predictions" if zipfile.ZipFile(io.BytesIO(data)).testzip() is None else "BROKEN"
    if path.suffix == ".html":
        return "page" if data.rstrip().endswith(b"</html>") else "BROKEN: page"
    return "written" if path.suffix == ".nir" else hashlib.sha256(data).hexdigest()


def was_interrupted(folder: Path) -> bool:
    """Whether a folder holds the whole model of a fit that Ctrl-C ended: the best so far, which says so."""
    if not (folder / MODEL).exists() or folder_problems(folder):
        return False
    header = read_header(folder / MODEL)
    statuses = {header["status"], *(point["status"] for point in header["fitted"]["path"])}
    return "INTERRUPTED" in statuses or header["fitted"]["stopped"] == INTERRUPTED


def child(work: Callable[[], int], said: Path, disk: FailingDisk | None = None, delay: float | None = None) -> int:
    """Run in a process of its own; exit status, negative for a signal."""
    process = os.fork()
    if process == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        status, text = 99, ""
        with contextlib.suppress(BaseException), installed(disk) if disk else contextlib.nullcontext():
            status, text = quietly(work)
        said.write_text(text)
        os._exit(status)
    if delay is not None:
        time.sleep(delay)
        os.kill(process, random.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


class Tally:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []

    def judge(self, scenario: Scenario, before: str | None, after: str | None, status: int, said: str, at: str) -> None:
        """What is there now, at once and after the next command has swept."""
        home, path = Path.cwd(), Path(scenario.writes)
        found = state_of(path)
        if status == 130 and found not in (before, after) and was_interrupted(path):
            after = found
        outcome = (
            "new" if found == after and (found != before or status == 0) else "old" if found == before else "NEITHER"
        )
        if outcome == "old" and before == after:
            outcome = "old or new"
        wrong = [] if found in (before, after) else [f"is {found}"]
        if status == 99 or "Traceback" in said:
            wrong.append(f"ended with {status}: {said[-200:]}")
        if re.search("nothing was (changed|written)", said) and found != before:
            wrong.append(f"says {said[-100:]!r}, but is new")
        if status == 0 and found != after:
            wrong.append("exits 0, but is not new")
        for folder in ("model", "integers"):
            model_file(Path(folder))
            if (Path(folder) / MODEL).exists() and seal_problems(Path(folder)):
                wrong.append(f"{folder} is not whole after the sweep")
        if state_of(path) not in (before, after):
            wrong.append(f"after the sweep is {state_of(path)}")
        for name, data in (MINE if scenario.mine else {}).items():
            if not Path(name).exists() or Path(name).read_bytes() != data:
                wrong.append(f"{name} is lost")
        if path.suffix == "" and path.name != "jobs":
            left = [file.name for file in home.rglob("*") if NEW in file.name or OLD in file.name]
            wrong += [f"{left} is left"] if left else []
        self.counts["WRONG" if wrong else outcome] += 1
        self.wrong += [f"{scenario.name}, {at}, exit {status}: {'; '.join(wrong)}"] if wrong else []

    def show(self, title: str) -> None:
        print(f"{title:<34} tried {self.counts.total():>5}   " + "   ".join(f"{k} {v}" for k, v in self.counts.items()))
        for line in self.wrong:
            print("   ", line)
        sys.stdout.flush()


def template(scenario: Scenario, root: Path) -> tuple[Path, str | None, str | None, list[str]]:
    """What is there before, its state, the state after the command, and the file operations of the command."""
    old = root / "template" / scenario.name
    prepared(scenario, old)
    before = state_of(Path(scenario.writes))
    shutil.copytree(old, root / "dry" / scenario.name)
    os.chdir(root / "dry" / scenario.name)
    with installed(FailingDisk(Path.cwd())) as disk:
        status, said = quietly(scenario.work)
    assert status in (0, 1), said
    return old, before, state_of(Path(scenario.writes)), disk.names


def copied(old: Path, home: Path) -> Path:
    os.chdir("/")
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(old, home)
    os.chdir(home)
    return home


def points(root: Path, only: str) -> int:
    wrong = tried = 0
    for scenario in scenarios():
        if only not in scenario.name:
            continue
        old, before, after, names = template(scenario, root)
        tally = Tally()
        for way in WAYS:
            for point, name in enumerate(names):
                home = copied(old, root / "here")
                status = child(scenario.work, root / "said", FailingDisk(home, point, way))
                said = (root / "said").read_text() if (root / "said").exists() else ""
                (root / "said").unlink(missing_ok=True)
                tally.judge(scenario, before, after, status, said, f"{way} {point} ({name})")
        tally.show(scenario.name)
        wrong, tried = wrong + tally.counts["WRONG"], tried + tally.counts.total()
    print(f"crash points: {tried} tried, {wrong} wrong")
    return wrong


def disk(root: Path, only: str) -> int:
    """A file system of half a megabyte, with a page more of free space each time."""
    small, total = root / "small", Tally()
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=True)
    try:
        for scenario in scenarios():
            if only not in scenario.name:
                continue
            old, before, after, _ = template(scenario, root)
            tally = Tally()
            for pages in range(0, 400):
                home = copied(old, small / "here")
                free = shutil.disk_usage(small).free
                (small / "filler").write_bytes(bytes(max(0, free - 4096 * pages)))
                status = child(scenario.work, root / "said")
                said = (root / "said").read_text() if (root / "said").exists() else ""
                (small / "filler").unlink()
                assert home == Path.cwd()
                tally.judge(scenario, before, after, status, said, f"{pages} pages")
                if status == 0:
                    break
            tally.show(scenario.name)
            total.counts += tally.counts
            total.wrong += tally.wrong
    finally:
        os.chdir("/")
        subprocess.run(["umount", str(small)], check=True)
    print(f"full disks: {total.counts.total()} tried, {total.counts['WRONG']} wrong")
    return total.counts["WRONG"]


def kills(root: Path, only: str, runs: int) -> int:
    """Half of the runs in a process that has loaded all, where most kills fall into work; half from the very start."""
    generator, total, early = random.Random(0), Tally(), Counter()
    chosen = [scenario for scenario in scenarios() if only in scenario.name]
    made = {scenario.name: template(scenario, root) for scenario in chosen}
    took = {}
    for k in range(runs // 2):
        scenario = chosen[k % len(chosen)]
        old, before, after, _ = made[scenario.name]
        copied(old, root / "here")
        if scenario.name not in took:
            begun = time.perf_counter()
            child(scenario.work, root / "said")
            took[scenario.name] = time.perf_counter() - begun
            copied(old, root / "here")
        (root / "said").unlink(missing_ok=True)
        delay = generator.uniform(0, 1.1 * took[scenario.name])
        status = child(scenario.work, root / "said", delay=delay)
        said = (root / "said").read_text() if (root / "said").exists() else ""
        total.judge(scenario, before, after, status, said, f"killed after {delay:.3f} s")
    total.show("in loaded processes")
    whole = [s for s in chosen if s.name in ("fit, new folder", "fit --force over another", "search, new folder")]
    for k in range(runs - runs // 2):
        scenario = whole[k % len(whole)]
        old, before, after, _ = made[scenario.name]
        copied(old, root / "here")
        arguments = {"fit, new folder": FIT, "search, new folder": SEARCH}.get(scenario.name, [*FIT, "--force"])
        process = subprocess.Popen(
            [sys.executable, "-m", "convexsnn", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        # From the first millisecond on, as many in each tenfold of time.
        delay = 10 ** generator.uniform(-3, 1.2)
        time.sleep(delay)
        number = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGINT)[k % 4]
        process.send_signal(number)
        _, said = process.communicate()
        if number == signal.SIGINT and "convexsnn" not in said and (process.returncode < 0 or "Traceback" in said):
            early["by Python itself, before our first line"] += 1
            said = ""
        elif number == signal.SIGINT and process.returncode not in (0, 130):
            said += " Traceback: status"
        total.judge(scenario, before, after, process.returncode, said, f"{number.name} after {delay:.3f} s")
    total.show("random kills and signals")
    print(f"Ctrl-C ended {dict(early)}")
    print(f"kills: {total.counts.total()} tried, {total.counts['WRONG']} wrong")
    return total.counts["WRONG"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("points", "disk", "kills"))
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--only", default="", help="scenarios with this in their name")
    options = parser.parse_args()
    torch.set_num_threads(1)
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        try:
            match options.what:
                case "points":
                    return min(1, points(root, options.only))
                case "disk":
                    return min(1, disk(root, options.only))
                case _:
                    return min(1, kills(root, options.only, options.runs))
        finally:
            os.chdir("/")


if __name__ == "__main__":
    sys.exit(main())
