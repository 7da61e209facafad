"""The classifiers and how they are fitted: level of a statement, roles of its actors, heads of the accurate tier."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from scoring.actors import find_mentions
from scoring.articles import clean_text
from scoring.artifact import ENCODER_FILE, TOKENIZER_FILE, Heads, Model
from scoring.clauses import Clause
from scoring.dyads import Candidate, candidates
from scoring.encoder import Encoder, Reading
from scoring.errors import UsageError
from scoring.features import mask, statement_features
from scoring.levels import CODE, LEVELS, PROBABILITIES
from scoring.linear import Dense, Hashed, softmax
from scoring.tiers import Fast, level_features, role_features
from training import seen
from training.dataset import DataError, groups

FOLDS: Final = 5
MOST_ENCODERS: Final = 2
LEAST_FRESH: Final = 30
"""Statements from which a temperature is taken, where it is not by cross-validation."""

DESCRIPTION_FILE: Final = "encoder.json"
"""In an encoder's folder: how it was made. By id, what it was made from: `training.seen.LEARNED_FILE`."""

OWN: Final = "own"
"""Pool of the statements that we wrote (``training/corpus/own.jsonl``): trained on, never measured on."""

BOUNDS: Final[dict[str, tuple[float, float]]] = (
    dict.fromkeys(("level_c", "role_c", "head_c", "role_head_c"), (1e-6, 1e6))
    | dict.fromkeys(("level_bits", "role_bits"), (1, 24))
    | dict.fromkeys(("balance", "soft_balance", "head_balance"), (0, 10))
    | dict.fromkeys(("unsure_weight", "own_weight", "soft_weight", "soft_role_weight"), (0, 1e3))
    | dict.fromkeys(("review_share", "dyad_at_least", "doubt_below"), (0, 1))
    | dict.fromkeys(("scout_doubt_below", "scout_role_doubt_below"), (0, 1))
)
"""Least and most of each of `Params`: beyond them it means nothing, or does not fit into memory."""


@dataclass(frozen=True)
class Params:
    """Hyper-parameters; the defaults are those of the shipped model.

    Parameters
    ----------
    level_c, role_c : float
        Inverse regularisation of the two logistic regressions.
    level_bits, role_bits : int
        log2 of the number of hashed features.
    balance : float
        Exponent of the class weights: 0 leaves the levels as frequent as they are, 1 makes them equal.
    unsure_weight : float
        Weight of a statement whose coder was unsure.
    own_weight : float
        Weight of a statement that we wrote ourselves.
    review_share : float
        Share of the statements that ``review`` marks, by cross-validation.
    dyad_at_least : float
        Probability from which a second dyad of a sentence is kept.
    soft_weight, soft_balance : float
        Weight of a sentence that the encoder's teacher labelled, and the exponent of its class weights: the teacher
        was trained with balanced levels and leans to the rare ones by itself.
    soft_role_weight : float
        Weight of who speaks to whom in such a sentence, as the teacher said it.
    doubt_below : float
        Probability of its most probable level below which the fast tier leaves doubt, and an encoder is asked.
    scout_doubt_below, scout_role_doubt_below : float
        Where there are two encoders: probability of the most probable level, and of the most probable dyad, below
        which the first leaves doubt, and the second is asked.
    head_c, role_head_c, head_balance : float
        Inverse regularisation of the accurate tier's two heads, and the exponent of the first one's class weights.

    Raises
    ------
    scoring.errors.UsageError
        If one is outside of `BOUNDS`.
    """

    level_c: float = 20.0
    role_c: float = 0.3
    level_bits: int = 19
    role_bits: int = 17
    balance: float = 1.1
    unsure_weight: float = 0.5
    own_weight: float = 0.7
    review_share: float = 0.15
    dyad_at_least: float = 0.5
    soft_weight: float = 2.0
    soft_balance: float = 0.0
    soft_role_weight: float = 0.0
    doubt_below: float = 0.95
    scout_doubt_below: float = 0.9
    scout_role_doubt_below: float = 0.95
    head_c: float = 0.05
    role_head_c: float = 1.0
    head_balance: float = 0.1

    def __post_init__(self) -> None:
        for name, value in self.asdict().items():
            low, high = BOUNDS[name]
            if not low <= value <= high:  # nor NaN
                raise UsageError(f"expected {name} from {low:g} to {high:g}, found {value:g}.")

    def asdict(self) -> dict[str, float]:
        """Return the parameters by name."""
        return asdict(self)


