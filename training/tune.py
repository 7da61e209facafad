"""Search for better hyper-parameters by cross-validation on the training statements, and say whether it found any.

Optuna's tree-structured Parzen estimator (Bergstra et al. 2011) proposes what to try next. Every trial is measured on
the same folds, so trials are compared statement by statement. The best of many is better than the defaults by luck
alone more often than one is: how `judge` allows for that is said there.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import IO, Final

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from scoring.errors import TensionError, UsageError
from scoring.fingerprint import fingerprint
from scoring.levels import LEVELS
from training.dataset import DataError, digest, groups, read
from training.evaluate import Sums, metrics, statistics, sums, weights
from training.pipeline import FOLDS, OWN, Params, real_rows
from training.tracking import nested
from training.train import INNER_FOLDS, check_enough, cross_validate, folds_of, git_state, soft_rows

STUDY_FILE: Final = "tune.db"
"""File of the studies, beside the MLflow store, unless another is named."""

RESAMPLES: Final = 2000
RISK: Final = 0.05
"""How often a search in which nothing is better than the defaults may say that something is."""

_DIGITS: Final = 4  # of a parameter that is tried: what is printed is what was tried
_STARTUP: Final = 10  # trials at random, before the estimator has something to go by
_ACCURATE: Final = (
    "head_c",
    "head_balance",
    "doubt_below",
    "scout_doubt_below",
    "scout_role_doubt_below",
)
_WHEN: Final = ("always", "soft", "own", "unsure", "dyads")

Say = Callable[[str], None]
Ranges = dict[str, "Range"]


class SpaceError(TensionError):
    """What is to be searched is not described as it should be."""


class StudyError(TensionError):
    """The file of the studies cannot be used."""


@dataclass(frozen=True)
class Objective:
    """A figure to search by.

    Parameters
    ----------
    name : str
        Of `training.evaluate.evaluate`.
    statistic : str
        Which of `training.evaluate.statistics` it is made of, beside the confusion.
    sign : int
        1 if more is better, -1 if less is.
    dyads : bool
        Whether it is one of dyads.
    calibrated : bool
        Whether it is one of probabilities, which take longer to get.
    """

    name: str
    statistic: str = "confusion"
    sign: int = 1
    dyads: bool = False
    calibrated: bool = False

    def of(self, rows_of: Sums, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the figure of rows drawn with `drawn` weights, shape (b, n): shape (b,)."""
        return _all_figures(rows_of, drawn)[self.name]


OBJECTIVES: Final[dict[str, Objective]] = {
    objective.name: objective
    for objective in (
        *map(Objective, ("macro_f1", "kappa", "accuracy", "any.f1")),
        *(Objective(f"{level}.f1") for level in LEVELS),
        *(Objective(f"{kind}.f1", kind, dyads=True) for kind in ("triples", "pairs")),
        *(Objective(name, name, -1, calibrated=True) for name in ("log_loss", "brier")),
        Objective("ece", "bins", -1, calibrated=True),
    )
}
"""What can be searched by, by name."""


@dataclass(frozen=True)
class Range:
    """From where to where a hyper-parameter is searched.

    Parameters
    ----------
    low, high : float
        Both included.
    log : bool
        By factors instead of differences.
    when : str
        Where it makes a difference: ``always``, with ``soft`` labels, with statements of our ``own``, with ``unsure``
        ones, for figures of ``dyads``.
    """

    low: float
    high: float
    log: bool = False
    when: str = "always"


@dataclass(frozen=True)
class Tried:
    """A trial that came to its end.

    Parameters
    ----------
    number : int
        In the order of the search, from 0, the defaults.
    params : dict of str to float
        What was searched, by name.
    value : float
        Of the objective, on all real statements.
    spread : float
        Standard deviation of the objective over the folds.
    rows_of : dict of str to ndarray of float, shape (groups, ...)
        What each group of near-duplicates adds to the sums of the objective.
    """

    number: int
    params: dict[str, float]
    value: float
    spread: float
    rows_of: Sums


