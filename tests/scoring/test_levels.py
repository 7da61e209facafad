"""The levels and the machine-readable codebook agree with each other."""

from __future__ import annotations

from scoring.actors import actors
from scoring.levels import CODE, LEVELS, PROBABILITIES, codebook


def test_levels_are_in_the_order_of_the_codebook():
    assert LEVELS == ("none", "protest", "warning", "threat")
    assert [CODE[name] for name in LEVELS] == [0, 1, 2, 3]
    assert PROBABILITIES == ("p_none", "p_protest", "p_warning", "p_threat")


def test_codebook_defines_these_levels_and_a_version():
    assert tuple(codebook()["levels"]) == LEVELS
    assert all(codebook()["levels"].values())
    assert isinstance(codebook()["version"], str)


def test_every_organisation_of_the_codebook_is_an_actor():
    assert set(codebook()["organisations"]) <= set(actors())
    assert len(codebook()["organisations"]) == 15