def level_pipeline(params: Params) -> Pipeline:
    """Build the level classifier, unfitted: masked sentences in a column ``text`` to four probabilities."""
    hashing = HashingVectorizer(
        analyzer=statement_features,
        n_features=2**params.level_bits,
        alternate_sign=False,
        norm=None,
    )
    return Pipeline(
        [
            ("features", ColumnTransformer([("named", hashing, "text")])),
            ("weights", TfidfTransformer(sublinear_tf=True)),
            ("classifier", LogisticRegression(C=params.level_c, solver="newton-cg")),
        ]
    )


def role_pipeline(params: Params) -> Pipeline:
    """Build the role classifier, unfitted: lists of feature names to the probability of being a dyad."""
    hashing = FeatureHasher(2**params.role_bits, input_type="string", alternate_sign=False)
    classifier = LogisticRegression(C=params.role_c, solver="newton-cg")
    return Pipeline([("features", hashing), ("classifier", classifier)])


def fit(
    statements: pd.DataFrame,
    params: Params,
    seed: int,
    *,
    soft: pd.DataFrame | None = None,
    encoders: Sequence[Path] = (),
    calibrate: pd.DataFrame | None = None,
    folds: int = FOLDS,
    jobs: int = 1,
) -> Model:
    """Fit the fast tier's classifiers on labelled statements and, if there are encoders, the accurate tier's heads.

    Parameters
    ----------
    statements : pandas.DataFrame
        Columns ``text``, ``level`` (name), ``dyads`` (lists of source, target, level), ``pool`` and ``unsure``.
    params : Params
        Hyper-parameters.
    seed : int
        Seed of the folds from which temperature and review threshold come.
    soft : pandas.DataFrame, optional
        Sentences that the encoder's teacher labelled (`training.encoder.soft_labels`).
    encoders : sequence of Path, optional
        One folder that `training.encoder.teach` wrote, or two: of a small encoder, and of the large one that is
        asked where that leaves doubt.
    calibrate : pandas.DataFrame, optional
        Statements that no classifier learns from: the temperatures come from these, and not from cross-validation,
        and those of the encoders' heads from such that no encoder learned from either (`unknown`). A teacher that
        knew the training statements passes a little of them on, and cross-validation does not see it.
    folds : int, optional
        Folds from which temperature and review threshold come; 0 does without both: levels and dyads are the same,
        probabilities not calibrated, nothing is marked, and it takes a fraction of the time.
    jobs : int, optional
        Processes that fit them; -1: all cores.

    Returns
    -------
    Model
        Without a version: training adds it to the manifest when the model is saved.
    """
    new_to_all = None if calibrate is None else unknown(calibrate, encoders)
    masked = mask_all(statements["text"])
    levels = _codes(statements)
    weights = _weights(statements, levels, params)
    taught = None if soft is None else _taught(soft, levels, params)
    if not folds:
        level = _fit_level(masked, levels, weights, params, taught)
        manifest = {"review_below": 0.0, "dyad_at_least": params.dyad_at_least}
        return Model(Hashed.of(level), _fit_roles(statements, params, soft), manifest)
    real = real_rows(statements)
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    splits = list(parts.split(masked, levels, groups(statements)))
    logits = _out_of_fold(masked, levels, weights, splits, params, taught, jobs)
    level = _fit_level(masked, levels, weights, params, taught)
    if calibrate is None:
        temperature = _temperature(logits[real], levels[real])
    else:
        fresh = np.asarray(level.decision_function(mask_all(calibrate["text"])))
        asked = _in_doubt(softmax(fresh), params.doubt_below)
        temperature = _temperature(fresh[asked], _codes(calibrate)[asked])
    _cool(level[-1], temperature)
    out_of_fold = softmax(logits / temperature)
    manifest = {
        "review_below": _review_below(out_of_fold[real], params.review_share),
        "dyad_at_least": params.dyad_at_least,
        "temperature": temperature,
    }
    model = Model(Hashed.of(level), _fit_roles(statements, params, soft), manifest)
    if not encoders:
        return model
    fresh_rows = None if new_to_all is None else _Fresh(new_to_all, Fast(model))
    return _with_heads(model, statements, out_of_fold, encoders, params, seed, soft, fresh_rows)