@dataclass(frozen=True)
class Verdict:
    """Whether the best trial is better than the defaults.

    Parameters
    ----------
    best : int
        Position of the best trial.
    gain : float
        By how much it is better than the defaults; never negative, 0 if these are the best.
    at_least : float
        Lower bound of the gain, the best of N allowed for, at the risk of `RISK`; NaN if there is none.
    p_value : float
        How often the best of as many trials would look as much better, were none of them; 1 if the defaults are best.
    naive : float
        How often one trial would, had it been the only one: what is too small.
    """

    best: int
    gain: float
    at_least: float
    p_value: float
    naive: float

    @property
    def better(self) -> bool:
        """Whether the best is better than the defaults beyond noise."""
        return self.p_value < RISK


@dataclass(frozen=True)
class Found:
    """What a search leaves behind.

    Parameters
    ----------
    tried : list of Tried
        The trials, the defaults first; those of earlier runs of the same search included.
    verdict : Verdict
        On the best.
    objective : Objective
        What was searched by.
    out_of_time : bool
        Whether the search stopped for the time and not for the number of trials.
    study : Path
        File of the study.
    run : str
        MLflow's id of the parent run.
    """

    tried: list[Tried]
    verdict: Verdict
    objective: Objective
    out_of_time: bool
    study: Path
    run: str

    @property
    def best(self) -> Tried:
        """The best trial."""
        return self.tried[self.verdict.best]


def tune(
    data: Sequence[Path],
    *,
    trials: int = 50,
    minutes: float | None = None,
    seed: int = 0,
    metric: str = "macro_f1",
    params: Params | None = None,
    fixed: Sequence[str] = (),
    space: Path | None = None,
    soft: Path | None = None,
    study: Path | None = None,
    say: Say = lambda _: None,
) -> Found:
    """Search for better hyper-parameters by cross-validation, or go on with a search that was stopped.

    The same arguments on the same data are the same search: it goes on after the trials that its study holds, whatever
    stopped it, and a trial that was cut off is run again. With the same seed it tries the same as one never stopped.

    Parameters
    ----------
    data : sequence of Path
        Labelled statements to train on (`training.dataset.read`); nothing else is looked at.
    trials : int, optional
        Trials of the search in all, the defaults being the first.
    minutes : float, optional
        No trial is begun that would probably end later, after the first of this call.
    seed : int, optional
        Seed of the search and of the folds, which are those of `training.train.run`.
    metric : str, optional
        One of `OBJECTIVES`.
    params : Params, optional
        What to start from, and to compare with; by default that of the shipped model.
    fixed : sequence of str, optional
        Names of parameters that are not searched.
    space : Path, optional
        TOML file like ``training/tune.toml``, which is the default.
    soft : Path, optional
        Parquet of a teacher's labels, trained on in every fold.
    study : Path, optional
        SQLite file of the studies; by default `STUDY_FILE` beside the MLflow store.
    say : callable, optional
        Called with a line on each trial.

    Returns
    -------
    Found

    Raises
    ------
    UsageError
        If there is no such figure, or nothing to search.
    SpaceError
        If the space is not described as it should be.
    DataError
        If a labelled statement is not as it should be, or a level is too rare to be in every fold.
    StudyError
        If the file of the studies is none, cannot be written, or another search is at work on it.
    TrackingError
        If the MLflow store does not work.
    """
    if metric not in OBJECTIVES:
        raise UsageError(f"expected a figure of {', '.join(OBJECTIVES)}, found {metric!r}.")
    objective, params = OBJECTIVES[metric], params or Params()
    ranges = read_space(space)
    train = read(data)
    check_enough(train)
    ranges = searched(ranges, train, objective, params, fixed, soft is not None)
    taught = None if soft is None else soft_rows(soft, None, train["id"])
    key = _key(train, taught, ranges, params, objective, seed)
    path = study or nested.beside_store(STUDY_FILE)
    measure = _Measure(train, taught, objective, seed)
    with _alone(path), _open_study(path, key, objective) as opened:
        search = _Search(opened, ranges, params, seed, measure, say)
        with nested.open_search(key, f"tune {metric}") as parent:
            _log_origin(parent, train, params, ranges, objective, seed)
            search.mend(parent)
            out_of_time = search.go(parent, trials, minutes)
            tried = search.tried()
            verdict = judge([one.rows_of for one in tried], objective, seed)
            _log_verdict(parent, tried, verdict)
    return Found(tried, verdict, objective, out_of_time, path, parent.id)


