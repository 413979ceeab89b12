"""Work that threads share: compiled code, which lets other threads run meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Team:
    """So many threads, of which the caller's is one. The others are kept until nobody holds the team.

    Parameters
    ----------
    size : int
        At least 1.
    """

    def __init__(self, size: int) -> None:
        self._others = size - 1
        self._pool = ThreadPoolExecutor(self._others) if self._others else None

    def each(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """The results of `work` on each of `items`, in their order. A thread takes the next item when it is free.

        Where the caller's thread fails or is interrupted, no further item is begun.
        """
        found = dict[int, Result]()
        left = iter(range(len(items)))

        def take_part() -> None:
            for number in left:
                found[number] = work(items[number])

        others = [] if self._pool is None else [self._pool.submit(take_part) for _ in items[1 : self._others + 1]]
        try:
            take_part()
        except BaseException:
            for _ in left:
                pass
            raise
        finally:
            for other in others:
                other.result()
        return [found[number] for number in range(len(items))]
