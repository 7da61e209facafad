"""From a challenger to the champion, and back: measured on the same rows, held against the gates, shipped whole.

A promotion that is refused changes nothing. One that is killed is finished, or thrown away, by the next one
(`training.shipping`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from scoring import artifact
from scoring.artifact import CHAMPION_FILE, MANIFEST_FILE, MODEL_FILE
from scoring.errors import ArtifactVersion, UsageError
from scoring.levels import LEVELS
from training import behaviour, gates, seen, shipping
from training.dataset import DataError, read
from training.gates import Gates, Verdict
from training.hydrate import CORPUS
from training.release import (
    PromotionError,
    crown,
    entry,
    entry_back,
    named_champion,
    ship,
)
from training.side_by_side import Candidate, behave, measure
from training.tracking import registry, shown_uri

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What came of a promotion.

    Parameters
    ----------
    version : str
        Of the challenger.
    champion : str or None
        Version that it was compared with; None if only limits were applied.
    rows : int
        Statements that both were measured on.
    verdicts : list of training.gates.Verdict
        What each gate says.
    shipped : Path or None
        Folder of the new champion; None if it was refused, or this was a dry run.
    """

    version: str
    champion: str | None
    rows: int
    verdicts: list[Verdict]
    shipped: Path | None

    @property
    def holds(self) -> bool:
        """Whether every gate holds."""
        return all(verdict.holds for verdict in self.verdicts)


def promote(
    challenger: str,
    data: Sequence[Path],
    *,
    models: Path = Path("models"),
    champion: Path | None = None,
    gates_file: Path | None = None,
    limits_only: bool = False,
    dry_run: bool = False,
    name: str | None = None,
    why: str = "",
    trained_on: Sequence[Path] = (),
    say: Say = lambda _: None,
) -> Outcome:
    """Measure a challenger beside the champion, and make it the champion if every gate holds.

    Parameters
    ----------
    challenger : str
        Folder of a model, id of an MLflow run, or ``models:/NAME@ALIAS`` or ``models:/NAME/NUMBER``.
    data : sequence of Path
        Labelled statements that neither was trained on.
    models : Path, optional
        Folder of the versions. What the tests of a released model compare with is written into
        ``tests/model/cases`` beside it, if that is there.
    champion : Path, optional
        Folder of the model to compare with; by default the one that ``CHAMPION`` names.
    gates_file : Path, optional
        Other gates than the package's.
    limits_only : bool, optional
        Apply only the absolute limits: where there is no champion, or one that no longer loads.
    dry_run : bool, optional
        Measure and judge, change nothing.
    name : str, optional
        Version to ship it as; by default its own.
    why : str, optional
        For the changelog.
    trained_on : sequence of Path
        Labelled statements with their text: near-duplicates of what a model was trained on are looked for among
        these and our own.
    say : callable, optional
        Called with a line on each step that takes long.

    Returns
    -------
    Outcome

    Raises
    ------
    PromotionError
        If the two cannot be compared.
    training.dataset.DataError
        If the rows are not as they should be, are too few, or one of the two was trained on some.
    training.gates.GatesError
        If the gates are not as they should be.
    scoring.errors.ArtifactError
        If the challenger does not load.
    training.tracking.TrackingError
        If the registry does not answer.
    """
    rules, rows = gates.read(gates_file), read(data)
    _check_rows(rows, rules, data)
    with tempfile.TemporaryDirectory() as scratch, _turn(models, dry_run, say):
        ours = _open(challenger, name, Path(scratch))
        theirs = None if limits_only else _champion(models, champion)
        _check_new(ours, models)
        _check_unseen(rows, [ours] if theirs is None else [ours, theirs], trained_on, say)
        if theirs is None:
            say("only the limits are applied: there is no comparison with a champion")
        cases = _cases(models, rules, say)
        figures, kinds = measure([ours] if theirs is None else [ours, theirs], rows, cases, say)
        verdicts = gates.judge(rules, figures[0], figures[1] if theirs else None)
        compared = theirs.version if theirs else None
        outcome = Outcome(ours.version, compared, len(rows), verdicts, None)
        if dry_run or not outcome.holds:
            return outcome
        text = entry(ours, rows, figures, compared, why)
        shipped = ship(ours, models, cases, kinds, text, say, note_previous=True)
    return Outcome(ours.version, compared, len(rows), verdicts, shipped)


