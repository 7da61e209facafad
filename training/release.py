"""A new champion shipped: all its files staged, the model registered, then all moved as one (`training.shipping`)."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import pandas as pd

from scoring.artifact import (
    CHAMPION_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    share_encoder,
    whole_copy,
)
from scoring.errors import TensionError
from scoring.levels import LEVELS
from scoring.tiers import TIERS
from training import behaviour, card, shipping
from training.dataset import digest
from training.gates import Figures, number
from training.side_by_side import Candidate, Kinds
from training.tracking import TrackingError, registry, shown_uri

CHANGELOG_FILE: Final = "CHANGELOG.md"
_SHOWN: Final = {
    "macro_f1": "macro-F1, four levels",
    "any.f1": "F1, any level against none",
    "kappa": "quadratic kappa",
    "ece": "calibration error (ECE)",
    "triples.f1": "F1, source, target and level",
} | {f"{level}.f1": f"F1, {level}" for level in LEVELS}
"""What the changelog shows."""

Say = Callable[[str], None]


class PromotionError(TensionError):
    """A model cannot be promoted, or the champion cannot be rolled back; says why. Nothing was changed."""


def named_champion(models: Path) -> str | None:
    """Return the version that ``CHAMPION`` names; None without that file."""
    path = models / CHAMPION_FILE
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def ship(
    one: Candidate,
    models: Path,
    cases: Path | None,
    kinds: Kinds,
    text: str,
    say: Say,
    *,
    note_previous: bool,
) -> Path:
    """Stage everything that a champion needs, register it, then move it all.

    Parameters
    ----------
    one : Candidate
        The new champion.
    models : Path
        Folder of the versions, held by `training.shipping.alone`.
    cases : Path or None
        Folder of the behaviour cases, for what the tests of a released model compare with.
    kinds : dict
        What it says to them (`training.side_by_side.measure`).
    text : str
        Entry for the changelog.
    say : callable
        Called with a line on each step that takes long, and on each case that turned over.
    note_previous : bool
        Note in the registry what was champion before, and put the behaviour into the card: not so going back.

    Returns
    -------
    Path
        Its folder in `models`.

    Raises
    ------
    scoring.errors.OutputError, training.tracking.TrackingError
        If the files or the registry cannot be written: nothing was moved.
    training.shipping.ShippingError
        If the alias could not be moved; the files are, and ``tension-train promote --finish`` does the rest.
    """
    before, folder = named_champion(models), models / one.version
    with shipping.staged(models) as stage:
        whole = one.folder
        if not folder.exists():
            whole = whole_copy(one.folder, stage.place(folder))
        if kinds and note_previous:
            _stage_card(one, whole, folder, stage, kinds, cases)
        _stage_log(models / CHANGELOG_FILE, text, stage)
        if cases is not None:
            _stage_cases(cases, kinds, one.version, stage, say)
        _stage_page(models, before, one, whole, stage)
        stage.place(models / CHAMPION_FILE).write_text(f"{one.version}\n", encoding="utf-8")
        say("registering")
        crowned = registry.register(whole)
        if before is not None and (models / before / MODEL_FILE).is_file():
            registry.register(models / before)  # else there is nothing to roll the alias back to
        # Last: without its encoder it is whole only in its place, and the registry's copy lies elsewhere.
        if whole != one.folder and (home := share_encoder(whole, models)):
            say(f"{one.version} has the encoder of {home}, and shares its file")
        journal = shipping.Journal(
            one.version,
            before,
            stage.moves(),
            _registry(crowned.number, before if note_previous else None),
        )
        shipping.commit(models, journal)
    try:
        shipping.finish(models, journal, crown)
    except KeyboardInterrupt as error:
        raise shipping.ShippingError(
            f"interrupted while {one.version} was moved into place. Do the rest: tension-train promote --finish"
        ) from error
    except TrackingError as error:
        raise shipping.ShippingError(
            f"{models / CHAMPION_FILE} names {one.version} now, but its alias could not be moved: {error} "
            "Then run: tension-train promote --finish"
        ) from error
    return folder


def _registry(number: str, previous: str | None) -> dict[str, str | None]:
    return {
        "uri": hashlib.sha256(registry.address().encode()).hexdigest(),
        "name": registry.name(),
        "number": number,
        "previous": previous,
    }


def crown(said: Mapping[str, Any]) -> None:
    """Move the alias in the registry that a journal names, and in no other.

    Raises
    ------
    training.tracking.registry.RegistryError
        If this is another registry, or it does not answer.
    """
    if (
        said["uri"] != hashlib.sha256(registry.address().encode()).hexdigest()
        or said["name"] != registry.name()
    ):
        raise registry.RegistryError(
            f"expected the registry that the promotion began with (registered model {said['name']}), found "
            f"{shown_uri()} ({registry.name()}). Set MLFLOW_TRACKING_URI as it was, or start in the same folder."
        )
    registry.crown(str(said["number"]), said["previous"])


def _stage_card(
    one: Candidate,
    whole: Path,
    folder: Path,
    stage: shipping.Stage,
    kinds: Kinds,
    cases: Path | None,
) -> None:
    """Put the shares of the behaviour cases into the card."""
    if cases is None or not (whole / card.METRICS_FILE).is_file():
        return
    shares = {tier: _by_kind(behaviour.pairs(cases), scored) for tier, (_, scored) in kinds.items()}
    if whole != one.folder:  # a copy of ours
        card.put(whole, behaviour=shares)
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name in (MANIFEST_FILE, card.METRICS_FILE):
            shutil.copy(whole / name, scratch)
        card.put(Path(scratch), behaviour=shares)
        for name in (card.METRICS_FILE, card.CARD_FILE):
            shutil.copyfile(Path(scratch) / name, stage.place(folder / name))


def _by_kind(cases: Sequence[behaviour.Case], scored: behaviour.Scored) -> dict[str, float]:
    kinds = dict.fromkeys(case.what for case in cases)
    of = {kind: [case for case in cases if case.what == kind] for kind in kinds}
    return {kind: len(behaviour.holding(some, scored)) / len(some) for kind, some in of.items()}


def _stage_cases(cases: Path, kinds: Kinds, version: str, stage: shipping.Stage, say: Say) -> None:
    """Write down what the tests compare a released model with; golden scores that are there stay."""
    with tempfile.TemporaryDirectory() as scratch:
        there = Path(shutil.copytree(cases, Path(scratch) / "cases"))
        golden = behaviour.golden_file(version, there)
        kept = golden.read_bytes() if golden.is_file() else None
        for tier, (scorer, scored) in kinds.items():
            behaviour.write(
                scorer,
                tier,
                scored,
                there,
                tell=partial(_tell, say, tier),
            )
        if kept is not None:
            golden.write_bytes(kept)
        for path in sorted(there.iterdir()):
            before = cases / path.name
            if not before.is_file() or before.read_bytes() != path.read_bytes():
                shutil.copyfile(path, stage.place(before))


def _tell(say: Say, tier: str, line: str) -> None:
    say(f"{tier} tier: {line}")


def _stage_page(
    models: Path, before: str | None, one: Candidate, whole: Path, stage: shipping.Stage
) -> None:
    """Render the tables of the README beside the models' folder, and name the new champion's folder in it."""
    page = models.resolve().parent / "README.md"
    if not page.is_file() or "<!-- metrics -->" not in (text := page.read_text(encoding="utf-8")):
        return
    if before is not None:
        old = rf"\b{re.escape(f'{models.name}/{before}')}(?![\w-]|\.\d)"
        text = re.sub(old, lambda _: f"{models.name}/{one.version}", text)
    staged = stage.place(page)
    staged.write_text(text, encoding="utf-8")
    card.write_headlines(whole, staged)


# --- the changelog ---


def _stage_log(path: Path, entry: str, stage: shipping.Stage) -> None:
    """Put an entry before the others, unless there is one under its heading: a maintainer's stays."""
    text = path.read_text(encoding="utf-8") if path.is_file() else "# Models\n"
    heading = entry.partition("\n")[0]
    known = {line.partition(",")[0] for line in text.splitlines() if line.startswith("## ")}
    if heading.partition(",")[0] in known and not heading.startswith("## Back"):
        return
    at = text.find("\n## ")
    head, rest = (text, "") if at < 0 else (text[:at], text[at:])
    stage.place(path).write_text(f"{head.rstrip()}\n\n{entry.rstrip()}\n{rest}", encoding="utf-8")