def read_space(path: Path | None = None) -> Ranges:
    """Read and check what is to be searched.

    Parameters
    ----------
    path : Path, optional
        TOML: a table a hyper-parameter, with `Range`'s fields; by default ``training/tune.toml``.

    Returns
    -------
    dict of str to Range

    Raises
    ------
    SpaceError
        If it is not readable or something in it is wrong; names the file and the parameter.
    """
    source = path or files("training") / "tune.toml"
    try:
        tables = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpaceError(
            f"{source}: expected a TOML file of ranges, found none ({error}). "
            "Make one like training/tune.toml."
        ) from error
    if not tables:
        raise SpaceError(
            f"{source}: expected at least one hyper-parameter, found none. Name one, like [level_c]."
        )
    return {name: _range(f"{source}, [{name}]", name, table) for name, table in tables.items()}


def _range(where: str, name: str, table: object) -> Range:
    known = [field.name for field in fields(Params) if field.name not in _ACCURATE]
    if name not in known:
        why = " (the accurate tier's, which is not searched)" if name in _ACCURATE else ""
        raise SpaceError(f"{where}: expected one of {', '.join(known)}, found {name}{why}.")
    keys = [field.name for field in fields(Range)]
    if not isinstance(table, dict) or not {"low", "high"} <= set(table) <= set(keys):
        raise SpaceError(f"{where}: expected low and high, perhaps log and when, found {table}.")
    found = Range(**table)
    ends = (found.low, found.high)
    if not all(isinstance(end, int | float) and math.isfinite(end) for end in ends):
        raise SpaceError(f"{where}: expected low and high to be numbers, found {ends}.")
    if not found.low < found.high or (found.log and found.low <= 0) or found.low < 0:
        below = "0 < low < high" if found.log else "0 <= low < high"
        raise SpaceError(f"{where}: expected {below}, found {found.low} and {found.high}.")
    if not isinstance(found.log, bool) or found.when not in _WHEN:
        raise SpaceError(
            f"{where}: expected log to be true or false and when of {', '.join(_WHEN)}, "
            f"found {found.log!r} and {found.when!r}."
        )
    return found


def searched(
    ranges: Ranges,
    train: pd.DataFrame,
    objective: Objective,
    params: Params,
    fixed: Sequence[str],
    soft: bool,
) -> Ranges:
    """Leave out what is fixed, and what makes no difference to these statements and this figure.

    Raises
    ------
    UsageError
        If nothing is left.
    SpaceError
        If a range does not hold the default, which is the first trial.
    """
    own = (train["pool"] == OWN).to_numpy()
    holds = {
        "always": True,
        "soft": soft,
        "own": bool(own.any() and not own.all()),
        "unsure": bool(train["unsure"].any()),
        "dyads": objective.dyads,
    }
    left = {
        name: range_ for name, range_ in ranges.items() if holds[range_.when] and name not in fixed
    }
    if not left:
        raise UsageError(
            f"expected something to search, found nothing left of {', '.join(ranges)}: fixed by --param, or without "
            f"effect on {objective.name} of these statements. Give another --space, or fewer --param."
        )
    for name, range_ in left.items():
        default = params.asdict()[name]
        if not range_.low <= default <= range_.high:
            raise SpaceError(
                f"[{name}]: expected a range that holds the default {default}, the first trial, found {range_.low} to "
                f"{range_.high}. Widen it, or leave the parameter out and set it by --param."
            )
    return left