def real_rows(statements: pd.DataFrame) -> NDArray[np.bool_]:
    """Mark the statements that figures are taken on: the real ones, or all where there are none but our own."""
    real = (statements["pool"] != OWN).to_numpy()
    return np.asarray(real if real.any() else ~real)


def mask_all(texts: pd.Series[str]) -> pd.DataFrame:
    """Mask the actors of sentences: the input of the level classifier."""
    cleaned = [clean_text(text) for text in texts]
    return pd.DataFrame({"text": [mask(text, find_mentions(text)) for text in cleaned]})


def _codes(statements: pd.DataFrame) -> NDArray[np.int64]:
    return np.array([CODE[level] for level in statements["level"]], dtype=np.int64)


def _clauses(statements: pd.DataFrame) -> list[Clause]:
    texts = map(clean_text, statements["text"])
    return [Clause(0, text, find_mentions(text)) for text in texts]


def _level_weights(levels: NDArray[np.int64], balance: float) -> NDArray[np.float64]:
    counts = np.bincount(levels, minlength=len(LEVELS))
    return np.asarray((len(levels) / len(LEVELS) / np.maximum(counts, 1)) ** balance)


def _weights(
    statements: pd.DataFrame, levels: NDArray[np.int64], params: Params
) -> NDArray[np.float64]:
    by_level = _level_weights(levels, params.balance)
    sure = np.where(statements["unsure"].to_numpy(dtype=bool), params.unsure_weight, 1.0)
    real = np.where(statements["pool"] == OWN, params.own_weight, 1.0)
    return np.asarray(by_level[levels] * sure * real)


@dataclass(frozen=True)
class _Taught:
    """Sentences labelled by a teacher, as rows of the level classifier: one for each level that is likely enough."""

    masked: pd.DataFrame
    levels: NDArray[np.int64]
    weights: NDArray[np.float64]


_LIKELY: Final = (
    0.05  # probability under which a level that the teacher thinks of is not worth a row
)

_LIKELY_DYAD: Final = 0.02  # the same of a dyad: there are many pairs, most of them surely none


def _taught(soft: pd.DataFrame, labelled: NDArray[np.int64], params: Params) -> _Taught:
    chances = soft[list(PROBABILITIES)].to_numpy()
    rows, levels = np.nonzero(chances >= _LIKELY)
    by_level = _level_weights(labelled, params.soft_balance)
    weights = params.soft_weight * chances[rows, levels] * by_level[levels]
    masked = mask_all(soft["text"])
    return _Taught(masked.iloc[rows], levels.astype(np.int64), weights)


def _fit_level(
    masked: pd.DataFrame,
    levels: NDArray[np.int64],
    weights: NDArray[np.float64],
    params: Params,
    taught: _Taught | None,
) -> Pipeline:
    if taught is not None:
        masked = pd.concat([masked, taught.masked])
        levels = np.concatenate([levels, taught.levels])
        weights = np.concatenate([weights, taught.weights])
    return level_pipeline(params).fit(masked, levels, classifier__sample_weight=weights)