def rollback(
    models: Path = Path("models"),
    to: str | None = None,
    *,
    why: str = "",
    say: Say = lambda _: None,
) -> Path:
    """Make an earlier version the champion again, in ``CHAMPION`` and in the registry alike.

    Parameters
    ----------
    models : Path, optional
        Folder of the versions.
    to : str, optional
        Version; by default the one that was champion before, which the registry knows.
    why : str, optional
        For the changelog.
    say : callable, optional
        Called with a line on each step that takes long.

    Returns
    -------
    Path
        Folder of the champion.

    Raises
    ------
    PromotionError
        If it is not known what was champion before, or that version is gone.
    scoring.errors.ArtifactError
        If that version no longer loads.
    training.tracking.TrackingError
        If the registry does not answer.
    """
    with _turn(models, False, say):
        now = named_champion(models)
        to = to or _previous(now)
        if to == now:
            raise PromotionError(
                f"{models / CHAMPION_FILE}: expected another champion than {to}, found it. Nothing to do."
            )
        folder = models / to
        if not (folder / MODEL_FILE).is_file():
            raise PromotionError(
                f"{folder}: expected the version to go back to, found none. Give one with --to that is there: "
                f"{', '.join(_on_disk(models)) or 'none'}."
            )
        back = Candidate(folder, artifact.load(folder))
        cases = folder_of_cases(models)
        kinds = {} if cases is None else behave(back, cases, say)
        text = entry_back(back, now, why)
        return ship(back, models, cases, kinds, text, say, note_previous=False)


def finish(models: Path, say: Say = lambda _: None) -> bool:
    """Finish, or throw away, what a killed promotion left; tell whether there was any.

    Raises
    ------
    training.shipping.ShippingError
        If another process is at it, or the journal is no journal.
    training.tracking.TrackingError
        If the registry does not answer.
    """
    with shipping.alone(models):
        return _recover(models, say)


def register(
    folder: Path, alias: str | None = None, models: Path = Path("models")
) -> registry.Version:
    """Register a model folder, and move an alias to it.

    Parameters
    ----------
    folder : Path
        Of the model.
    alias : str, optional
        ``challenger``, or ``champion`` for the model that ``CHAMPION`` names: nobody gets past the gates here.
    models : Path, optional
        Folder of the versions.

    Returns
    -------
    training.tracking.registry.Version

    Raises
    ------
    PromotionError
        If it is to be the champion and is not.
    scoring.errors.ArtifactError
        If it is no model folder, or does not load under this code and is to be the challenger.
    training.tracking.TrackingError
        If the registry does not answer.
    """
    if alias == registry.CHAMPION:
        named = named_champion(models)
        if named is None or (models / named).resolve() != folder.resolve():
            raise PromotionError(
                f"{folder}: expected the model that {models / CHAMPION_FILE} names ({named or 'none'}), found another. "
                "Only a promotion makes another one the champion: tension-train promote"
            )
    elif alias is not None:
        artifact.load(folder)
    return registry.register(folder, alias)


class Standing(NamedTuple):
    """Who is champion where.

    Parameters
    ----------
    files : str or None
        Version that ``CHAMPION`` names.
    registry : str
        The registered model, and where the registry is.
    champion, challenger : str or None
        Versions that the aliases point to.
    pending : str or None
        Version whose promotion is half done.
    agree : bool
        Whether files and registry name the same model. A registry without a champion agrees with no files only.
    """

    files: str | None
    registry: str
    champion: str | None
    challenger: str | None
    pending: str | None
    agree: bool


def standing(models: Path = Path("models")) -> Standing:
    """Say who is champion in the folder of the models and in the registry, and whether they agree.

    Raises
    ------
    training.tracking.TrackingError
        If the registry does not answer; none there yet is one without a champion.
    """
    named, left = named_champion(models), shipping.pending(models)
    champion, challenger = (registry.aliased(alias) for alias in registry.ALIASES)
    digest_ = None
    if named is not None and (models / named / MANIFEST_FILE).is_file():
        digest_ = registry.content_digest(artifact.read_manifest(models / named))
    return Standing(
        named,
        f"models:/{registry.name()}@{registry.CHAMPION} in {shown_uri()}",
        champion and champion.version,
        challenger and challenger.version,
        left and left.version,
        (champion.version, champion.digest) == (named, digest_) if champion else named is None,
    )


@contextmanager
def _turn(models: Path, dry_run: bool, say: Say) -> Iterator[None]:
    """Hold the folder of the models, and finish what was left half done there; a dry run only looks."""
    if dry_run:
        if left := shipping.pending(models):
            raise PromotionError(
                f"{models}: expected nothing half done, found the promotion of {left.version}. "
                "Finish it first: tension-train promote --finish"
            )
        yield
        return
    with shipping.alone(models):
        _recover(models, say)
        yield


def _recover(models: Path, say: Say) -> bool:
    if journal := shipping.pending(models):
        say(f"finishing the promotion of {journal.version}, which was interrupted")
        shipping.finish(models, journal, crown)
        return True
    if swept := shipping.sweep(models):
        say("threw away what a promotion left that was interrupted before it counted")
    return swept


# --- what is compared ---


