"""What a model's linear classifiers say, from their weights alone.

scikit-learn fits them, and stays the reference: probabilities are the same to the last bit (the tests ask for that).
But to import it, and skops to read what it fitted, takes a second and more, longer than a feed takes to score; what
these classifiers do with their weights is a page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any, Final, Self

import mmh3
import numpy as np
from numpy.typing import NDArray

from scoring.levels import LEVELS

Floats = NDArray[np.float64]

_CHUNK: Final = 1_000  # documents at once; what one of them gets does not depend on the others
_LOWEST: Final = -700.0  # log-odds; of lower ones the exponential function is above all numbers

_NAMED: Final[dict[str, object]] = {"alternate_sign": False, "input_type": "string"}
_MASKED: Final[dict[str, object]] = {
    "alternate_sign": False,
    "norm": None,
    "binary": False,
    "analyzer": "scoring.features.statement_features",
}
_WEIGHTED: Final[dict[str, object]] = {"norm": "l2", "use_idf": True, "sublinear_tf": True}
_SCALED: Final[dict[str, object]] = {"with_mean": True, "with_std": True}
# Of each kind of step, the settings that are followed here; what else it can be set to does not matter.


@dataclass(frozen=True, eq=False)
class Linear:
    """A linear classifier that scikit-learn fitted.

    Parameters
    ----------
    coef : ndarray of float, shape (outputs, features)
        Four outputs, one a level; or one, the log-odds.
    intercept : ndarray of float, shape (outputs,)
    reference : callable
        Gives the pipeline that it was taken from: of a model that was loaded, skops makes it only now.
    """

    coef: Floats
    intercept: Floats
    reference: Callable[[], Any]

    @property
    def pipeline(self) -> Any:
        """Give the scikit-learn pipeline whose weights these are (sklearn.pipeline.Pipeline).

        Raises
        ------
        ValueError
            If it has other weights.
        """
        found = self.reference()
        pairs = (found[-1].coef_, self.coef), (found[-1].intercept_, self.intercept)
        if not all(np.array_equal(theirs, ours) for theirs, ours in pairs):
            raise ValueError("expected the pipeline that the weights are of, found other weights")
        return found

    def _chances(self, logits: Floats) -> Floats:
        return _sigmoid(logits[:, 0]) if len(self.coef) == 1 else softmax(logits)


@dataclass(frozen=True, eq=False)
class Hashed(Linear):
    """A classifier of bags of named features, which are hashed to columns.

    Parameters
    ----------
    idf : ndarray of float, shape (features,), optional
        Inverse document frequencies. With them a feature that is there n times counts (log n + 1) idf, and the
        values of a document have the length 1 (`sklearn.feature_extraction.text.TfidfTransformer`).
    """

    idf: Floats | None = None

    @classmethod
    def of(cls, pipeline: Any) -> Self:
        """Take the weights of a fitted pipeline.

        Parameters
        ----------
        pipeline : sklearn.pipeline.Pipeline
            A level or role classifier (`training.pipeline`).
        """
        return cls.from_steps(pipeline.steps, partial(_given, pipeline))

    @classmethod
    def from_steps(cls, steps: Any, reference: Callable[[], Any]) -> Self:
        """Take the weights of the steps of a pipeline.

        Parameters
        ----------
        steps : list of tuple
            Name and step: an estimator, or its state as `scoring.stored` reads it.
        reference : callable
            As of `Linear`.

        Raises
        ------
        KeyError, TypeError, ValueError, AttributeError
            If the steps are others than those of a level or role classifier.
        """
        names, parts = zip(*steps, strict=True)
        idf = None
        if names == ("features", "weights", "classifier"):
            columns, weights, classifier = parts
            ((_, hashing, _),) = _get(columns, "transformers")
            _follows(hashing, _MASKED)
            _follows(weights, _WEIGHTED)
            idf = _get(weights, "idf_")
        elif names == ("features", "classifier"):
            hashing, classifier = parts
            _follows(hashing, _NAMED)
        else:
            raise ValueError(f"expected the steps of a classifier, found {', '.join(names)}")
        width = _get(hashing, "n_features")
        coef, intercept = _outputs(classifier, 1 if idf is None else len(LEVELS), width)
        if idf is not None:
            _numbers("idf_", idf, (width,))
        return cls(coef, intercept, reference, idf)

    def probabilities(self, documents: Iterable[Iterable[str]]) -> Floats:
        """Give the probabilities of documents.

        Parameters
        ----------
        documents : iterable of iterable of str
            Names of the features of each; how often one comes counts, the order does not.

        Returns
        -------
        ndarray of float
            Of the levels, shape (n, 4); or of the one thing that the classifier tells, shape (n,).
        """
        logits, left = [np.zeros((0, len(self.coef)))], iter(documents)
        while some := list(islice(left, _CHUNK)):
            logits.append(self._logits(some))
        return self._chances(np.vstack(logits))

    def _logits(self, documents: Sequence[Iterable[str]]) -> Floats:
        count, width = len(documents), self.coef.shape[1]
        encode = str.encode  # of a lone surrogate, given as text, mmh3 ends Python
        hashes = [[*map(mmh3.hash, map(encode, document))] for document in documents]
        flat = np.fromiter(chain.from_iterable(hashes), np.int64)
        rows = np.repeat(np.arange(count), [len(found) for found in hashes])
        # Sorted, for scikit-learn adds in the order of columns; and so does bincount, one after the other.
        places, times = np.unique(rows * width + np.abs(flat) % width, return_counts=True)
        rows, columns = np.divmod(places, width)
        values = times.astype(float)
        if self.idf is not None:
            values = (np.log(values) + 1.0) * self.idf[columns]
            values /= np.sqrt(np.bincount(rows, values * values, count))[rows]
        added = [np.bincount(rows, values * weights[columns], count) for weights in self.coef]
        return np.stack(added, axis=1) + self.intercept


@dataclass(frozen=True, eq=False)
class Dense(Linear):
    """A classifier of a few numbers, which are standardised first: a head of the accurate tier.

    Parameters
    ----------
    mean, scale : ndarray of float, shape (features,)
        Subtracted from the numbers, and what they are divided by then.
    """

    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, pipeline: Any) -> Self:
        """Take the weights of a fitted pipeline.

        Parameters
        ----------
        pipeline : sklearn.pipeline.Pipeline
            A `StandardScaler` and a `LogisticRegression`, of the levels or of what is a dyad.
        """
        outputs = len(pipeline[-1].intercept_)
        return cls.from_steps(pipeline.steps, partial(_given, pipeline), outputs)

    @classmethod
    def from_steps(cls, steps: Any, reference: Callable[[], Any], outputs: int) -> Self:
        """Take the weights of the steps of a pipeline.

        Parameters
        ----------
        steps, reference
            As of `Hashed.from_steps`, and so are the errors.
        outputs : int
            4, one a level; or 1.
        """
        (_, scaler), (_, classifier) = steps
        _follows(scaler, _SCALED)
        width = len(_get(scaler, "mean_"))
        mean, scale = (_numbers(name, _get(scaler, name), (width,)) for name in ("mean_", "scale_"))
        if not scale.all():
            raise ValueError("scale_: expected no zeros")
        return cls(*_outputs(classifier, outputs, width), reference, mean, scale)

    def probabilities(self, numbers: Floats) -> Floats:
        """Give the probabilities of rows of numbers.

        Parameters
        ----------
        numbers : ndarray of float, shape (n, features)

        Returns
        -------
        ndarray of float
            Of the levels, shape (n, 4); or of the one thing that the classifier tells, shape (n,).
        """
        return self._chances((numbers - self.mean) / self.scale @ self.coef.T + self.intercept)


def softmax(logits: Floats) -> Floats:
    """Make probabilities of logits.

    Parameters
    ----------
    logits : ndarray of float, shape (n, k)

    Returns
    -------
    ndarray of float, shape (n, k)
        Rows add up to 1. The steps are those of `sklearn.utils.extmath.softmax`.
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _sigmoid(log_odds: Floats) -> Floats:
    """Make probabilities of log-odds; math.exp is that of SciPy's expit, NumPy's may differ in the last bit."""
    return np.array([1.0 / (1.0 + math.exp(-max(odds, _LOWEST))) for odds in log_odds.tolist()])