def _review_below(chances: NDArray[np.float64], share: float) -> float:
    return float(np.quantile(chances.max(axis=1), share))


def _out_of_fold(
    masked: pd.DataFrame,
    levels: NDArray[np.int64],
    weights: NDArray[np.float64],
    splits: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
    params: Params,
    taught: _Taught | None,
    jobs: int,
) -> NDArray[np.float64]:
    """Logits of every statement from a model in whose labelled data neither it nor a near-duplicate was."""

    def fold(train: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.float64]:
        model = _fit_level(masked.iloc[train], levels[train], weights[train], params, taught)
        return np.asarray(model.decision_function(masked.iloc[held]))

    out = np.zeros((len(levels), len(LEVELS)))
    found = Parallel(n_jobs=jobs)(delayed(fold)(*split) for split in splits)
    for (_, held), logits in zip(splits, found, strict=True):
        out[held] = logits
    return out


def _temperature(logits: NDArray[np.float64], levels: NDArray[np.int64]) -> float:
    """Temperature that makes out-of-fold probabilities most likely (Guo et al. 2017, temperature scaling)."""

    def loss(log_temperature: float) -> float:
        return float(log_loss(levels, softmax(logits / np.exp(log_temperature)), labels=range(4)))

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def _in_doubt(chances: NDArray[np.float64], below: float) -> NDArray[np.int64]:
    """Give the rows that a temperature comes from: those in doubt, where it decides what is marked and asked further.

    The fast tier's probabilities are not calibrated yet then, and so a little too sure. Where these are
    fewer than `LEAST_FRESH`, so many of those that are most in doubt.
    """
    sure = chances.max(axis=1)
    number = max(int((sure < below).sum()), LEAST_FRESH)
    return np.argsort(sure, kind="stable")[:number]


def _cool(classifier: Any, temperature: float) -> None:
    """Fold the temperature into the weights, so that the calibrated model stays a plain linear one."""
    classifier.coef_ /= temperature
    classifier.intercept_ /= temperature


def _fit_roles(statements: pd.DataFrame, params: Params, soft: pd.DataFrame | None) -> Hashed:
    features: list[list[str]] = []
    is_dyad: list[bool] = []
    for raw, dyads in zip(statements["text"], statements["dyads"], strict=True):
        text = clean_text(raw)
        found = candidates(text, find_mentions(text)) if dyads else []
        features += [candidate.features for candidate in found]
        is_dyad += _are_dyads(found, dyads)
    if len(set(is_dyad)) < 2:
        raise DataError(
            "training data",
            "expected statements that name the sides of their dyads, beside other actors, found "
            f"{sum(is_dyad):,} such pairs of {len(is_dyad):,}.",
            "Are the dyads those of these statements? Label more of them.",
        )
    taught, levels, weights = _taught_roles(soft, params)
    weights = np.concatenate([np.ones(len(is_dyad)), weights])
    pipeline = role_pipeline(params).fit(
        features + taught, np.concatenate([is_dyad, levels]), classifier__sample_weight=weights
    )
    return Hashed.of(pipeline)


def _taught_roles(
    soft: pd.DataFrame | None, params: Params
) -> tuple[list[list[str]], NDArray[np.bool_], NDArray[np.float64]]:
    """Make of each pair that a teacher gave a chance of being a dyad two rows: that it is one, and that it is none."""
    features: list[list[str]] = []
    chances: list[float] = []
    if soft is not None and "dyads" in soft and params.soft_role_weight:
        for raw, dyads in zip(soft["text"], map(json.loads, soft["dyads"]), strict=True):
            said = {(source, target): chance for source, target, chance in dyads}
            text = clean_text(raw)
            found = candidates(text, find_mentions(text)) if said else []
            if {(pair.source, pair.target) for pair in found} == set(said):  # else names changed
                features += [pair.features for pair in found]
                chances += [said[pair.source, pair.target] for pair in found]
    chance = np.array(chances)
    likely = np.flatnonzero(chance >= _LIKELY_DYAD)
    return (
        features + [features[row] for row in likely],
        np.repeat([False, True], [len(chance), len(likely)]),
        params.soft_role_weight * np.concatenate([1 - chance, chance[likely]]),
    )


