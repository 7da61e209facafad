"""The ledger: stories scored in earlier runs, so that an hourly run over the same feeds scores only what is new.

A run is one transaction of SQLite over the ledger. It begins before the first article is looked up and is committed
after the output is whole: a run that fails or is killed leaves the ledger as it was, and a second run waits for the
first, whose stories it then knows.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from scoring.articles import Article, story_key
from scoring.errors import LedgerError

VERSION: Final = 1
"""Layout of the ledger: ``user_version`` of the SQLite file."""

LONGEST_WAIT: Final = 600.0
"""Seconds that a run waits for another one over the same ledger."""

_APPLICATION: Final = 0x7E4510  # marks an SQLite file as a ledger of ours (application_id)
_HALF_A_SECOND: Final = 0.5  # between two looks, so that Ctrl-C is heeded


class Ledger:
    """Stories seen in earlier runs, and those of this one; made by `open_ledger`.

    Parameters
    ----------
    database : sqlite3.Connection
        In a transaction.

    Attributes
    ----------
    skipped : int
        Articles left out so far because an earlier run has them.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.skipped = 0

    def new(self, articles: Iterable[Article]) -> Iterator[Article]:
        """Give, lazily, the articles whose story is new; whole statements and empty ones always are.

        Parameters
        ----------
        articles : iterable of Article
            In any order.

        Yields
        ------
        Article
        """
        for article in articles:
            key = story_key(article)
            if key is not None:
                signed = key - 2**63  # SQLite's integers are signed
                added = self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (signed,))
                if not added.rowcount:
                    self.skipped += 1
                    continue
            yield article


@contextmanager
def open_ledger(
    path: Path, on_wait: Callable[[], None] = lambda: None, longest_wait: float = LONGEST_WAIT
) -> Iterator[Ledger]:
    """Open a ledger, new if there is none, for one run; its stories are kept if the block ends well.

    Parameters
    ----------
    path : Path
        The SQLite file.
    on_wait : callable, optional
        Called once if another run is at work over it and this one waits.
    longest_wait : float, optional
        Seconds to wait at most.

    Yields
    ------
    Ledger

    Raises
    ------
    LedgerError
        If it is no ledger, one of another version, not writable, or not free in time.
    """
    try:
        with closing(sqlite3.connect(path, timeout=_HALF_A_SECOND, isolation_level=None)) as db:
            _take(db, path, on_wait, longest_wait)
            _check(db, path)
            yield Ledger(db)
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise LedgerError(
            f"{path}: expected a ledger that can be read and written, found: {error}. "
            "Check the path, the rights and the disk, or name another --ledger."
        ) from error


def _take(
    db: sqlite3.Connection, path: Path, on_wait: Callable[[], None], longest_wait: float
) -> None:
    """Begin the transaction as soon as no other run is at work."""
    start, told = time.monotonic(), False
    while True:
        try:
            db.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if not getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise
            if time.monotonic() - start >= longest_wait:
                raise LedgerError(
                    f"{path}: expected the ledger free within {longest_wait:,.0f} s, found it locked "
                    "by another run. Run again when that has ended."
                ) from error
            if not told:
                on_wait()
                told = True


def _check(db: sqlite3.Connection, path: Path) -> None:
    """Make sure that it is a ledger of this version; lay out a new one."""
    application = db.execute("PRAGMA application_id").fetchone()[0]
    layout = db.execute("PRAGMA user_version").fetchone()[0]
    if application == _APPLICATION:
        if layout != VERSION:
            raise LedgerError(
                f"{path}: expected a ledger of version {VERSION}, found version {layout}. "
                "Use the release of tension-escalation that made it, or begin a new --ledger."
            )
        return
    if db.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,):
        raise LedgerError(
            f"{path}: expected a ledger, found another SQLite database. Name another --ledger."
        )
    db.execute(f"PRAGMA application_id = {_APPLICATION}")
    db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("CREATE TABLE seen (story INTEGER PRIMARY KEY)")