def entry(
    ours: Candidate,
    rows: pd.DataFrame,
    figures: Sequence[Figures],
    champion: str | None,
    why: str,
) -> str:
    """Render what is known of a new champion: data, and figures beside those of the one before."""
    manifest = ours.model.manifest
    train = manifest.get("train", {})
    soft = f", and on {manifest['soft']:,} that an encoder labelled" if "soft" in manifest else ""
    unseen = f"neither it nor {champion} was" if champion else "it was not"
    alone = "" if champion else ". Only the limits were applied, no champion was compared with"
    parts = [
        f"## {ours.version}, {_today()}",
        why.strip(),
        f"Trained on {train.get('rows', 0):,} labelled statements (digest `{str(train.get('digest'))[:16]}`)"
        f"{soft}, under codebook {manifest['codebook']}.",
        f"On {len(rows):,} statements (digest `{digest(rows)[:16]}`) that {unseen} trained on{alone}:",
    ]
    names = [ours.version] + ([champion] if champion else [])
    columns = [
        (f"{name}, {tier}", one[tier])
        for tier in TIERS
        for name, one in zip(names, figures, strict=True)
        if tier in one
    ]
    parts.append(_table(columns))
    return "\n\n".join(filter(None, parts)) + "\n"


def entry_back(back: Candidate, now: str | None, why: str) -> str:
    """Render the changelog's entry of a champion that is back."""
    from_ = f"From {now or 'no champion'}."
    return (
        f"## Back to {back.version}, {_today()}\n\n{' '.join(filter(None, (from_, why.strip())))}\n"
    )


def _table(columns: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    lines = [
        f"| | {' | '.join(name for name, _ in columns)} |",
        "| --- |" + " ---: |" * len(columns),
    ]
    for metric, title in _SHOWN.items():
        cells = " | ".join(number(values.get(metric)) for _, values in columns)
        lines.append(f"| {title} | {cells} |")
    return "\n".join(lines)


def _today() -> str:
    return dt.datetime.now(tz=dt.UTC).date().isoformat()
