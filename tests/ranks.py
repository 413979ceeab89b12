"""Ranks for tests: threads, which start at once, or processes that gloo joins."""

import multiprocessing
import tempfile
import threading
from dataclasses import dataclass

import torch
import torch.distributed as dist

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
    with tempfile.TemporaryDirectory() as folder:
        start = multiprocessing.get_context("fork").Process
        running = [start(target=_join, args=(f"{folder}/", rank, size, work)) for rank in range(size)]
        for process in running:
            process.start()
        for process in running:
            process.join(60)
        assert [process.exitcode for process in running] == [0] * size
        return [torch.load(f"{folder}/{rank}", weights_only=False) for rank in range(size)]


def _join(folder, rank, size, work):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}meeting", rank=rank, world_size=size)
    torch.save(work(ProcessGroup()), f"{folder}{rank}")
    dist.destroy_process_group()