def described(encoder: Path) -> dict[str, Any]:
    """Read what an encoder's folder says of how it was made.

    Raises
    ------
    DataError
        If it is no such folder.
    """
    path = encoder / DESCRIPTION_FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise _no_encoder(path, repr(error)) from error


def learned(encoder: Path) -> frozenset[str]:
    """Read the ids of the statements that an encoder learned from.

    Raises
    ------
    DataError
        If it is no such folder.
    scoring.errors.ArtifactTampered
        If the file of the ids is not what training writes.
    """
    path = encoder / seen.LEARNED_FILE
    ids = seen.read_ids(path)
    if ids is None:
        raise _no_encoder(path, "no such file")
    return ids


def _no_encoder(path: Path, found: str) -> DataError:
    problem = f"expected what 'tension-train encoder' writes, found none ({found})."
    return DataError(str(path), problem, "Give the folder of an encoder.")


def unseen(statements: pd.DataFrame, encoders: Sequence[Path]) -> NDArray[np.bool_]:
    """Mark the statements that no encoder learned from, nor from one that comes near.

    Parameters
    ----------
    statements : pandas.DataFrame
        From `training.dataset.read`.
    encoders : sequence of Path
        Folders, at most `MOST_ENCODERS`.

    Returns
    -------
    ndarray of bool, shape (n,)

    Raises
    ------
    UsageError
        If there are too many encoders.
    DataError
        If a folder is none of an encoder, or the encoders were kept from no statement in common.
    """
    if len(encoders) > MOST_ENCODERS:
        raise UsageError(
            f"expected at most {MOST_ENCODERS} encoders, a small one and a large one, found {len(encoders)}. "
            "Give fewer."
        )
    for encoder in encoders:
        if not (encoder / ENCODER_FILE).is_file():
            problem = f"expected {ENCODER_FILE} beside {DESCRIPTION_FILE}, found none."
            raise DataError(str(encoder), problem, "A version may share that of another: give it.")
    return kept_from(statements, encoders)


def kept_from(statements: pd.DataFrame, encoders: Sequence[Path]) -> NDArray[np.bool_]:
    """Mark the statements that no encoder learned from, nor from one that comes near: of folders without weights too.

    Raises
    ------
    DataError
        As of `unseen`.
    """
    known = {id_ for encoder in encoders for id_ in learned(encoder)}
    group = groups(statements)
    kept = ~np.isin(group, group[statements["id"].isin(known).to_numpy()])
    if not kept.any():
        names = ", ".join(map(str, encoders))
        problem = "expected statements that the encoder was kept from, found none of them here."
        raise DataError(names, problem, "Give the data that it was trained with, and some more.")
    return np.asarray(kept)


def unknown(calibrate: pd.DataFrame, encoders: Sequence[Path]) -> pd.DataFrame:
    """Leave out the statements to calibrate on that an encoder has learned from all the same.

    Raises
    ------
    DataError
        If an encoder's folder is none; if fewer than `LEAST_FRESH` are left, or fewer than `FOLDS` of a level.
    """
    known = {id_ for encoder in encoders for id_ in learned(encoder)}
    left = calibrate[~calibrate["id"].isin(known)].reset_index(drop=True)
    counts = np.bincount(_codes(left), minlength=len(LEVELS))
    if len(left) < LEAST_FRESH or counts.min() < FOLDS:
        found = ", ".join(f"{n:,} {level}" for n, level in zip(counts, LEVELS, strict=True))
        raise DataError(
            "statements to calibrate on",
            f"expected at least {LEAST_FRESH} that no encoder learned from, {FOLDS} of each level, found {found}.",
            "Give more with --calibrate.",
        )
    return left


