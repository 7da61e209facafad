"""One training run: read, cross-validate, fit, evaluate, track, save."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from types import NoneType
from typing import Any, Final

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from scoring import artifact
from scoring.errors import OutputError, UsageError
from scoring.levels import LEVELS, PROBABILITIES, codebook
from scoring.scorer import Scorer
from training import card, seen, studies, tracking
from training.dataset import (
    DataError,
    advice,
    apart,
    digest,
    groups,
    labels,
    read,
    statement_id,
    unhydrated,
)
from training.evaluate import (
    LEAST,
    Metrics,
    Predictions,
    collect,
    evaluate,
    keyword_baseline,
    tfidf_baseline,
    vader_baseline,
)
from training.hydrate import CORPUS
from training.pipeline import (
    DESCRIPTION_FILE,
    FOLDS,
    Params,
    fit,
    real_rows,
    unknown,
    unseen,
)

INNER_FOLDS: Final = 2
"""Folds within a fold, for its temperature alone."""

_OF_ENCODER: Final = (DESCRIPTION_FILE, seen.LEARNED_FILE)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What a training run leaves behind.

    Parameters
    ----------
    model : scoring.artifact.Model
        Fitted on all the training statements, with its manifest.
    metrics : dict
        ``cv`` and, if there were held-out statements, ``dev``, of the fast tier, and ``dev.accurate``:
        metrics of `training.evaluate.evaluate`; ``baselines``: the same by method, on the rows of
        ``dev``, else of ``cv``; ``cross_pool`` and ``ablation`` (`training.studies`), if asked for.
    folder : Path or None
        Where the model was saved.
    served : str or None
        URI of the model in MLflow, if it was saved.
    """

    model: artifact.Model
    metrics: dict[str, Any]
    folder: Path | None
    served: str | None = None


def run(
    data: Sequence[Path],
    dev: Sequence[Path] = (),
    *,
    seed: int = 0,
    params: Params | None = None,
    out: Path | None = Path("models"),
    name: str | None = None,
    soft: Path | None = None,
    encoders: Sequence[Path] = (),
    calibrate: Sequence[Path] = (),
    study: bool = False,
    say: Say = lambda _: None,
) -> Outcome:
    """Train a model on labelled statements, log the run to MLflow and save the model.

    Parameters
    ----------
    data : sequence of Path
        Labelled statements to train on (`training.dataset.read`).
    dev : sequence of Path, optional
        Labelled statements to evaluate on; nothing is fitted to them, and training statements that come near
        one are left out.
    seed : int, optional
        Seed of everything random. The same data and seed give the same model.
    params : Params, optional
        Hyper-parameters; by default those of the shipped model.
    out : Path, optional
        Folder of the versions; None saves nothing.
    name : str, optional
        Version; by default the package's, and the first 8 hex digits of the data's digest.
    soft : Path, optional
        Parquet of sentences that the encoder's teacher labelled (``tension-train soft-labels``).
    encoders : sequence of Path, optional
        Folder of the accurate tier's encoder (``tension-train encoder``); or two, first that of a small one.
    calibrate : sequence of Path, optional
        Labelled statements that no classifier learns from (`training.pipeline.fit`); those that come near a training
        one are left out.
    study : bool, optional
        Also train without each pool and without each part of the data: some minutes more.
    say : callable, optional
        Called with a line on each step that takes long.

    Returns
    -------
    Outcome

    Raises
    ------
    DataError
        If a labelled statement is not as it should be, or is in two of `data`, `dev` and `calibrate`.
    UsageError
        If the version is there already.
    TrackingError
        If the MLflow store does not work.
    OutputError
        If the folder cannot be written.
    """
    params = params or Params()
    train = read(data)
    if len(missing := unhydrated(data)):
        say(advice(missing))
    held = read(dev) if dev else None
    if held is not None:
        train, near = apart(train, held)
        if near:
            say(f"left out {len(near):,} training statements that come near a held-out one")
    if held is not None and len(held) < LEAST:
        say(f"{len(held):,} statements to evaluate on are few: their figures tell next to nothing")
    check_enough(train)
    taught = None if soft is None else soft_rows(soft, held, train["id"])
    fresh = fresh_rows(calibrate, train, held, taught, encoders, say) if calibrate else None
    if encoders:
        unseen(train, encoders)  # now, not after the minutes of training
    name = name or f"{_package()}-{digest(train)[:8]}"
    _check_free(out, name)
    with tracking.open_run(name) as tracked:
        manifest = _manifest(name, train, params, seed) | {"mlflow_run": tracked.id}
        if taught is not None:
            manifest["soft"] = len(taught)
        if held is not None:
            manifest["dev"] = describe(held) | {"left_out_of_train": len(near)}
        if fresh is not None:
            manifest["calibrate"] = describe(fresh)
        _log_origin(tracked, manifest)
        tracked.log_environment()
        tracked.log_data(train, "train", manifest["train"]["digest"])
        if held is not None:
            tracked.log_data(held, "dev", manifest["dev"]["digest"])
        if fresh is not None:
            tracked.log_data(fresh, "calibrate", manifest["calibrate"]["digest"])
        say(f"cross-validating on {len(train):,} statements")
        out_of_fold = cross_validate(train, params, seed, taught, fresh)
        real = real_rows(train)
        measured = train[real].reset_index(drop=True)
        metrics: dict[str, Any] = {"cv": evaluate(measured, out_of_fold.take(real), seed)}
        if doubt := in_doubt(metrics["cv"]):
            say(doubt)
        say("fitting on all of them")
        model = fit_alone(train, params, seed, taught, encoders, fresh, jobs=-1)
        model = replace(model, manifest=model.manifest | manifest)
        if held is not None:
            metrics["dev"] = evaluate(held, predict(model, held), seed)
            if model.accurate is not None:
                metrics["dev.accurate"] = evaluate(held, predict(model, held, "accurate"), seed)
        say("fitting the baselines")
        with threadpool_limits(limits=1):  # as in `fit_alone`
            metrics["baselines"] = _baselines(measured, held, seed)
        if study:
            metrics |= _studies(train, taught, held, params, seed, say)
        for part in ("cv", "dev", "dev.accurate"):
            if part in metrics:
                tracked.log_metrics(part, metrics[part])
        if out is None:
            tracked.log_level(model.level.pipeline)
        served = _save(model, metrics, name, out, tracked, _seen(train, taught, fresh))
    return Outcome(model, metrics, None if out is None else out / name, served)


