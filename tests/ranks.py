"""Ranks that are threads of one process, for tests."""

import threading
from dataclasses import dataclass


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


def on_ranks(size, work):
    """What `work` returns on each of `size` ranks."""
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
