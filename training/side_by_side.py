"""Models measured side by side: on the same rows, in turns, and by the behaviour cases."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from scoring import artifact
from scoring.scorer import Scorer
from scoring.tiers import TIERS
from training import behaviour, gates
from training.evaluate import collect, evaluate
from training.gates import Figures

PARTS: Final = 8
"""Of the rows, scored in turns by champion and challenger: what slows the machine down meets both."""

_STARTER: Final = "Moscow warned Seoul of retaliation."
_MB: Final = 1e6
Say = Callable[[str], None]

Kinds = dict[str, tuple[Scorer, behaviour.Scored]]
"""Tier -> its scorer, and what it says to the cases."""


class Candidate(NamedTuple):
    """A model that was loaded, and its folder."""

    folder: Path
    model: artifact.Model

    @property
    def version(self) -> str:
        """Version, as in the manifest."""
        return str(self.model.manifest["version"])


def measure(
    candidates: Sequence[Candidate],
    rows: pd.DataFrame,
    cases: Path | None,
    say: Say = lambda _: None,
) -> tuple[list[Figures], Kinds]:
    """Measure models side by side on the same rows.

    Parameters
    ----------
    candidates : sequence of Candidate
        The challenger first.
    rows : pandas.DataFrame
        Labelled statements, from `training.dataset.read`.
    cases : Path or None
        Folder of the behaviour cases.
    say : callable, optional
        Called with a line for each tier.

    Returns
    -------
    figures : list of mapping
        Of each model: tier -> metrics of `training.evaluate.evaluate`, `training.gates.BEHAVIOUR` and
        `training.gates.SPEED`, none of a tier that the first one lacks; and `training.gates.SIZE` -> megabytes.
    kinds : dict
        What the first one says to the cases, by tier.
    """
    figures: list[dict[str, dict[str, float]]] = [{gates.SIZE: _sizes(one)} for one in candidates]
    kinds: Kinds = {}
    texts = [str(text) for text in rows["text"]]
    for tier in TIERS:
        having = [(k, one) for k, one in enumerate(candidates) if tier in tiers(one.model)]
        if not having or having[0][0] > 0:  # nothing of the challenger's to compare
            for k, _ in having:
                figures[k][tier] = {}
            continue
        say(f"measuring the {tier} tier on {len(rows):,} statements")
        scorers = [Scorer(one.model, tier) for _, one in having]
        # The encoder remembers what it has read; what the fast tier remembers is common to all.
        warm_up = texts if tier == TIERS[0] else [_STARTER]
        for (k, _), scorer, (records, speed) in zip(
            having, scorers, _side_by_side(scorers, texts, warm_up), strict=True
        ):
            found = evaluate(rows, collect(records, len(rows)), resamples=0)
            found[gates.SPEED] = speed
            if cases is not None:
                scored = behaviour.score(scorer, cases)
                found |= _shares(scored, cases)
                if k == 0:
                    kinds[tier] = scorer, scored
            figures[k][tier] = found
    return list(figures), kinds


def tiers(model: artifact.Model) -> tuple[str, ...]:
    """Name the tiers that a model has."""
    return TIERS if model.accurate is not None else TIERS[:1]


def behave(one: Candidate, cases: Path, say: Say = lambda _: None) -> Kinds:
    """Ask a model the behaviour cases: what each of its tiers says to them."""
    kinds = {}
    for tier in tiers(one.model):
        say(f"asking the {tier} tier the behaviour cases")
        scorer = Scorer(one.model, tier)
        kinds[tier] = scorer, behaviour.score(scorer, cases)
    return kinds


def _side_by_side(
    scorers: Sequence[Scorer], texts: Sequence[str], warm_up: Sequence[str]
) -> list[tuple[pd.DataFrame, float]]:
    """Score the texts part by part in turns: records, and sentences a second, of each scorer.

    The speed of all but the last is that of the last, times the median over the parts of how much faster they were.
    """
    for scorer in scorers:  # what is read or remembered once is not timed
        scorer.score_lines(warm_up)
    records: list[list[pd.DataFrame]] = [[] for _ in scorers]
    seconds = np.zeros((len(scorers), min(PARTS, len(texts))))
    for part, at in enumerate(np.array_split(np.arange(len(texts)), seconds.shape[1])):
        order = list(enumerate(scorers))
        for k, scorer in order if part % 2 else reversed(order):
            begun = time.perf_counter()
            found = scorer.score_lines([texts[row] for row in at])
            seconds[k, part] = time.perf_counter() - begun
            records[k].append(found.assign(article_id=found["article_id"].astype(int) + int(at[0])))
    last = len(texts) / seconds[-1].sum()
    speeds = [float(last * np.median(seconds[-1] / own)) for own in seconds]
    return [
        (pd.concat(parts, ignore_index=True), speed)
        for parts, speed in zip(records, speeds, strict=True)
    ]


def _shares(scored: behaviour.Scored, cases: Path) -> dict[str, float]:
    sets = {
        "behaviour": behaviour.pairs(cases),
        "codebook": behaviour.levelled("codebook", cases),
        "past_misses": behaviour.levelled("past_misses", cases),
        "plain_dyads": behaviour.directed(cases),
    }
    return {name: len(behaviour.holding(of, scored)) / len(of) for name, of in sets.items() if of}


def _sizes(one: Candidate) -> dict[str, float]:
    manifest = one.model.manifest
    files = [
        manifest[which][name]["bytes"] / _MB
        for which, names in artifact.ENCODERS.items()
        if which in manifest
        for name in names
    ]
    sizes = {"model": manifest["bytes"] / _MB}
    return sizes | ({"encoder": max(files)} if files else {})
