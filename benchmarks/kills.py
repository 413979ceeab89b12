"""What becomes of a fit on two processes when one of them is killed at a random moment.

    OMP_NUM_THREADS=1 python benchmarks/kills.py --runs 50
    OMP_NUM_THREADS=1 python benchmarks/kills.py --runs 50 --copies

All should end within 30 seconds and one error be said, and the folder should hold a whole model or none. The same
command, run again, should give the same certificate. Where columns were kept, it goes on from them.

The command is `torchrun -m convexsnn fit`. With --copies the two processes are copies of this one, which has loaded all
libraries, and plays the part of torchrun: it holds the store through which they meet, and stops one when the other has
failed. So nearly all kills fall into the work itself, and a run takes a fraction of the time.
"""

import argparse
import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
import torch.distributed as dist

from convexsnn.cli.app import run
from convexsnn.cli.folder import CERTIFICATE, COLUMNS, MODEL, folder_problems

FIT = ["fit", "--task", "first-last-xor", "--timesteps", "8", "--n-train", "8000", "--witnesses", "gaussian"]
FIT += ["--n-val", "100", "--n-test", "100", "--depth", "2", "--last", "1000", "--beta", "0.1", "--tol", "1e-3"]
LONGEST = 60.0
FINISHED = "finished before the kill"


class Torchrun:
    """A command that torchrun starts on two processes."""

    def __init__(self, arguments):
        command = [str(Path(sys.executable).with_name("torchrun")), "--nproc-per-node", "2", "-m", "convexsnn"]
        self.process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def reports(self, said):
        """Whether torchrun said which process failed."""
        return "ChildFailedError" in said

    @property
    def ended(self):
        return self.process.poll() is not None

    @property
    def ranks(self):
        """Process numbers of the ranks that are there."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return sorted(int(child) for child in path.read_text().split()) if path.exists() else []

    def wait(self):
        """Whether all went well, and what was said; None where there is no end."""
        try:
            _, said = self.process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            for pid in (*self.ranks, self.process.pid):
                os.kill(pid, signal.SIGKILL)
            self.process.communicate()
            return None
        return self.process.returncode == 0, said


class Copies:
    """The same on two copies of this process."""

    def __init__(self, arguments):
        self.store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115
        start = multiprocessing.get_context("fork").Process
        self.processes = [start(target=self._work, args=(rank, arguments)) for rank in range(2)]
        for process in self.processes:
            process.start()

    def _work(self, rank, arguments):
        os.environ |= {"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_USE_AGENT_STORE": "True", "WORLD_SIZE": "2"}
        os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(self.store.port), "RANK": str(rank)}
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(self.said.fileno(), 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
        torch.set_num_threads(1)
        sys.exit(run(arguments))

    def reports(self, _):
        """Torchrun always says which process failed; here nothing does in its place."""
        return True

    @property
    def ended(self):
        return not any(process.is_alive() for process in self.processes)

    @property
    def ranks(self):
        return [process.pid for process in self.processes]

    def wait(self):
        limit = time.monotonic() + LONGEST
        while time.monotonic() < limit and not self.ended:
            if any(process.exitcode not in (None, 0) for process in self.processes):
                for process in self.processes:
                    process.terminate()
            time.sleep(0.1)
        hung = not self.ended
        for process in self.processes:
            process.kill()
            process.join()
        self.said.seek(0)
        good = all(process.exitcode == 0 for process in self.processes)
        return None if hung else (good, self.said.read())


def killed(command, delay, rank):
    """What was said, and how long after the kill of one process all had ended."""
    started = time.monotonic()
    while (time.monotonic() < started + delay or len(command.ranks) <= rank) and not command.ended:
        time.sleep(0.01)
    if not command.ended and len(command.ranks) > rank:
        os.kill(command.ranks[rank], signal.SIGKILL)
    moment = time.monotonic()
    outcome = command.wait()
    seconds = time.monotonic() - moment
    if outcome is None:
        return "HUNG", seconds
    good, said = outcome
    errors = sum(line.startswith("error:") for line in said.splitlines())
    if good:
        return FINISHED, seconds
    if errors:
        return f"{errors} error", seconds
    # Killed before it could have said anything; that torchrun says which one was is known for copies too.
    return ("torchrun's report alone" if command.reports(said) else "NOTHING"), seconds


def state_of(out, expected):
    """What a kill left: a whole model, none, or something else."""
    if not (out / MODEL).exists():
        kept = (out / COLUMNS).is_dir() and any((out / COLUMNS).iterdir())
        return "no model, columns kept" if kept else "no model"
    return "whole" if certificate_of(out) == expected else "BROKEN"


def certificate_of(out):
    """A digest of the certificate; None where the folder is not whole."""
    if not (out / MODEL).is_file() or folder_problems(out):
        return None
    return hashlib.sha256((out / CERTIFICATE).read_bytes()).hexdigest()


def kills(given):
    """The table."""
    os.environ["OMP_NUM_THREADS"] = "1"
    start = Copies if given.copies else Torchrun
    draws, seen, slowest = random.Random(given.seed), Counter(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "model")
        command = [*FIT, "--out", str(out)]
        if given.copies:  # so that copies have loaded all that they need
            run([*FIT, "--out", str(Path(folder, "alone"))])
        begun = time.monotonic()
        assert start(command).wait()[0], "the fit failed without a kill"
        length, expected = time.monotonic() - begun, certificate_of(out)
        print(f"one run takes {length:.1f} s", flush=True)
        while sum(seen.values()) < given.runs:
            shutil.rmtree(out, ignore_errors=True)
            outcome, seconds = killed(start(command), draws.uniform(0.0, length), draws.randrange(2))
            if outcome == FINISHED:
                continue
            state = state_of(out, expected)
            done = start(command).wait()
            again = "same" if done and done[0] and certificate_of(out) == expected else "OTHER"
            seen[outcome, state, again] += 1
            slowest = max(slowest, seconds)
            print(f"  {outcome}, ended after {seconds:.1f} s, folder {state}, again {again}", flush=True)
    print("| what was said | folder | the same command again | times |\n|---|---|---|---|")
    for (outcome, state, again), count in sorted(seen.items()):
        print(f"| {outcome} | {state} | {again} | {count} |")
    print(f"all had ended at most {slowest:.1f} s after the kill")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50, help="so many kills before the end")
    parser.add_argument("--copies", action="store_true", help="copies of this process instead of torchrun")
    parser.add_argument("--seed", type=int, default=0)
    kills(parser.parse_args())


if __name__ == "__main__":
    main()
