"""Many files moved as one: what was staged is there whole or not at all, whatever kills the process and when.

Everything is written into ``models/.promote/`` first. Then a journal beside it says what goes where: from there on the
promotion counts, and whoever comes next finishes what a killed process left. Without a journal nothing was moved, and
what lies there is thrown away. ``CHAMPION`` is moved last of the files, the alias of the registry after it, and both
can be done twice.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from scoring.artifact import CHAMPION_FILE
from scoring.errors import OutputError, TensionError

STAGE: Final = ".promote"
"""In the folder of the models: what is on its way."""

JOURNAL_FILE: Final = "journal.json"
_STAGED: Final = "staged"


class ShippingError(TensionError):
    """A promotion is on its way already, or cannot be finished."""


class Journal(NamedTuple):
    """What a promotion still has to do.

    Parameters
    ----------
    version : str
        The new champion.
    before : str or None
        The champion before it.
    moves : tuple of (str, str)
        Name of what is staged, and where it goes, from the folder that holds the models' folder.
    registry : dict of str to str or None
        ``uri`` (its digest), ``name`` and ``number`` of the registered version; ``previous`` to be noted with it.
    """

    version: str
    before: str | None
    moves: tuple[tuple[str, str], ...]
    registry: dict[str, str | None]


class Stage:
    """An empty room for the files of one promotion; made by `staged`.

    Parameters
    ----------
    models : Path
        Folder of the models.
    """

    def __init__(self, models: Path) -> None:
        self._root = models.resolve().parent
        self._folder = models / STAGE / _STAGED
        self._folder.mkdir(parents=True)
        self._moves: dict[str, str] = {}

    def place(self, target: Path) -> Path:
        """Return where to write what shall take the place of `target`, a file, or a folder that is not there yet."""
        goes_to = target.resolve().relative_to(self._root).as_posix()
        name = next((name for name, other in self._moves.items() if other == goes_to), None)
        name = name or f"{len(self._moves)}-{target.name}"
        self._moves[name] = goes_to
        return self._folder / name

    def moves(self) -> tuple[tuple[str, str], ...]:
        """Return what was staged, and where it goes; what names the champion goes last."""
        found = [(name, to) for name, to in self._moves.items() if (self._folder / name).exists()]
        return tuple(sorted(found, key=lambda move: Path(move[1]).name == CHAMPION_FILE))


@contextmanager
def alone(models: Path) -> Iterator[None]:
    """Keep other promotions into the same folder out; a killed process keeps nobody out.

    Parameters
    ----------
    models : Path
        Folder of the models.

    Raises
    ------
    ShippingError
        If another process is at it.
    OutputError
        If there is no such folder, or it cannot be written.
    """
    try:
        handle = os.open(models, os.O_RDONLY)
    except OSError as error:
        raise _unwritable(models, error) from error
    try:
        if not os.access(models, os.W_OK):
            raise OutputError(
                f"{models}: expected a folder that can be written, found one that cannot. Check its permissions."
            )
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ShippingError(
                f"{models}: expected to be alone, found another promote or rollback at work. Wait until it is done."
            ) from error
        yield
    finally:
        os.close(handle)


def pending(models: Path) -> Journal | None:
    """Return what a killed promotion has left to do; None where nothing is half done.

    Raises
    ------
    ShippingError
        If the journal is not one.
    """
    path = models / STAGE / JOURNAL_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        moves = tuple((str(name), str(to)) for name, to in found["moves"])
        if any(
            Path(part).is_absolute() or ".." in Path(part).parts for move in moves for part in move
        ):
            raise ValueError("a path that leads elsewhere")
        return Journal(str(found["version"]), found["before"], moves, dict(found["registry"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShippingError(
            f"{path}: expected the journal of a promotion, found {error!r}. "
            f"Look at what git says of {models}, then remove {models / STAGE}."
        ) from error


@contextmanager
def staged(models: Path) -> Iterator[Stage]:
    """Give an empty stage; what is on it is thrown away if the block fails, or ends without `commit`.

    Parameters
    ----------
    models : Path
        Folder of the models.

    Yields
    ------
    Stage

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    sweep(models)
    try:
        yield Stage(models)
    except OSError as error:
        raise _unwritable(models, error) from error
    finally:
        sweep(models)


def sweep(models: Path) -> bool:
    """Throw away what a promotion left that was killed before it counted; tell whether there was any."""
    folder = models / STAGE
    if not folder.exists() or (folder / JOURNAL_FILE).exists():
        return False
    shutil.rmtree(folder)
    return True


def commit(models: Path, journal: Journal) -> None:
    """Write the journal: from here on the promotion counts."""
    path = models / STAGE / JOURNAL_FILE
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(journal._asdict(), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def finish(models: Path, journal: Journal, crown: Callable[[dict[str, Any]], None]) -> None:
    """Move what is staged to where it goes, then the alias; what was done before is not done again.

    Parameters
    ----------
    models : Path
        Folder of the models.
    journal : Journal
        As committed.
    crown : callable
        Moves the alias in the registry that the journal names; called last, perhaps a second time.

    Raises
    ------
    OutputError
        If a file cannot be moved; the journal stays.
    TensionError
        What `crown` raises; the journal stays.
    """
    root = models.resolve().parent
    try:
        for name, to in journal.moves:
            made = models / STAGE / _STAGED / name
            if made.exists():  # else it was moved before the process died
                (root / to).parent.mkdir(parents=True, exist_ok=True)
                made.replace(root / to)
    except OSError as error:
        raise OutputError(
            f"{root / to}: expected a place that can be written, found: {error.strerror}. "
            f"Champion {journal.version} is half in place: mend that, then run: tension-train promote --finish"
        ) from error
    crown(journal.registry)
    (models / STAGE / JOURNAL_FILE).unlink()
    sweep(models)


def _unwritable(models: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{models}: expected a folder of models that can be written, found: {error.strerror or error}. "
        "Give another with --models; nothing was changed."
    )