def _open(challenger: str, name: str | None, scratch: Path) -> Candidate:
    """Find the folder of a challenger and load it; under another version, it is a copy."""
    folder = Path(challenger)
    if not folder.is_dir():
        folder = registry.fetch(challenger, scratch / "fetched")
    if name is not None:
        if name != Path(name).name or name.startswith("."):
            raise UsageError(f"expected a version that can name a folder, found {name!r}.")
        folder = artifact.whole_copy(folder, scratch / name)
        manifest = artifact.read_manifest(folder) | {"version": name}
        (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return Candidate(folder, artifact.load(folder))


def _champion(models: Path, folder: Path | None) -> Candidate:
    """Load the champion: the one given, or the one named, if the registry does not name another one."""
    if folder is None:
        named = named_champion(models)
        if named is None:
            raise PromotionError(
                f"{models / CHAMPION_FILE}: expected the name of the champion, found none. Give one with "
                "--champion; for the first model, apply only the limits: --limits-only."
            )
        folder = models / named
        check_agreement(folder)
    try:
        return Candidate(folder, artifact.load(folder))
    except ArtifactVersion as error:
        raise PromotionError(
            f"the champion cannot be compared with: {error} To apply only the absolute limits: --limits-only."
        ) from error


def check_agreement(folder: Path) -> None:
    """Refuse a champion that is not the one of the registry; a registry without one agrees.

    Raises
    ------
    PromotionError
        If the registry's champion is another model.
    """
    crowned = registry.aliased(registry.CHAMPION)
    if crowned is None or not (folder / MANIFEST_FILE).is_file():
        return
    manifest = artifact.read_manifest(folder)
    if crowned.digest != registry.content_digest(manifest):
        raise PromotionError(
            f"expected one champion, found {folder.name} in {folder.parent / CHAMPION_FILE} and "
            f"{crowned.version} in the registry {shown_uri()}. "
            f"If the files are right: tension-train register {folder} --alias champion"
        )


def _check_new(ours: Candidate, models: Path) -> None:
    """Refuse a challenger that is the champion, or whose version is another model."""
    there = models / ours.version
    if not there.exists():
        return
    manifest = artifact.read_manifest(there) if (there / MANIFEST_FILE).is_file() else {}
    if registry.content_digest(manifest) != registry.content_digest(ours.model.manifest):
        raise PromotionError(
            f"{there}: expected no other model of version {ours.version}, found one. "
            "Ship it under another: --as VERSION."
        )
    if ours.version == named_champion(models):
        raise PromotionError(
            f"expected a challenger, found the champion {ours.version} itself. Nothing to do."
        )


def _check_rows(rows: pd.DataFrame, rules: Gates, data: Sequence[Path]) -> None:
    """Refuse rows that are too few to compare on."""
    where = ", ".join(map(str, data))
    if len(rows) < rules.least:
        raise DataError(
            where,
            f"expected at least {rules.least:,} statements to compare on, found {len(rows):,}.",
            "Add labelled statements that neither model was trained on; [rows] in the gates sets the number.",
        )
    counts = {level: int((rows["level"] == level).sum()) for level in LEVELS}
    if min(counts.values()) < rules.least_of_a_level:
        raise DataError(
            where,
            f"expected at least {rules.least_of_a_level} statements of every level, found "
            f"{', '.join(f'{n:,} {level}' for level, n in counts.items())}.",
            "Add statements of the rare levels; [rows] in the gates sets the number.",
        )


def _check_unseen(
    rows: pd.DataFrame, candidates: Sequence[Candidate], trained_on: Sequence[Path], say: Say
) -> None:
    known = read([CORPUS, *trained_on]) if trained_on else read([CORPUS])
    for one in candidates:
        record = seen.read(one.folder, one.model.manifest)
        found = seen.refuse_seen(rows, record, known)
        if record.ids is not None and found < len(record.ids):
            say(
                f"near-duplicates of what {record.name} was trained on were looked for among {found:,} of "
                f"{len(record.ids):,} statements, whose texts are at hand; give the others with --trained-on"
            )


def folder_of_cases(models: Path) -> Path | None:
    """Return the folder of the behaviour cases beside the folder of the models; None where there is none."""
    cases = models.resolve().parent / behaviour.IN_CHECKOUT
    return cases if cases.is_dir() else None


def _cases(models: Path, rules: Gates, say: Say) -> Path | None:
    cases = folder_of_cases(models)
    if cases is None:
        where = f"{models.resolve().parent.name}/{behaviour.IN_CHECKOUT.as_posix()}"
        if rules.needs_behaviour():
            raise PromotionError(
                f"expected the behaviour cases in {where}, beside the folder of the models, found none. "
                f"They are part of a checkout: work in one, or give --gates without {', '.join(gates.BEHAVIOUR)}."
            )
        say(f"no behaviour cases in {where}: neither asked nor written down")
    return cases


def _previous(now: str | None) -> str:
    """Ask the registry which version was champion before."""
    crowned = registry.aliased(registry.CHAMPION)
    if crowned is None or crowned.version != now or not crowned.previous:
        found = (
            "no champion"
            if crowned is None
            else f"{crowned.version}, before it {crowned.previous or 'nothing'}"
        )
        raise PromotionError(
            f"expected the registry {shown_uri()} to know what was champion before {now}, found {found}. "
            "Say it: tension-train rollback --to VERSION"
        )
    return crowned.previous


def _on_disk(models: Path) -> list[str]:
    return sorted(path.parent.name for path in models.glob(f"[!.]*/{MODEL_FILE}"))
