"""The processes of ``--jobs``: forked, where that can be, from one that has loaded the model, whose memory they share.

A model's weights are 34 MB that are read all over: in memory once, and loaded once (docs/speed.md has what that gains).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Final

from scoring.errors import TensionError
from scoring.garbage import collect_seldom
from scoring.scorer import Scorer, load
from scoring.tiers import TIERS

_WANTED: Final = "TENSION_WORKERS_MODEL"
"""Environment variable: the model that `preload` loads, for the one process that the others are forked from."""


@cache
def scorer(model: Path | None, tier: str) -> Scorer:
    """Load a scorer, once a process."""
    return load(model, tier=tier)


def pool(jobs: int, model: Path | None, tier: str) -> ProcessPoolExecutor:
    """Make a pool of processes that score with a model; none is started yet but the one that they are forked from.

    Parameters
    ----------
    jobs : int
        Number of processes.
    model : Path or None
        Folder of a model; the shipped one by default.
    tier : str
        ``"fast"`` or ``"accurate"``.

    Returns
    -------
    ProcessPoolExecutor
    """
    return ProcessPoolExecutor(jobs, _context(model, tier), begin_process)


def _context(model: Path | None, tier: str) -> BaseContext:
    """Start the process to fork from, which runs no thread; where there is none of the kind, each starts anew."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["scoring.preload"])
    before = os.environ.get(_WANTED)
    os.environ[_WANTED] = json.dumps([None if model is None else str(model), tier])
    try:
        with _without_interrupt():
            forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ[_WANTED]
        else:
            os.environ[_WANTED] = before
    return context


def preload() -> None:
    """Load what the process's environment names, for those that are forked from it.

    Only of the fast tier: the library that runs an encoder starts threads, which no fork survives.
    """
    wanted = os.environ.get(_WANTED)
    if wanted is None:
        return
    collect_seldom()
    model, tier = json.loads(wanted)
    if tier == TIERS[0]:
        with suppress(TensionError):  # whoever asks for the model again is told
            scorer(None if model is None else Path(model), tier).compile()


def begin_process() -> None:
    """Make ready a process that is one of several: it looks for garbage seldom, and ends when its parent does."""
    collect_seldom()
    _watch_parent()


def _watch_parent() -> None:
    """Let this process end when the parent does, however that ends (SIGKILL, out of memory)."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def end_with_it() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_it, daemon=True).start()


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Let processes that are started in the block never see Ctrl-C: the parent acts on it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit the mask
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
