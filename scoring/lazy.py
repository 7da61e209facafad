"""What makes much work fast and little work slow: made when there is enough to do."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Final, Generic, TypeVar

COMPILE_AFTER: Final = 10_000
"""Sentences after which `scoring.compiled` is used: numba takes a second to start, and once some ten to compile."""

T = TypeVar("T")


class Lazy(Generic[T]):
    """A compiled way to do what can be done without it too.

    Parameters
    ----------
    make : callable
        Makes it, or None where it cannot; called once there has been enough to do, and never without numba.
    """

    def __init__(self, make: Callable[[], T | None]) -> None:
        self._make = make
        self._made: T | None = None
        self._left = COMPILE_AFTER

    def __call__(self, sentences: int) -> T | None:
        """Count more sentences; give the fast way, or None as long as the plain one serves.

        Parameters
        ----------
        sentences : int
            That are to be worked on now.

        Returns
        -------
        object or None
        """
        if self._left >= 0:
            self._left -= sentences
            if self._left < 0 and find_spec("numba"):
                self._made = self._make()
        return self._made