def soft_rows(
    path: Path, held: pd.DataFrame | None, labelled: Collection[str] = ()
) -> pd.DataFrame:
    """Read a teacher's labels but for those of sentences that are labelled, or come near a held-out one.

    Parameters
    ----------
    path : Path
        Parquet file of `training.encoder.soft_labels`.
    held : pandas.DataFrame or None
        Held-out statements.
    labelled : collection of str, optional
        Ids of the training statements: a coder's label is worth more than a teacher's.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    DataError
        If there is no such file, or a row is not as it should be.
    """
    try:
        taught = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        problem = f"expected a Parquet file of a teacher's labels, found none ({error})."
        raise DataError(str(path), problem, "Make one: tension-train soft-labels.") from error
    check_soft(taught, str(path))
    named = taught.assign(id=[statement_id(text) for text in taught["text"]], place=str(path))
    named = named[~named["id"].isin(set(labelled))].reset_index(drop=True)
    if held is None:
        return named
    return apart(named[~named["id"].isin(held["id"])], held)[0]


def check_soft(taught: pd.DataFrame, place: str) -> None:
    """Check a teacher's labels.

    Parameters
    ----------
    taught : pandas.DataFrame
        Of a file of `training.encoder.soft_labels` or `read_labels`.
    place : str
        The file, for messages.

    Raises
    ------
    DataError
        If a column is missing, a probability none, or ``dyads``, where there is such a column, no JSON list of
        source, target, chance.
    """
    remedy = "Make it anew: tension-train soft-labels."
    if missing := [name for name in ("text", *PROBABILITIES) if name not in taught]:
        problem = (
            f"expected the columns text and {', '.join(PROBABILITIES)}, found no {missing[0]}."
        )
        raise DataError(place, problem, remedy)
    wrong = ~taught[list(PROBABILITIES)].apply(lambda column: column.between(0, 1)).all(axis=1)
    wrong |= ~taught["text"].map(lambda text: isinstance(text, str))
    if wrong.any():
        problem = (
            f"expected text and probabilities from 0 to 1, found others in row {wrong.argmax():,}."
        )
        raise DataError(place, problem, remedy)
    for row, said in enumerate(taught.get("dyads", ())):
        try:
            right = all(
                0 <= chance <= 1 and {type(source), type(target)} <= {str, NoneType}
                for source, target, chance in json.loads(said)
            )
        except (ValueError, TypeError):
            right = False
        if not right:
            problem = (
                "expected dyads as a JSON list of [source, target, chance from 0 to 1], found another "
                f"in row {row:,}."
            )
            raise DataError(place, problem, remedy)


