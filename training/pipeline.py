"""The two classifiers and how they are fitted: level of a statement, roles of its actors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline

from scoring.actors import find_mentions
from scoring.articles import clean_text
from scoring.artifact import Model
from scoring.dyads import candidates
from scoring.features import mask, statement_features
from scoring.levels import CODE, LEVELS
from training.dataset import groups

FOLDS: Final = 5

OWN: Final = "own"
"""Pool of the statements that we wrote (``training/corpus/own.jsonl``): trained on, never measured on."""


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
    """

    level_c: float = 8.0
    role_c: float = 0.3
    level_bits: int = 18
    role_bits: int = 17
    balance: float = 1.0
    unsure_weight: float = 0.5
    own_weight: float = 0.7
    review_share: float = 0.15
    dyad_at_least: float = 0.5

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


def fit(statements: pd.DataFrame, params: Params, seed: int) -> Model:
    """Fit both classifiers on labelled statements.

    Parameters
    ----------
    statements : pandas.DataFrame
        Columns ``text``, ``level`` (name), ``dyads`` (lists of source, target, level), ``pool`` and ``unsure``.
    params : Params
        Hyper-parameters.
    seed : int
        Seed of the folds from which temperature and review threshold come.

    Returns
    -------
    Model
        Without a version: training adds it to the manifest when the model is saved.
    """
    masked = mask_all(statements["text"])
    levels = np.array([CODE[level] for level in statements["level"]], dtype=np.int64)
    weights = _weights(statements, levels, params)
    real = real_rows(statements)
    logits = _out_of_fold(masked, levels, weights, groups(statements), params, seed)[real]
    temperature = _temperature(logits, levels[real])
    level = level_pipeline(params).fit(masked, levels, classifier__sample_weight=weights)
    _cool(level[-1], temperature)
    confidence = _softmax(logits / temperature).max(axis=1)
    manifest = {
        "review_below": float(np.quantile(confidence, params.review_share)),
        "dyad_at_least": params.dyad_at_least,
        "temperature": temperature,
    }
    return Model(level, _fit_roles(statements, params), manifest)


def real_rows(statements: pd.DataFrame) -> NDArray[np.bool_]:
    """Mark the statements that figures are taken on: the real ones, or all where there are none but our own."""
    real = (statements["pool"] != OWN).to_numpy()
    return np.asarray(real if real.any() else ~real)


def mask_all(texts: pd.Series[str]) -> pd.DataFrame:
    """Mask the actors of sentences: the input of the level classifier."""
    cleaned = [clean_text(text) for text in texts]
    return pd.DataFrame({"text": [mask(text, find_mentions(text)) for text in cleaned]})


def _weights(
    statements: pd.DataFrame, levels: NDArray[np.int64], params: Params
) -> NDArray[np.float64]:
    counts = np.bincount(levels, minlength=len(LEVELS))
    by_level = (len(levels) / len(LEVELS) / np.maximum(counts, 1)) ** params.balance
    sure = np.where(statements["unsure"].to_numpy(dtype=bool), params.unsure_weight, 1.0)
    real = np.where(statements["pool"] == OWN, params.own_weight, 1.0)
    return np.asarray(by_level[levels] * sure * real)


def _out_of_fold(
    masked: pd.DataFrame,
    levels: NDArray[np.int64],
    weights: NDArray[np.float64],
    near: NDArray[np.int64],
    params: Params,
    seed: int,
) -> NDArray[np.float64]:
    """Logits of every statement from a model that saw neither it nor a near-duplicate of it."""
    out = np.zeros((len(levels), len(LEVELS)))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for train, held in folds.split(masked, levels, near):
        model = level_pipeline(params)
        model.fit(masked.iloc[train], levels[train], classifier__sample_weight=weights[train])
        out[held] = model.decision_function(masked.iloc[held])
    return out


def _temperature(logits: NDArray[np.float64], levels: NDArray[np.int64]) -> float:
    """Temperature that makes out-of-fold probabilities most likely (Guo et al. 2017, temperature scaling)."""

    def loss(log_temperature: float) -> float:
        return float(log_loss(levels, _softmax(logits / np.exp(log_temperature)), labels=range(4)))

    return float(np.exp(minimize_scalar(loss, bounds=(-2, 2), method="bounded").x))


def _cool(classifier: Any, temperature: float) -> None:
    """Fold the temperature into the weights, so that the calibrated model stays a plain linear one."""
    classifier.coef_ /= temperature
    classifier.intercept_ /= temperature


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _fit_roles(statements: pd.DataFrame, params: Params) -> Pipeline:
    features: list[list[str]] = []
    is_dyad: list[bool] = []
    for raw, dyads in zip(statements["text"], statements["dyads"], strict=True):
        text = clean_text(raw)
        gold = {(source, target) for source, target, _ in dyads}
        for candidate in candidates(text, find_mentions(text)) if gold else ():
            features.append(candidate.features)
            is_dyad.append((candidate.source, candidate.target) in gold)
    return role_pipeline(params).fit(features, is_dyad)
