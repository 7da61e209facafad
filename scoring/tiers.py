"""The two tiers behind one interface: what a sentence's level is, and which pairs of its actors are dyads.

The fast tier is linear and reads every sentence. The accurate tier asks it first, wherever that leaves doubt an
encoder, and where a small encoder still leaves doubt a large one; linear heads make probabilities of what an
encoder and the stage before it say.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from scoring.artifact import Heads, Model, encoder_files
from scoring.clauses import Clause
from scoring.dyads import Candidate
from scoring.encoder import Encoder, Reading
from scoring.errors import TierMissing, UsageError
from scoring.features import mask, statement_features
from scoring.lazy import COMPILE_AFTER, Lazy
from scoring.levels import LEVELS

if TYPE_CHECKING:
    from scoring.compiled import Compiled

TIERS: Final[tuple[str, ...]] = ("fast", "accurate")
_KEPT: Final = 4096  # readings: those of a batch in doubt, for its dyads come after its levels
_LEAST: Final = 1e-6  # probability: the log-odds of the stage before stay finite
_ALWAYS: Final = 2.0  # above any probability: who speaks to whom, the first encoder is always asked

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
        return self._model.level.probabilities(statement_features(text) for text in masked)

    def compile(self) -> None:
        """Make now what is else made when there is much to do (`scoring.lazy`)."""
        self._compiled(COMPILE_AFTER + 1)

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
        chances = self._model.roles.probabilities(features)
        return np.split(chances, np.cumsum([len(found) for found in candidates])[:-1])


class Stage:
    """An encoder with its heads: asked where what came before leaves doubt.

    Parameters
    ----------
    heads : Heads
        Of a loaded model.
    doubt_below, role_doubt_below : float
        It is asked of the level where no level was given that probability, of the roles where no candidate was.
    """

    def __init__(self, heads: Heads, doubt_below: float, role_doubt_below: float) -> None:
        self._heads = heads
        self.doubt_below, self.role_doubt_below = doubt_below, role_doubt_below
        self._read = lru_cache(_KEPT)(Encoder(*encoder_files(heads)).read)

    @property
    def readings(self) -> int:
        """Count the sentences read so far."""
        return self._read.cache_info().misses

    def reading(self, sentence: Clause) -> Reading:
        """Read a sentence, or remember how it was read a moment ago."""
        return self._read(sentence.text, tuple(sentence.mentions))

    def level(self, sentence: Clause, before: Floats) -> Floats:
        """Give the probabilities of the levels, shape (4,), from those of the stage before."""
        # One at a time: a product of matrices may round otherwise than one of its rows by itself.
        features = level_features(self.reading(sentence), before)[None]
        taken = self._heads.level.coef.shape[1]  # 4 in 0.2.0: that of the encoder alone
        return np.asarray(self._heads.level.probabilities(features[:, :taken])[0])

    def roles(self, sentence: Clause, found: Sequence[Candidate], before: Floats) -> Floats:
        """Give the probability of being a dyad of each candidate, from those of the stage before."""
        features = role_features(found, before, self.reading(sentence))
        return self._heads.roles.probabilities(features)


class Accurate:
    """The fast tier, and one encoder after the other where doubt is left."""

    name = TIERS[1]

    def __init__(self, model: Model) -> None:
        if model.accurate is None:
            raise TierMissing(
                f"tier accurate: expected a model with an encoder, found none in {model.manifest.get('version')}. "
                "Use --tier fast, or a model that has one."
            )
        self._fast = Fast(model)
        said = model.manifest["accurate"]
        self.review_below = float(said["review_below"])
        first = float(said["doubt_below"])
        if model.scout is None:
            self.stages = [Stage(model.accurate, first, _ALWAYS)]
            return
        second = (float(said[f"scout_{name}"]) for name in ("doubt_below", "role_doubt_below"))
        self.stages = [Stage(model.scout, first, _ALWAYS), Stage(model.accurate, *second)]

    def levels(self, sentences: Sequence[Clause]) -> Floats:
        """Give the probabilities of the levels, shape (n, 4)."""
        out = self._fast.levels(sentences)
        for stage in self.stages:
            for row in np.flatnonzero(out.max(axis=1) < stage.doubt_below).tolist():
                out[row] = stage.level(sentences[row], out[row])
        return out

    def read(self, sentence: Clause) -> tuple[Floats, Reading]:
        """Give the probabilities of the levels, shape (4,), with the first encoder asked in doubt or not.

        Also the reading of the last encoder that was asked.
        """
        first, *rest = self.stages
        level = first.level(sentence, self._fast.levels([sentence])[0])
        reading = first.reading(sentence)
        for stage in rest:
            if level.max() < stage.doubt_below:
                level, reading = stage.level(sentence, level), stage.reading(sentence)
        return level, reading

    def roles(
        self, sentences: Sequence[Clause], candidates: Sequence[Sequence[Candidate]]
    ) -> list[Floats]:
        """Give the probability of being a dyad of each candidate of each sentence, shapes (n,)."""
        out = self._fast.roles(sentences, candidates)
        for row, (sentence, found) in enumerate(zip(sentences, candidates, strict=True)):
            for stage in self.stages:
                if out[row].max(initial=0.0) < stage.role_doubt_below:
                    out[row] = stage.roles(sentence, found, out[row])
        return out


def opinion(reading: Reading) -> Floats:
    """Give what the encoder says of the level as log-probabilities, shape (4,)."""
    level = reading.level.astype(float)
    level = level - level.max()
    return np.asarray(np.maximum(level - np.log(np.exp(level).sum()), np.log(_LEAST)))


def level_features(reading: Reading, before: Floats) -> Floats:
    """Join the two opinions of the level, for the head.

    Parameters
    ----------
    reading : Reading
        Of the encoder.
    before : ndarray of float, shape (4,)
        Probabilities of the stage before: the fast tier, or another encoder's head.

    Returns
    -------
    ndarray of float, shape (8,)
        Log-probabilities of the encoder; those of the stage before, centred.
    """
    logs = np.log(np.maximum(before, _LEAST))
    return np.concatenate([opinion(reading), logs - logs.mean()])


def role_features(candidates: Sequence[Candidate], before: Floats, reading: Reading) -> Floats:
    """Join the two opinions of who takes which part, for the head.

    Parameters
    ----------
    candidates : sequence of Candidate
        Ordered pairs of a sentence.
    before : ndarray of float, shape (n,)
        Probabilities of the stage before.
    reading : Reading
        Of the encoder.

    Returns
    -------
    ndarray of float, shape (n, 9)
        Log-odds of the stage before; log-odds of source and target, their lower one and how far each is behind the best
        of its part; whether source, target are open; whether both are.
    """
    parts = np.array(
        [[_part(reading, c.source, 0), _part(reading, c.target, 1)] for c in candidates]
    )
    is_open = np.array([[c.source is None, c.target is None] for c in candidates], dtype=float)
    p = np.clip(before, _LEAST, 1 - _LEAST)
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