def fresh_rows(
    paths: Sequence[Path],
    train: pd.DataFrame,
    held: pd.DataFrame | None,
    taught: pd.DataFrame | None = None,
    encoders: Sequence[Path] = (),
    say: Say = lambda _: None,
) -> pd.DataFrame:
    """Read the statements that temperatures come from, but for those that come near one that is learned from.

    Parameters
    ----------
    paths : sequence of Path
        Labelled statements.
    train : pandas.DataFrame
        Training statements.
    held : pandas.DataFrame or None
        Held-out statements.
    taught : pandas.DataFrame, optional
        A teacher's labels, from `soft_rows`.
    encoders : sequence of Path, optional
        As of `run`; what they have learned from stays in, but there must be enough besides.
    say : callable, optional
        Told how many there are, and how many were left out.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    DataError
        If one of them is trained on or held out, or too few are left.
    """
    fresh = every = read(paths)
    for others, how in ((train, "trained on"), (held, "held out")):
        if others is None:
            continue
        if both := sorted({*every["id"]} & {*others["id"]}):
            problem = f"expected statements that are not {how}, found {len(both)} that are, {both[0]} first."
            raise DataError(f"--calibrate {paths[0]}", problem, "Take them out of one of the two.")
        fresh, _ = apart(fresh, others)
    if taught is not None:
        fresh, _ = apart(fresh[~fresh["id"].isin(taught["id"])], taught)
    new = unknown(fresh, encoders)
    say(
        f"calibrating on {len(fresh):,} statements that no classifier learns from, of which no encoder learned from "
        f"{len(new):,}; left out {len(every) - len(fresh):,} that come near one that is learned from"
    )
    return fresh


def _studies(
    train: pd.DataFrame,
    taught: pd.DataFrame | None,
    held: pd.DataFrame | None,
    params: Params,
    seed: int,
    say: Say,
) -> dict[str, Any]:
    def fit_on(statements: pd.DataFrame, soft: pd.DataFrame | None) -> artifact.Model:
        # Calibrated by its own folds: the statements that others are calibrated on may be of the pool left out.
        return fit_alone(statements, params, seed, soft, folds=INNER_FOLDS)

    def measure(model: artifact.Model, statements: pd.DataFrame) -> Metrics:
        return evaluate(statements, predict(model, statements), seed)

    out: dict[str, Any] = {"cross_pool": studies.cross_pool(train, fit_on, measure, say)}
    if held is not None:
        coders = labels([CORPUS]).set_index("id")["coder"]
        out["ablation"] = studies.ablation(train, taught, coders, held, fit_on, measure, say)
    return out


def predict(model: artifact.Model, statements: pd.DataFrame, tier: str = "fast") -> Predictions:
    """Score labelled statements the way a user does, one prediction each."""
    texts = [str(text) for text in statements["text"]]
    return collect(Scorer(model, tier).score_lines(texts), len(texts))


def cross_validate(
    statements: pd.DataFrame,
    params: Params,
    seed: int,
    soft: pd.DataFrame | None = None,
    calibrate: pd.DataFrame | None = None,
    inner: int = INNER_FOLDS,
) -> Predictions:
    """Predict each statement with a model that saw neither it nor a near-duplicate of it.

    Parameters
    ----------
    statements : pandas.DataFrame
        From `training.dataset.read`.
    params : Params
        Hyper-parameters.
    seed : int
        Seed of the folds and of the fits.
    soft : pandas.DataFrame, optional
        A teacher's labels, in the training of every fold. The teacher knew the statements, so it may pass a
        little of the held-out ones on: figures on held-out data are the cleaner ones.
    calibrate : pandas.DataFrame, optional
        As of `training.pipeline.fit`, for the model of every fold.
    inner : int, optional
        Folds within each fold, for its temperature; 0: levels and dyads alone are wanted (`training.pipeline.fit`).

    Returns
    -------
    Predictions
        Of all rows, in order.
    """

    def fold(train: NDArray[np.int64], held: NDArray[np.int64]) -> Predictions:
        rows = statements.iloc[train].reset_index(drop=True)
        model = fit_alone(rows, params, seed, soft, calibrate=calibrate, folds=inner)
        return predict(model, statements.iloc[held])

    splits = list(folds_of(statements, seed))
    parts = Parallel(n_jobs=-1)(delayed(fold)(*split) for split in splits)
    order = [held for _, held in splits]
    back = np.argsort(np.concatenate(order))
    dyads = [found for part in parts for found in part.dyads or ()]
    return Predictions(
        np.concatenate([part.level for part in parts])[back],
        np.concatenate([part.probability for part in parts])[back],
        np.concatenate([part.review for part in parts if part.review is not None])[back],
        [dyads[row] for row in back],
    )