class _Measure:
    """Cross-validates hyper-parameters on the same folds of the same statements, trial after trial."""

    def __init__(
        self, train: pd.DataFrame, soft: pd.DataFrame | None, objective: Objective, seed: int
    ) -> None:
        self.objective = objective
        self._train, self._soft, self._seed = train, soft, seed
        real = real_rows(train)
        self._real = real
        self._measured = train[real].reset_index(drop=True)
        together = groups(train)[real]
        self._group = np.unique(together, return_inverse=True)[1]
        held = np.zeros(len(train), dtype=np.int64)
        for fold, (_, rows) in enumerate(folds_of(train, seed)):
            held[rows] = fold
        self._folds = np.eye(FOLDS)[held[real]].T  # which rows are of each fold

    def __call__(self, params: Params) -> tuple[dict[str, float], Sums]:
        """Give all figures, by name, and what each group of near-duplicates adds to the sums of the objective."""
        inner = INNER_FOLDS if self.objective.calibrated else 0
        predicted = cross_validate(self._train, params, self._seed, self._soft, inner=inner)
        rows_of = statistics(self._measured, predicted.take(self._real))
        kept = {name: rows_of[name] for name in ("confusion", self.objective.statistic)}
        return self._figures(rows_of), {name: self._by_group(rows) for name, rows in kept.items()}

    def _figures(self, rows_of: Sums) -> dict[str, float]:
        total = metrics(sums(rows_of, np.ones((1, len(self._measured)))))
        each = metrics(sums(rows_of, self._folds))
        out: dict[str, float] = {}
        for name, objective in OBJECTIVES.items():
            if objective.calibrated and not self.objective.calibrated:
                continue
            folds = each[name]
            out[f"cv.{name}"] = float(total[name][0])
            out |= {f"folds.{name}.mean": float(folds.mean())}
            out |= {f"folds.{name}.std": float(folds.std(ddof=1))}
        name = self.objective.name
        out |= {f"fold.{k}.{name}": float(value) for k, value in enumerate(each[name])}
        if math.isnan(out[f"cv.{name}"]):
            raise DataError(
                "training data",
                f"expected statements that {name} can be taken on, found none.",
                "Search by another --metric.",
            )
        return {name: value for name, value in out.items() if not math.isnan(value)}

    def _by_group(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        out = np.zeros((self._group.max() + 1, *rows.shape[1:]))
        np.add.at(out, self._group, rows)
        return out


class _Search:
    """The trials of one study: done, cut off and to come."""

    def __init__(
        self,
        study: optuna.Study,
        ranges: Ranges,
        params: Params,
        seed: int,
        measure: _Measure,
        say: Say,
    ) -> None:
        self._study, self._ranges, self._params = study, ranges, params
        self._seed, self._measure, self._say = seed, measure, say

    def mend(self, parent: nested.Search) -> None:
        """Give up the trials that were running when an earlier search was stopped."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(trial.number, state=TrialState.FAIL)
        done = self._done()
        cut_off = parent.close_dead([trial.number for trial in done])
        if done or cut_off:
            rerun = f"; {cut_off} cut off, to be run again" if cut_off else ""
            self._say(f"going on after {len(done)} trials of the same search{rerun}")

    def go(self, parent: nested.Search, trials: int, minutes: float | None) -> bool:
        """Run the trials that are left; return whether the time ended before them."""
        begun = time.monotonic()
        longest = 0.0
        for place in range(len(self._done()), trials):
            passed = time.monotonic() - begun
            if minutes is not None and longest and passed + longest > 60 * minutes:
                return True
            self._run(parent, place)
            longest = max(longest, time.monotonic() - begun - passed)
        return False

    def tried(self) -> list[Tried]:
        """Give the trials that came to their end, in their order."""
        name = self._measure.objective.name
        return [
            Tried(
                place,
                {key: trial.user_attrs["params"][key] for key in self._ranges},
                trial.user_attrs["figures"][f"cv.{name}"],
                trial.user_attrs["figures"].get(f"folds.{name}.std", math.nan),
                _unpacked(trial.user_attrs["rows"]),
            )
            for place, trial in enumerate(self._done())
        ]

    def _run(self, parent: nested.Search, place: int) -> None:
        trial = self._ask(place)
        chosen = {name: self._suggest(trial, name, range_) for name, range_ in self._ranges.items()}
        with parent.trial(trial.number, f"trial {place}", chosen) as child:
            begun = time.monotonic()
            figures, rows_of = self._measure(replace(self._params, **chosen))  # type: ignore[arg-type]
            child.log(figures | {"seconds": time.monotonic() - begun})
        trial.set_user_attr("params", chosen)
        trial.set_user_attr("figures", figures)
        trial.set_user_attr("rows", _packed(rows_of))
        value = figures[f"cv.{self._measure.objective.name}"]
        self._study.tell(trial, value)
        told = "the defaults" if place == 0 else as_arguments(chosen)
        self._say(f"trial {place}: {self._measure.objective.name} {value:.4f}, {told}")

    def _ask(self, place: int) -> optuna.Trial:
        """Take the next trial; what it tries follows from the seed, its place and the trials done, nothing else."""
        waiting = self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if place == 0 and not waiting:
            self._study.enqueue_trial({name: self._params.asdict()[name] for name in self._ranges})
        seed = int(np.random.SeedSequence([self._seed, place]).generate_state(1)[0])
        self._study.sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=_STARTUP, constant_liar=False
        )
        return self._study.ask()

    def _suggest(self, trial: optuna.Trial, name: str, range_: Range) -> float:
        if isinstance(self._params.asdict()[name], int):
            return trial.suggest_int(name, int(range_.low), int(range_.high), log=range_.log)
        value = trial.suggest_float(name, range_.low, range_.high, log=range_.log)
        return float(f"{value:.{_DIGITS}g}")

    def _done(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def as_arguments(params: Mapping[str, float]) -> str:
    """Write hyper-parameters as arguments of ``tension-train run``."""
    return " ".join(f"--param {name}={value}" for name, value in params.items())


def judge(
    tried: Sequence[Sums], objective: Objective, seed: int = 0, resamples: int = RESAMPLES
) -> Verdict:
    """Say whether the best of several trials is better than the first beyond noise, its being the best allowed for.

    Groups of near-duplicates are drawn with replacement, the same for every trial. In each draw the gain of every trial
    over the first is taken, less the gain that was seen, in units of its standard error; the largest of these is how
    lucky the best of as many trials gets that are no better, however much they resemble each other. The reality check
    of White (2000, Econometrica 68), studentised as of Romano and Wolf (2005, Econometrica 73).

    The noise is that of the statements measured on. That other statements to train on would change the order of the
    trials, too, is not in it.

    Parameters
    ----------
    tried : sequence of dict of str to ndarray of float, shape (groups, ...)
        What each group adds to the sums of the objective, of each trial; the first is compared with.
    objective : Objective
        The figure.
    seed : int, optional
        Seed of the draws.
    resamples : int, optional
        How many draws.

    Returns
    -------
    Verdict
    """
    n = len(tried[0]["confusion"])
    value = np.array([objective.of(rows_of, np.ones((1, n)))[0] for rows_of in tried])
    best = int(np.argmax(objective.sign * value))
    gain = objective.sign * (value - value[0])
    if gain[best] <= 0:
        return Verdict(0, 0.0, math.nan, 1.0, 1.0)
    drawn = np.concatenate(
        [
            np.stack([objective.of(rows_of, block) for rows_of in tried])
            for block in weights(n, np.random.default_rng(seed), resamples)
        ],
        axis=1,
    )
    drawn = drawn[:, ~np.isnan(drawn).any(axis=0)]
    luck = objective.sign * (drawn - drawn[0]) - gain[:, None]
    error = luck.std(axis=1)
    differs = error > 0  # a trial that predicts what the first does has no luck
    largest = (luck[differs] / error[differs, None]).max(axis=0)
    seen = gain[best] / error[best]
    bound = gain[best] - np.quantile(largest, 1 - RISK) * error[best]
    return Verdict(
        best,
        float(gain[best]),
        float(bound),
        _share(largest >= seen),
        _share(luck[best] >= gain[best]),
    )


def _share(marks: NDArray[np.bool_]) -> float:
    """Share of the draws, the one that was seen counted in: never 0 of finitely many."""
    return float((marks.sum() + 1) / (len(marks) + 1))


def _all_figures(rows_of: Sums, drawn: NDArray[np.float64]) -> Sums:
    """Give the figures of drawn rows; those whose statistics were not kept are not to be used."""
    b = len(drawn)
    k = len(LEVELS)
    lacking = {"bins": (10, 3), "level_bins": (k, 10, 3), "triples": (3,), "pairs": (3,)}
    single = ("log_loss", "brier", "review", "review_errors", "reversed")
    empty = {name: np.zeros((b, *shape)) for name, shape in lacking.items()}
    empty |= {name: np.zeros(b) for name in single} | {"curve": np.zeros((b, 5))}
    return metrics(empty | sums(rows_of, drawn))


def _packed(rows_of: Sums) -> str:
    """Write arrays into text: the study keeps them with the trial, or neither."""
    file = io.BytesIO()
    np.savez_compressed(file, **rows_of)  # type: ignore[arg-type]
    return base64.b64encode(file.getvalue()).decode("ascii")


def _unpacked(text: str) -> Sums:
    with np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _key(
    train: pd.DataFrame,
    soft: pd.DataFrame | None,
    ranges: Ranges,
    params: Params,
    objective: Objective,
    seed: int,
) -> str:
    """Name the study by all that its trials depend on."""
    parts = {
        "data": digest(train),
        "order": list(train["id"]),  # of which the folds are made
        "marks": [train[name].astype(str).tolist() for name in ("pool", "unsure")],
        "soft": None if soft is None else hashlib.sha256(soft.to_json().encode()).hexdigest(),
        "ranges": {name: vars(range_) for name, range_ in ranges.items()},
        "params": params.asdict(),
        "metric": objective.name,
        "seed": seed,
        "folds": FOLDS,
        "features": fingerprint(),
    }
    return "tune-" + hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@contextmanager
def _open_study(path: Path, name: str, objective: Objective) -> Iterator[optuna.Study]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        storage = RDBStorage(f"sqlite:///{path}")
        ends = optuna.study.StudyDirection
        direction = ends.MAXIMIZE if objective.sign > 0 else ends.MINIMIZE
        yield optuna.create_study(
            storage=storage, study_name=name, direction=direction, load_if_exists=True
        )
        storage.remove_session()
    except (SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        found = str(error.__cause__ or error).strip().splitlines()[0][:300].rstrip(".")
        raise StudyError(
            f"{path}: expected a file of Optuna's studies that can be written, found: {found}. "
            "Name another by --study."
        ) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep a second search off the same file: each would take the other's trial for one that was cut off."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        file = lock.open("w")
    except OSError as error:
        raise StudyError(
            f"{path}: expected a folder that can be written, found: {error.strerror}. "
            "Name another file by --study."
        ) from error
    with file:
        _lock(file, path)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _lock(file: IO[str], path: Path) -> None:
    with suppress(ImportError):  # not on Windows: there a second search is not noticed
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StudyError(
                f"{path}: expected no other search at work on it, found one. "
                "Wait for it, or name another file by --study."
            ) from error


def _log_origin(
    parent: nested.Search,
    train: pd.DataFrame,
    params: Params,
    ranges: Ranges,
    objective: Objective,
    seed: int,
) -> None:
    parent.log_data(train, "train", digest(train))
    told = {f"{name}.range": f"{r.low} to {r.high}{' log' * r.log}" for name, r in ranges.items()}
    given = {name: value for name, value in params.asdict().items() if name not in _ACCURATE}
    parent.log(
        params={"metric": objective.name, "seed": seed, "folds": FOLDS, "train.rows": len(train)}
        | told
        | given,
        tags={f"git.{name}": value for name, value in git_state().items()}
        | {"train.digest": digest(train), "features": fingerprint()},
    )


def _log_verdict(parent: nested.Search, tried: Sequence[Tried], verdict: Verdict) -> None:
    best = tried[verdict.best]
    figures = {
        "default": tried[0].value,
        "best": best.value,
        "gain": verdict.gain,
        "gain.at_least": verdict.at_least,
        "p_value": verdict.p_value,
        "trials": float(len(tried)),
    }
    parent.log(
        figures={name: value for name, value in figures.items() if not math.isnan(value)},
        tags={"best": as_arguments(best.params), "better": verdict.better},
    )