def _given(pipeline: Any) -> Any:
    return pipeline


def _get(step: Any, name: str) -> Any:
    return step[name] if isinstance(step, dict) else getattr(step, name)


def _follows(step: Any, settings: dict[str, object]) -> None:
    for name, wanted in settings.items():
        found = _get(step, name)
        if callable(found):
            found = f"{found.__module__}.{found.__qualname__}"
        if found != wanted:
            raise ValueError(f"{name}: expected {wanted!r}, found {found!r}")


def _outputs(classifier: Any, outputs: int, width: int) -> tuple[Floats, Floats]:
    """Take the weights of a logistic regression whose classes are 0, 1 and so on."""
    classes = np.asarray(_get(classifier, "classes_")).tolist()
    if classes != list(range(max(outputs, 2))):
        raise ValueError(f"classes_: expected {max(outputs, 2)}, in order, found {classes}")
    coef = _numbers("coef_", _get(classifier, "coef_"), (outputs, width))
    return coef, _numbers("intercept_", _get(classifier, "intercept_"), (outputs,))


def _numbers(name: str, found: Any, shape: tuple[int, ...]) -> Floats:
    if not isinstance(found, np.ndarray) or found.dtype != np.float64:
        raise ValueError(f"{name}: expected an array of float64, found {_kind(found)}")
    if found.shape != shape or 0 in shape:
        raise ValueError(f"{name}: expected the shape {shape}, found {found.shape}")
    if not np.isfinite(found).all():
        raise ValueError(f"{name}: expected finite numbers, found others")
    return found


def _kind(found: Any) -> str:
    return f"one of {found.dtype}" if isinstance(found, np.ndarray) else type(found).__name__
