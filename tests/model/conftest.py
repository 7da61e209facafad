"""The shipped model, in each of its tiers, and what it says to the cases: scored once a session."""

from __future__ import annotations

import pytest
from behaviour import Scored, score

from scoring.errors import TierMissing
from scoring.scorer import Scorer, load
from scoring.tiers import TIERS


@pytest.fixture(scope="session", params=TIERS)
def tier(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def shipped(tier) -> Scorer:
    try:
        return load(tier=tier)
    except TierMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def scored(shipped) -> Scored:
    return score(shipped)