def _with_heads(
    model: Model,
    statements: pd.DataFrame,
    out_of_fold: NDArray[np.float64],
    encoders: Sequence[Path],
    params: Params,
    seed: int,
    soft: pd.DataFrame | None,
    fresh: _Fresh | None,
) -> Model:
    """Fit the accurate tier's heads, stage by stage, on the statements that no encoder was shown.

    What they are fitted on is said of statements not seen: the encoders were kept from them; the fast tier's levels
    come from cross-validation, as do those of a stage for the next; its roles from a classifier fitted on the others.
    A teacher may have known them, and pass a little on through what it labelled.
    """
    aside = unseen(statements, encoders)
    held = statements[aside].reset_index(drop=True)
    fast = replace(model, roles=_fit_roles(statements[~aside], params, soft))
    rows = _Aside(held, out_of_fold[aside], Fast(fast), seed, fresh)
    doubtful = rows.levels.max(axis=1) < params.doubt_below
    second = min(params.scout_doubt_below, params.doubt_below)
    doubts = (params.doubt_below, second)[: len(encoders)]
    stages = [
        rows.add(encoder, doubt_below, params, last=number == len(encoders))
        for number, (encoder, doubt_below) in enumerate(zip(encoders, doubts, strict=True), 1)
    ]
    # The statements kept aside may be harder than others: the heads see this share of all.
    in_doubt = float((out_of_fold[real_rows(statements)].max(axis=1) < params.doubt_below).mean())
    share = min(params.review_share / max(in_doubt, params.review_share), 1.0)
    chances = rows.levels[doubtful if doubtful.any() else ...]
    heads, told = stages[-1]
    accurate = {
        "review_below": _review_below(chances, share),
        "doubt_below": params.doubt_below,
    } | told
    if len(stages) == 1:
        return replace(model, accurate=heads, manifest=model.manifest | {"accurate": accurate})
    scout, accurate["scout"] = stages[0]
    accurate["scout_doubt_below"] = second
    accurate["scout_role_doubt_below"] = params.scout_role_doubt_below
    manifest = model.manifest | {"accurate": accurate}
    return replace(model, accurate=heads, scout=scout, manifest=manifest)


