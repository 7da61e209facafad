"""The registry of MLflow: versions of the model, and the aliases ``champion`` and ``challenger``.

A version is a model folder, logged as it is. ``models/CHAMPION`` says what ships (`training.promote`); the alias
follows it, so that whoever loads ``models:/tension-escalation@champion`` gets the same model.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from scoring.artifact import MANIFEST_FILE, MODEL_FILE
from scoring.errors import ArtifactMissing, ArtifactTampered, UsageError
from training.tracking import STORE, TrackingError, open_run

import mlflow  # isort: skip - after training.tracking, which sets what MLflow reads when it is imported
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

REGISTERED: Final = "tension-escalation"
"""The registered model without ``TENSION_REGISTERED_MODEL``."""

CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
ALIASES: Final = (CHAMPION, CHALLENGER)

PATIENCE: float = 5.0
"""Seconds to wait for a store that another process has locked."""

_SQLITE: Final = "sqlite:///"
_RUN_ID: Final = re.compile(r"[0-9a-f]{32}")
_ABSENT: Final = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")


class RegistryError(TrackingError):
    """The registry lacks what was asked for, or does not answer."""


class Version(NamedTuple):
    """A registered version.

    Parameters
    ----------
    name : str
        The registered model.
    number : str
        MLflow's number of it.
    version : str
        Version of the model, as in its manifest.
    digest : str
        `content_digest` of its manifest.
    previous : str or None
        Version that was champion before it.
    run : str or None
        MLflow run that it is from.
    aliases : tuple of str
        Those that point to it.
    """

    name: str
    number: str
    version: str
    digest: str
    previous: str | None
    run: str | None
    aliases: tuple[str, ...]


def name() -> str:
    """Return the name of the registered model: ``TENSION_REGISTERED_MODEL``, or `REGISTERED`."""
    return os.environ.get("TENSION_REGISTERED_MODEL") or REGISTERED


def uri() -> str:
    """Return where the registry is: ``MLFLOW_TRACKING_URI``, or `STORE` in the working directory."""
    found = os.environ.get("MLFLOW_TRACKING_URI") or STORE
    if found.startswith(_SQLITE):  # the same store, wherever a later command is started
        return _SQLITE + str(Path(found.removeprefix(_SQLITE)).resolve())
    return found


def content_digest(manifest: Mapping[str, Any]) -> str:
    """Digest what a model says: its weights and thresholds, not its version or where it comes from.

    Parameters
    ----------
    manifest : mapping
        ``manifest.json`` of a model folder.

    Returns
    -------
    str
        16 hex digits.
    """
    encoder = {file: part["sha256"] for file, part in manifest.get("encoder", {}).items()}
    names = ("sha256", "review_below", "dyad_at_least", "accurate")
    content = {key: manifest.get(key) for key in names} | {"encoder": encoder}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def versions() -> list[Version]:
    """List the registered versions, the oldest first.

    Raises
    ------
    RegistryError
        If there is no store yet, or it does not answer. A registry without the model is an empty list.
    """
    with _client() as client:
        return _versions(client)


def aliased(alias: str) -> Version | None:
    """Return the version that an alias points to; None without one, without the model, without a store.

    Raises
    ------
    RegistryError
        If the store does not answer.
    """
    if _no_store():
        return None
    return next((version for version in versions() if alias in version.aliases), None)


def register(folder: Path, alias: str | None = None) -> Version:
    """Register a model folder; one whose content is registered under its version is not registered again.

    Parameters
    ----------
    folder : Path
        Of the model.
    alias : str, optional
        One of `ALIASES`, moved to it.

    Returns
    -------
    Version

    Raises
    ------
    scoring.errors.ArtifactMissing, scoring.errors.ArtifactTampered
        If it is no model folder.
    RegistryError
        If the store does not answer or cannot be written.
    """
    manifest = _manifest(folder)
    tags = {"version": str(manifest["version"]), "digest": content_digest(manifest)}
    with _client(make=True) as client:
        known = [
            found
            for found in _versions(client)
            if (found.version, found.digest) == tuple(tags.values())
        ]
        number = known[-1].number if known else _create(client, folder, tags)
    if alias is not None:
        point(alias, number)
    return _numbered(number)


def _create(client: Any, folder: Path, tags: dict[str, str]) -> str:
    """Log a folder and make a version of it."""
    source, run = _log(folder, tags["version"])
    with _present_is_fine():
        client.create_registered_model(name())
    logged = source.removeprefix("models:/") if source.startswith("models:/m-") else None
    made = client.create_model_version(
        name(), source, run, tags=tags, await_creation_for=0, model_id=logged
    )
    return str(made.version)


def _log(folder: Path, version: str) -> tuple[str, str]:
    """Log a model folder as a served model, in a run of its own: where it is, and the run."""
    with open_run(f"register {version}") as run:
        run.log_tags({"version": version})
        return run.log_served(folder), run.id


def point(alias: str, number: str) -> None:
    """Move an alias to a version, by its number.

    Raises
    ------
    UsageError
        If the alias is not one of `ALIASES`.
    RegistryError
        If there is no such version, or the store does not answer.
    """
    if alias not in ALIASES:
        raise UsageError(f"expected an alias of {', '.join(ALIASES)}, found {alias!r}.")
    with _client() as client:
        client.set_registered_model_alias(name(), alias, number)


def crown(number: str, previous: str | None) -> None:
    """Make a version the champion; it is no challenger any more. Doing it twice is doing it once.

    Parameters
    ----------
    number : str
        MLflow's number of the version.
    previous : str or None
        Version of the model that was champion before it, for `training.promote.rollback`; None leaves what is kept.
    """
    with _client() as client:
        if previous is not None:
            client.set_model_version_tag(name(), number, "previous", previous)
        client.set_registered_model_alias(name(), CHAMPION, number)
        challenger = client.get_registered_model(name()).aliases.get(CHALLENGER)
        if str(challenger) == number:
            client.delete_registered_model_alias(name(), CHALLENGER)


def fetch(reference: str, to: Path) -> Path:
    """Download the model folder of a run, or of a registered version.

    Parameters
    ----------
    reference : str
        Id of a run (``runs:/ID`` too), or ``models:/NAME@ALIAS`` or ``models:/NAME/NUMBER``.
    to : Path
        Folder to download into.

    Returns
    -------
    Path
        The model folder in it.

    Raises
    ------
    RegistryError
        If there is no such run or version, it has no model, or the store does not answer.
    """
    run = reference.removeprefix("runs:/").partition("/")[0]
    if _RUN_ID.fullmatch(run):
        return _fetch_run(run, to)
    if not re.fullmatch(r"models:/[^/@]+(/\d+|@[\w-]+)", reference):
        raise UsageError(
            f"expected the folder of a model, the id of an MLflow run, models:/NAME@ALIAS or models:/NAME/NUMBER, "
            f"found {reference!r}, and no folder of that name."
        )
    with _client():
        try:
            _download(reference, to)
        except MlflowException as error:
            if not _is_absent(error) and "alias" not in str(error):
                raise
            raise RegistryError(_lacks(reference, error)) from error
    return _model_in(to, reference)


def _fetch_run(run: str, to: Path) -> Path:
    with _client() as client:
        try:
            found = client.get_run(run)
        except MlflowException as error:
            if not _is_absent(error):
                raise
            raise RegistryError(
                f"{shown()}: expected a run {run}, found none. See 'mlflow ui' for the runs of this store, or set "
                "MLFLOW_TRACKING_URI to the store that has it."
            ) from error
        for number, source in enumerate(_sources(client, found)):
            _download(source, to / str(number))
            if any((to / str(number)).rglob(MANIFEST_FILE)):
                return _model_in(to / str(number), f"run {run}")
    raise RegistryError(
        f"run {run} ({found.info.status.lower()}): expected the model that a finished run leaves, found "
        "none. The run died before it was saved, or was one with --no-save: train again."
    )


def _sources(client: Any, run: Any) -> Iterator[str]:
    """Name what a run left that may be a model folder: artefacts under ``model``, and logged models."""
    if any(item.path == "model" for item in client.list_artifacts(run.info.run_id)):
        yield f"runs:/{run.info.run_id}/model"
    for logged in run.outputs.model_outputs if run.outputs else ():
        yield f"models:/{logged.model_id}"


def _download(source: str, to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    bar = "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"
    before = os.environ.get(bar)
    os.environ[bar] = "false"
    try:
        mlflow.artifacts.download_artifacts(artifact_uri=source, dst_path=str(to))
    finally:
        del os.environ[bar]
        if before is not None:
            os.environ[bar] = before


def _model_in(folder: Path, of: str) -> Path:
    """Find the one model folder in what was downloaded."""
    found = [
        path.parent
        for path in sorted(folder.rglob(MANIFEST_FILE))
        if (path.parent / MODEL_FILE).is_file()
    ]
    if len(found) != 1:
        raise RegistryError(
            f"{of}: expected one model folder ({MODEL_FILE}, {MANIFEST_FILE}) among its artefacts, found {len(found)}. "
            "Register the folder again: tension-train register."
        )
    return found[0]


def _lacks(reference: str, error: MlflowException) -> str:
    return (
        f"{shown()}: expected {reference} in the registry, found none: {_first_line(error)} "
        "See 'tension-train champion' for what it holds; 'tension-train register FOLDER' adds a model."
    )


def _versions(client: Any) -> list[Version]:
    aliases = _aliases(client)
    found = client.search_model_versions(f"name = '{name()}'", max_results=10_000)
    return [_version(version, aliases) for version in sorted(found, key=lambda v: int(v.version))]


def _numbered(number: str) -> Version:
    with _client() as client:
        return _version(client.get_model_version(name(), number), _aliases(client))


def _aliases(client: Any) -> dict[str, str]:
    """Return which number each alias points to."""
    try:
        return {
            alias: str(number)
            for alias, number in client.get_registered_model(name()).aliases.items()
        }
    except MlflowException as error:
        if _is_absent(error):
            return {}
        raise


def _version(found: ModelVersion, aliases: Mapping[str, str]) -> Version:
    number, tags = str(found.version), dict(found.tags)
    return Version(
        str(found.name),
        number,
        tags.get("version", "?"),
        tags.get("digest", "?"),
        tags.get("previous"),
        found.run_id or None,
        tuple(sorted(alias for alias, at in aliases.items() if at == number)),
    )


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST_FILE
    if not (path.is_file() and (folder / MODEL_FILE).is_file()):
        raise ArtifactMissing(
            f"{folder}: expected the folder of a model ({MODEL_FILE}, {MANIFEST_FILE}), found none. "
            "Give the folder that tension-train run wrote."
        )
    try:
        manifest = dict(json.loads(path.read_text(encoding="utf-8")))
        manifest["version"], content_digest(manifest)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArtifactTampered(
            f"{path}: expected the manifest of a model, found {error!r}. Get the model folder again."
        ) from error
    return manifest


def _no_store() -> bool:
    return uri().startswith(_SQLITE) and not Path(uri().removeprefix(_SQLITE)).is_file()


@contextmanager
def _client(make: bool = False) -> Iterator[Any]:
    """Open the registry; what MLflow cannot do becomes one message. `make` makes a store where there is none."""
    for chatty in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if not make and _no_store():
        raise RegistryError(
            f"{shown()}: expected an MLflow store, found none. Start where mlflow.db is, set MLFLOW_TRACKING_URI, or "
            "make one: tension-train register FOLDER."
        )
    try:
        if uri().startswith(_SQLITE):
            with closing(sqlite3.connect(uri().removeprefix(_SQLITE), timeout=PATIENCE)) as store:
                store.execute("BEGIN IMMEDIATE")  # fails now, where MLflow would try for minutes
                store.rollback()
        mlflow.set_tracking_uri(uri())
        yield mlflow.MlflowClient(uri())
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        raise RegistryError(
            f"{shown()}: expected an MLflow store that answers and can be written, found: {_first_line(error)} "
            f"{_remedy(str(error))}"
        ) from error


def _remedy(found: str) -> str:
    if "database schema" in found:
        return f"It was written by another MLflow: copy it, then run 'mlflow db upgrade {shown()}'."
    if "locked" in found:
        return "Another process writes to it: wait until it is done, then try again."
    return "Set MLFLOW_TRACKING_URI to a store that works, or unset it for mlflow.db here."


def _first_line(error: Exception) -> str:
    found = (str(error).strip().splitlines() or [""])[0][:300]
    return _without_password(found.rstrip(".") + ".")


def shown() -> str:
    """Return the address of the store for messages."""
    return _without_password(os.environ.get("MLFLOW_TRACKING_URI") or STORE)


def _without_password(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//", text)


@contextmanager
def _present_is_fine() -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise


def _is_absent(error: MlflowException) -> bool:
    return error.error_code in _ABSENT
