"""The two tiers behind one interface: what a sentence's level is, and which pairs of its actors are dyads.

The fast tier is linear and reads every sentence. The accurate tier asks it first, and an encoder wherever the fast
tier leaves doubt; scikit-learn heads make probabilities of what the encoder says.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scoring.artifact import ENCODER_FILE, TOKENIZER_FILE, Model, encoder_files
from scoring.clauses import Clause
from scoring.dyads import Candidate
from scoring.encoder import Encoder, Reading
from scoring.errors import TierMissing, UsageError
from scoring.features import mask
from scoring.lazy import Lazy
from scoring.levels import LEVELS

if TYPE_CHECKING:
    from scoring.compiled import Compiled

TIERS: Final[tuple[str, ...]] = ("fast", "accurate")
_KEPT: Final = 4096  # readings: those of a batch in doubt, for its dyads come after its levels
_LEAST: Final = 1e-6  # probability: the log-odds of the fast tier stay finite

Floats = NDArray[np.float64]


class Tier(Protocol):
    """What the scorer asks."""

    name: str
    review_below: float

    def levels(self, sentences: Sequence[Clause]) -> Floats:
        """Give the probabilities of the levels, shape (n, 4)."""

    def roles(
        self, sentences: Sequence[Clause], candidates: Sequence[Sequence[Candidate]]
    ) -> list[Floats]:
        """Give the probability of being a dyad of each candidate of each sentence, shapes (n,)."""


def tier(model: Model, name: str) -> Tier:
    """Make a tier of a loaded model.

    Parameters
    ----------
    model : Model
        From `scoring.artifact.load`.
    name : str
        One of `TIERS`.

    Returns
    -------
    Tier

    Raises
    ------
    UsageError
        If there is no tier of that name.
    TierMissing
        If the model has no encoder, or the libraries that run it are not installed.
    """
    if name not in TIERS:
        raise UsageError(f"expected a tier ({', '.join(TIERS)}), found {name!r}. Name one.")
    return Fast(model) if name == TIERS[0] else Accurate(model)


class Fast:
    """The linear classifiers alone."""

    name = TIERS[0]

    def __init__(self, model: Model) -> None:
        self._model = model
        self._compiled = Lazy(self._compile)
        self.review_below = float(model.manifest["review_below"])

    def levels(self, sentences: Sequence[Clause]) -> Floats:
        """Give the probabilities of the levels, shape (n, 4)."""
        if not sentences:
            return np.zeros((0, len(LEVELS)))
        masked = [mask(sentence.text, sentence.mentions) for sentence in sentences]
        if (compiled := self._compiled(len(masked))) is not None:
            return compiled.probabilities(masked)
        frame = pd.DataFrame({"text": pd.Series(masked, dtype=object)})
        return np.asarray(self._model.level.predict_proba(frame))

    def _compile(self) -> Compiled | None:
        from scoring.compiled import Compiled, fits

        return Compiled(self._model.level) if fits(self._model.level) else None

    def roles(
        self, sentences: Sequence[Clause], candidates: Sequence[Sequence[Candidate]]
    ) -> list[Floats]:
        """Give the probability of being a dyad of each candidate of each sentence, shapes (n,)."""
        if not candidates:
            return []
        features = [candidate.features for found in candidates for candidate in found]
        chances = np.asarray(self._model.roles.predict_proba(features)[:, 1])
        return np.split(chances, np.cumsum([len(found) for found in candidates])[:-1])


class Accurate:
    """The fast tier, and the encoder where that leaves doubt."""

    name = TIERS[1]

    def __init__(self, model: Model) -> None:
        if model.accurate is None:
            raise TierMissing(
                f"tier accurate: expected a model with an encoder, found none in {model.manifest.get('version')}. "
                "Use --tier fast, or a model that has one."
            )
        self._fast = Fast(model)
        self._heads = model.accurate
        files = encoder_files(model.accurate)
        self._encoder = Encoder(files[ENCODER_FILE], files[TOKENIZER_FILE])
        self.review_below = float(model.manifest["accurate"]["review_below"])
        self._doubt_below = float(model.manifest["accurate"]["doubt_below"])
        self._read = lru_cache(_KEPT)(self._encoder.read)

    def reading(self, sentence: Clause) -> Reading:
        """Read a sentence with the encoder, or remember how it was read a moment ago."""
        return self._read(sentence.text, tuple(sentence.mentions))

    def levels(self, sentences: Sequence[Clause]) -> Floats:
        """Give the probabilities of the levels, shape (n, 4)."""
        out = self._fast.levels(sentences)
        for row in np.flatnonzero(out.max(axis=1) < self._doubt_below).tolist():
            out[row] = self._joined(sentences[row], out[row])
        return out

    def read_levels(self, sentence: Clause) -> Floats:
        """Give the probabilities of the levels with the encoder asked, in doubt or not, shape (4,)."""
        return self._joined(sentence, self._fast.levels([sentence])[0])

    def _joined(self, sentence: Clause, fast: Floats) -> Floats:
        # One at a time: a product of matrices may round otherwise than one of its rows by itself.
        features = level_features(self.reading(sentence), fast)[None]
        taken = self._heads.level.n_features_in_  # 4 in 0.2.0: that of the encoder alone
        return np.asarray(self._heads.level.predict_proba(features[:, :taken])[0])

    def roles(
        self, sentences: Sequence[Clause], candidates: Sequence[Sequence[Candidate]]
    ) -> list[Floats]:
        """Give the probability of being a dyad of each candidate of each sentence, shapes (n,)."""
        out = []
        fast = self._fast.roles(sentences, candidates)
        for sentence, found, chances in zip(sentences, candidates, fast, strict=True):
            features = role_features(found, chances, self.reading(sentence))
            out.append(np.asarray(self._heads.roles.predict_proba(features)[:, 1]))
        return out


def opinion(reading: Reading) -> Floats:
    """Give what the encoder says of the level as log-probabilities, shape (4,)."""
    level = reading.level.astype(float)
    level = level - level.max()
    return np.asarray(np.maximum(level - np.log(np.exp(level).sum()), np.log(_LEAST)))


def level_features(reading: Reading, fast: Floats) -> Floats:
    """Join the two opinions of the level, for the head.

    Parameters
    ----------
    reading : Reading
        Of the encoder.
    fast : ndarray of float, shape (4,)
        Probabilities of the fast tier.

    Returns
    -------
    ndarray of float, shape (8,)
        Log-probabilities of the encoder; those of the fast tier, centred.
    """
    logs = np.log(np.maximum(fast, _LEAST))
    return np.concatenate([opinion(reading), logs - logs.mean()])


def role_features(candidates: Sequence[Candidate], fast: Floats, reading: Reading) -> Floats:
    """Join the two opinions of who takes which part, for the head.

    Parameters
    ----------
    candidates : sequence of Candidate
        Ordered pairs of a sentence.
    fast : ndarray of float, shape (n,)
        Probabilities of the fast tier.
    reading : Reading
        Of the encoder.

    Returns
    -------
    ndarray of float, shape (n, 9)
        Log-odds of the fast tier; log-odds of source and target, their lower one and how far each is behind the best
        of its part; whether source, target are open; whether both are.
    """
    parts = np.array(
        [[_part(reading, c.source, 0), _part(reading, c.target, 1)] for c in candidates]
    )
    is_open = np.array([[c.source is None, c.target is None] for c in candidates], dtype=float)
    p = np.clip(fast, _LEAST, 1 - _LEAST)
    return np.column_stack(
        [
            np.log(p / (1 - p)),
            parts,
            parts.min(axis=1),
            parts - parts.max(axis=0),
            is_open,
            is_open.prod(axis=1),
        ]
    )


def _part(reading: Reading, code: str | None, part: int) -> float:
    if code is None:
        return float(reading.open[part])
    side = reading.sides.get(code)
    return -10.0 if side is None else float(side[part])