class _Aside:
    """The statements that no encoder was shown, and what the stages so far say of them, each without having seen them.

    Parameters
    ----------
    held : pandas.DataFrame
        The statements.
    levels : ndarray of float, shape (n, 4)
        What the fast tier says of their levels.
    fast : Fast
        Its roles are asked here.
    seed : int
        Of the folds.
    fresh : _Fresh, optional
        Where the temperatures come from; by default from these statements, by cross-validation.
    """

    def __init__(
        self,
        held: pd.DataFrame,
        levels: NDArray[np.float64],
        fast: Fast,
        seed: int,
        fresh: _Fresh | None = None,
    ) -> None:
        self._held, self.levels, self._fresh = held, levels.copy(), fresh
        self._clauses, self._codes = _clauses(held), _codes(held)
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        self._splits = list(folds.split(held, self._codes, groups(held)))
        self._speaking = [row for row, dyads in enumerate(held["dyads"]) if dyads]
        speaking = [self._clauses[row] for row in self._speaking]
        self._found = [candidates(clause.text, clause.mentions) for clause in speaking]
        self._roles = fast.roles(speaking, self._found)

    def add(
        self, encoder: Path, doubt_below: float, params: Params, last: bool
    ) -> tuple[Heads, dict[str, Any]]:
        """Fit the heads of a stage; from then on `levels` and, if another follows, the roles are those after it.

        Returns
        -------
        heads : Heads
            Of the stage.
        told : dict
            ``temperature`` and what is known of the ``encoder``, for the manifest.
        """
        files = (encoder / ENCODER_FILE, encoder / TOKENIZER_FILE)
        reader = Encoder(*(path.read_bytes() for path in files))
        readings = [reader.read(clause.text, clause.mentions) for clause in self._clauses]
        level, temperature = self._add_level(reader, readings, doubt_below, params)
        roles = self._add_roles(readings, params, last)
        known = described(encoder) | {"learned": len(learned(encoder)), "heads_of": len(self._held)}
        heads = Heads(Dense.of(level), Dense.of(roles), *files)
        return heads, {"temperature": temperature, "encoder": known}

    def _add_level(
        self, reader: Encoder, readings: list[Reading], doubt_below: float, params: Params
    ) -> tuple[Pipeline, float]:
        pairs = zip(readings, self.levels, strict=True)
        features = np.array([level_features(*both) for both in pairs])
        weights = _weights(self._held, self._codes, replace(params, balance=params.head_balance))

        def fitted(rows: NDArray[np.int64]) -> Pipeline:
            head = make_pipeline(StandardScaler(), LogisticRegression(C=params.head_c))
            weighted = {"logisticregression__sample_weight": weights[rows]}
            return head.fit(features[rows], self._codes[rows], **weighted)

        logits = np.zeros((len(features), len(LEVELS)))
        for train, rest in self._splits:
            logits[rest] = fitted(train).decision_function(features[rest])
        head = fitted(np.arange(len(features)))
        if self._fresh is None:
            temperature = _temperature(logits, self._codes)
        else:
            temperature = self._fresh.add(reader, head, doubt_below)
        _cool(head[-1], temperature)
        asked = self.levels.max(axis=1) < doubt_below
        self.levels[asked] = softmax(logits / temperature)[asked]
        return head, temperature

    def _add_roles(self, readings: list[Reading], params: Params, last: bool) -> Pipeline:
        parts = zip(self._found, self._roles, self._speaking, strict=True)
        features = [role_features(found, before, readings[row]) for found, before, row in parts]
        gold = self._held["dyads"].iloc[self._speaking]
        are = [_are_dyads(*both) for both in zip(self._found, gold, strict=True)]

        def fitted(which: list[int]) -> Pipeline:
            head = make_pipeline(StandardScaler(), LogisticRegression(C=params.role_head_c))
            rows = np.vstack([features[at] for at in which])
            return head.fit(rows, np.concatenate([are[at] for at in which]))

        head = fitted(list(range(len(features))))
        if last:
            return head
        place = {row: at for at, row in enumerate(self._speaking)}
        after = list(self._roles)
        for train, rest in self._splits:
            other = fitted([place[row] for row in train if row in place])
            for at in (place[row] for row in rest if row in place):
                after[at] = np.asarray(other.predict_proba(features[at])[:, 1])
        self._roles = after
        return head


class _Fresh:
    """Statements that nothing learned from, and what the stages so far say of them: temperatures come from these.

    Parameters
    ----------
    statements : pandas.DataFrame
        The statements.
    fast : Fast
        Calibrated.
    """

    def __init__(self, statements: pd.DataFrame, fast: Fast) -> None:
        self._clauses, self._codes = _clauses(statements), _codes(statements)
        self._levels = fast.levels(self._clauses)

    def add(self, reader: Encoder, head: Pipeline, doubt_below: float) -> float:
        """Give the temperature of a stage's head, from the statements of which it is asked."""
        asked = _in_doubt(self._levels, doubt_below)
        clauses = [self._clauses[row] for row in asked]
        readings = [reader.read(clause.text, clause.mentions) for clause in clauses]
        pairs = zip(readings, self._levels[asked], strict=True)
        logits = head.decision_function(np.array([level_features(*both) for both in pairs]))
        temperature = _temperature(logits, self._codes[asked])
        doubted = self._levels[asked].max(axis=1) < doubt_below
        self._levels[asked[doubted]] = softmax(logits / temperature)[doubted]
        return temperature


def _are_dyads(
    found: list[Candidate], dyads: list[tuple[str | None, str | None, str]]
) -> list[bool]:
    gold = {(source, target) for source, target, _ in dyads}
    return [(candidate.source, candidate.target) in gold for candidate in found]
