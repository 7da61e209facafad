"""What a model was trained on, by id: kept in its folder, so that it is never measured on what it has seen."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from scoring.artifact import read_manifest
from scoring.errors import ArtifactTampered
from training.dataset import SHINGLE, DataError, digest, near_duplicates

SEEN_FILE: Final = "trained_on.txt.gz"
"""In a model folder: ids of the statements that it was fitted to, sorted, one a line."""

LEARNED_FILE: Final = "learned.txt.gz"
"""In an encoder's folder: the same of the encoder; what is not in it, its heads may be fitted on."""

_ID: Final = re.compile(r"[0-9a-f]{12}")


class Seen(NamedTuple):
    """What is known of the statements that a model was trained on.

    Parameters
    ----------
    name : str
        Of the model, for messages.
    ids : frozenset of str, or None
        Ids of the statements, a teacher's among them; None of a model from before they were kept.
    dev : str or None
        Digest of the rows that its training run kept apart, near-duplicates too.
    """

    name: str
    ids: frozenset[str] | None
    dev: str | None


def write(folder: Path, ids: Iterable[str], name: str = SEEN_FILE) -> Path:
    """Write the ids of the statements that a model, or an encoder, was trained on into its folder.

    Parameters
    ----------
    folder : Path
        Of the model.
    ids : iterable of str
        In any order, repeated or not: the bytes are the same for the same set.
    name : str, optional
        Of the file.

    Returns
    -------
    Path
        The file.
    """
    lines = "".join(f"{id_}\n" for id_ in sorted(set(ids)))
    path = folder / name
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))
    return path


def read(folder: Path, manifest: Mapping[str, Any] | None = None) -> Seen:
    """Read what a model was trained on.

    Parameters
    ----------
    folder : Path
        Of the model.
    manifest : mapping, optional
        Its manifest, if it has been read.

    Returns
    -------
    Seen

    Raises
    ------
    scoring.errors.ArtifactMissing
        If it is no model folder.
    scoring.errors.ArtifactTampered
        If the manifest or the file of the ids is not what training writes.
    """
    manifest = read_manifest(folder) if manifest is None else manifest
    held = manifest.get("dev") or {}
    name = str(manifest.get("version", folder.name))
    return Seen(name, read_ids(folder / SEEN_FILE), held.get("digest"))


def read_ids(path: Path) -> frozenset[str] | None:
    """Read a file that `write` wrote; None where there is none.

    Raises
    ------
    scoring.errors.ArtifactTampered
        If it is not what `write` writes.
    """
    try:
        packed = path.read_bytes()
        ids = gzip.decompress(packed).decode("ascii").split("\n")
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError) as error:  # OSError: also what is no gzip
        raise _tampered(path, error) from error
    if not packed or ids.pop() or not all(map(_ID.fullmatch, ids)):
        raise _tampered(path, "other lines")
    return frozenset(ids)


def refuse_seen(rows: pd.DataFrame, seen: Seen, known: pd.DataFrame) -> int:
    """Refuse rows that a model was trained on, or that come near one that it was trained on.

    Parameters
    ----------
    rows : pandas.DataFrame
        Labelled statements to measure on, from `training.dataset.read`.
    seen : Seen
        Of the model.
    known : pandas.DataFrame
        Labelled statements with their text, as far as they are at hand: near-duplicates are looked for
        among those that the model was trained on.

    Returns
    -------
    int
        How many of the statements that it was trained on were at hand with their text; all that count, if its
        training run kept exactly these rows apart.

    Raises
    ------
    training.dataset.DataError
        If a row was trained on or comes near; or if the model does not say what it was trained on, and the
        rows are not the ones that its training run kept apart.
    """
    own = seen.dev is not None and digest(rows) == seen.dev
    if seen.ids is None:
        if not own:
            raise _unknown(rows, seen)
        return 0
    if both := sorted(seen.ids & set(rows["id"])):
        place = rows.loc[rows["id"] == both[0], "place"].iloc[0]
        raise DataError(
            "held-out data",
            f"expected statements that {seen.name} was not trained on, found {len(both):,} that it was: "
            f"{both[0]} ({place}) first.",
            "Take them out: on what a model has seen it looks better than it is.",
        )
    if own:  # its training run left out what comes near
        return len(seen.ids)
    trained = known[known["id"].isin(seen.ids)].reset_index(drop=True)
    near = near_duplicates(trained, rows)
    if len(near):
        first = near.iloc[0]
        raise DataError(
            "held-out data",
            f"expected no statement that shares {SHINGLE} words in a row with one that {seen.name} was trained on, "
            f"found {near['held'].nunique():,}: {first['held']} ({first['held_place']}) and {first['train']} "
            f"({first['train_place']}) first.",
            "Take them out.",
        )
    return len(trained)


def _unknown(rows: pd.DataFrame, seen: Seen) -> DataError:
    if seen.dev is None:
        return DataError(
            "held-out data",
            f"expected to know what {seen.name} was trained on, found neither {SEEN_FILE} in its folder nor rows "
            "that its training run kept apart.",
            "It cannot be measured fairly on any rows: train it again with --dev.",
        )
    return DataError(
        "held-out data",
        f"expected the rows that the training run of {seen.name} kept apart (digest {seen.dev[:16]}), for its "
        f"folder has no {SEEN_FILE} that says what it was trained on; found others (digest {digest(rows)[:16]}).",
        "Give --data exactly those rows.",
    )


def _tampered(path: Path, found: object) -> ArtifactTampered:
    return ArtifactTampered(
        f"{path}: expected ids of statements, gzipped, as training writes them, found {found}. "
        "Get the model folder again."
    )