def fit_alone(
    statements: pd.DataFrame,
    params: Params,
    seed: int,
    soft: pd.DataFrame | None = None,
    encoders: Sequence[Path] = (),
    calibrate: pd.DataFrame | None = None,
    folds: int = FOLDS,
    jobs: int = 1,
) -> artifact.Model:
    """Fit as `training.pipeline.fit` does, on one thread of linear algebra.

    The order of sums, so the last bits of the weights, would change with the number of cores; and
    on shared cores the threads wait for each other: one is three to four times faster.
    """
    with threadpool_limits(limits=1):
        return fit(
            statements,
            params,
            seed,
            soft=soft,
            encoders=encoders,
            calibrate=calibrate,
            folds=folds,
            jobs=jobs,
        )


def describe(statements: pd.DataFrame) -> dict[str, Any]:
    """Describe labelled statements for the manifest: counts and digest, no text."""
    counts = {
        by: {
            str(name): {level: int((part == level).sum()) for level in LEVELS}
            for name, part in statements.groupby(by)["level"]
        }
        for by in ("pool", "stratum")
    }
    return {
        "digest": digest(statements),
        "rows": len(statements),
        "unsure": int(statements["unsure"].sum()),
    } | counts


def folds_of(statements: pd.DataFrame, seed: int) -> Any:
    """Split statements for cross-validation, near-duplicates together: pairs of positions to fit on and held."""
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    return folds.split(statements, statements["level"], groups(statements))


def _baselines(train: pd.DataFrame, held: pd.DataFrame | None, seed: int) -> dict[str, Metrics]:
    """Evaluate the baselines on the rows of the headlines: held out, else cross-validated."""
    if held is not None:
        tfidf = tfidf_baseline(train, held["text"])
    else:
        held = train
        level = np.zeros(len(train), dtype=np.int64)
        probability = np.zeros((len(train), len(LEVELS)))
        for rows, rest in folds_of(train, seed):
            part = tfidf_baseline(train.iloc[rows], train["text"].iloc[rest])
            level[rest], probability[rest] = part.level, part.probability
        tfidf = Predictions(level, probability, None, None)
    methods = {
        "keywords": keyword_baseline(held["text"]),
        "vader": vader_baseline(train, held["text"]),
        "tfidf": tfidf,
    }
    return {name: evaluate(held, found, seed, slices=False) for name, found in methods.items()}


def in_doubt(metrics: Metrics) -> str | None:
    """Say so if the levels of the training statements cannot be told any better than by chance.

    Parameters
    ----------
    metrics : dict of str to float
        Of the cross-validation.
    """
    low = metrics.get("kappa.low", 1.0)
    if low > 0:
        return None
    return (
        f"nothing was learned that is better than chance: cross-validated kappa {metrics['kappa']:.3f} "
        f"({low:.3f} to {metrics['kappa.high']:.3f}). Are the labels those of these statements, and enough?"
    )


def check_enough(train: pd.DataFrame) -> None:
    """Refuse data in which a level is too rare to be in every fold."""
    counts = {level: int((train["level"] == level).sum()) for level in LEVELS}
    if min(counts.values()) < FOLDS:
        raise DataError(
            "training data",
            f"expected at least {FOLDS} statements of every level, found "
            f"{', '.join(f'{n:,} {level}' for level, n in counts.items())}.",
            "Label more statements of the rare levels.",
        )


def _check_free(out: Path | None, name: str) -> None:
    if out is None:
        return
    if name != Path(name).name or name.startswith("."):
        raise UsageError(f"expected a version that can name a folder, found {name!r}.")
    if (out / name).exists():
        raise UsageError(
            f"{out / name}: expected no model of this version yet, found one. "
            "Give another --version, or move that folder away."
        )
    try:  # now, not after the minutes of training
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(out, error) from error


