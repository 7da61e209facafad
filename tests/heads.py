"""A head of the accurate tier, for tests of what is carried and not asked."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scoring.linear import Dense


def small_head(classes: int, features: int = 3, rows: int = 40, seed: int = 0) -> Dense:
    """Fit a head on random numbers."""
    numbers = np.random.default_rng(seed).normal(size=(rows, features)) * 3 + 1
    head = make_pipeline(StandardScaler(), LogisticRegression())
    return Dense.of(head.fit(numbers, np.arange(rows) % classes))
