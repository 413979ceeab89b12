"""Ranks for tests: threads, which start at once, or processes that gloo joins."""

import contextlib
import io
import multiprocessing
import os
import tempfile
import threading
from dataclasses import dataclass

import torch
import torch.distributed as dist

from convexsnn.cli.app import run
from convexsnn.ranks import ProcessGroup


@dataclass
class Threads:
    """One of several threads that stand for processes; see `convexsnn.ranks.Ranks`."""

    rank: int
    size: int
    barrier: threading.Barrier
    shown: dict

    def add_up(self, tensor):
        self.shown[self.rank] = tensor.clone()
        self.barrier.wait(30)
        tensor.copy_(sum(self.shown[rank] for rank in range(self.size)))
        self.barrier.wait(30)


def on_threads(size, work):
    """What `work` returns on each of `size` threads. They must not meet within a `cached_property`, which locks."""
    barrier, shown, results = threading.Barrier(size), {}, {}

    def run(rank):
        try:
            results[rank] = work(Threads(rank, size, barrier, shown))
        except BaseException:
            barrier.abort()
            raise

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[rank] for rank in range(size)]


def on_processes(size, work):
    """What `work` returns on each of `size` processes, which are copies of this one."""

    def join(rank, folder):
        dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
        found = work(ProcessGroup())
        dist.destroy_process_group()
        return found

    return _copies(size, join)


def as_torchrun(size, arguments):
    """Exit status, standard output and standard error of the command line on each of `size` processes.

    They are copies of this process, which plays the part of torchrun: it holds the store through which they meet.
    """
    store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)

    def start(rank, _):
        os.environ |= {"TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_USE_AGENT_STORE": "True"}
        os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port)}
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size)}
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run(arguments)
        return status, out.getvalue(), err.getvalue()

    return _copies(size, start)


def _copies(size, work):
    with tempfile.TemporaryDirectory() as folder:
        start = multiprocessing.get_context("fork").Process
        running = [start(target=_kept, args=(work, rank, folder)) for rank in range(size)]
        for process in running:
            process.start()
        for process in running:
            process.join(60)
        assert [process.exitcode for process in running] == [0] * size
        return [torch.load(f"{folder}/{rank}", weights_only=False) for rank in range(size)]


def _kept(work, rank, folder):
    torch.set_num_threads(1)
    torch.save(work(rank, folder), f"{folder}/{rank}")