def _unwritable(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{folder}: expected a folder that can be written, found: {error.strerror}. "
        "Give another with --out."
    )


def _manifest(name: str, train: pd.DataFrame, params: Params, seed: int) -> dict[str, Any]:
    """Say where the model comes from; `scoring.artifact.save` adds what it is."""
    return {
        "version": name,
        "package": _package(),
        "seed": seed,
        "params": params.asdict(),
        "train": describe(train),
        "codebook": codebook()["version"],
        "codebook_sha256": hashlib.sha256(
            (files("scoring") / "codebook.toml").read_bytes()
        ).hexdigest(),
        "git": git_state(),
    }


def _log_origin(tracked: tracking.Run, manifest: dict[str, Any]) -> None:
    held = manifest.get("dev", {})
    tracked.log_params(
        manifest["params"]
        | {"seed": manifest["seed"], "folds": FOLDS, "train.rows": manifest["train"]["rows"]}
        | {f"dev.{key}": held[key] for key in ("rows", "left_out_of_train") if held}
    )
    tracked.log_tags(
        {
            "version": manifest["version"],
            "package": manifest["package"],
            "git.commit": manifest["git"]["commit"],
            "git.clean": manifest["git"]["clean"],
            "codebook.version": manifest["codebook"],
            "codebook.sha256": manifest["codebook_sha256"],
            "train.digest": manifest["train"]["digest"],
        }
        | {
            f"{part}.digest": manifest[part]["digest"]
            for part in ("dev", "calibrate")
            if part in manifest
        }
    )


def _seen(train: pd.DataFrame, taught: pd.DataFrame | None, fresh: pd.DataFrame | None) -> set[str]:
    """Return the ids of all that a model learns from, a teacher's labels and what it is calibrated on included."""
    soft = () if taught is None else map(statement_id, taught["text"])
    return {*train["id"], *soft, *(() if fresh is None else fresh["id"])}


def _describe_encoders(model: artifact.Model, folder: Path) -> None:
    """Leave beside each encoder what it learned from: so it can be given new heads some day."""
    for which, heads in model.encoders.items():
        place = (folder / artifact.ENCODERS[which][0]).parent
        for name in _OF_ENCODER:
            shutil.copyfile(heads.encoder.with_name(name), place / name)


def _save(
    model: artifact.Model,
    metrics: dict[str, Any],
    name: str,
    out: Path | None,
    tracked: tracking.Run,
    ids: Iterable[str] | None = None,
) -> str | None:
    """Write the model folder and log it; into `out` it comes last, whole or not at all.

    `ids` are those of what the model was trained on.
    Without `out`, only the card and the metrics are logged.
    """
    try:
        with tempfile.TemporaryDirectory(dir=out, prefix=f".{name}.") as scratch:
            made = Path(scratch) / name
            artifact.save(model, made)
            if ids is not None:
                seen.write(made, ids)
            text = json.dumps(metrics, indent=1, allow_nan=False)
            (made / card.METRICS_FILE).write_text(text + "\n", encoding="utf-8")
            card.write(made)
            tracked.log_card(made)
            if out is None:
                return None
            _describe_encoders(model, made)
            served = tracked.log_served(made)
            artifact.share_encoder(made, out)
            for file in _OF_ENCODER:  # they go with an encoder, wherever that lies
                for said in made.rglob(file):
                    if not said.with_name(artifact.ENCODER_FILE).is_file():
                        said.unlink()
            made.rename(out / name)
    except OSError as error:
        raise _unwritable(out or Path(tempfile.gettempdir()), error) from error
    return served


def _package() -> str:
    try:
        return version("tension-escalation")
    except PackageNotFoundError:
        return "0"


def git_state() -> dict[str, Any]:
    """Return the commit of this checkout and whether nothing was changed since; null if unknown."""
    git = shutil.which("git")
    here = Path(__file__).parent

    def ask(*arguments: str) -> str | None:
        if git is None:
            return None
        done = subprocess.run(  # noqa: S603
            [git, "-C", str(here), *arguments], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else None

    commit, changes = ask("rev-parse", "HEAD"), ask("--no-optional-locks", "status", "--porcelain")
    return {"commit": commit, "clean": None if commit is None else changes == ""}
