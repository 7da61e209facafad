"""The shipped model says to the golden statements what it said on the day of its release, to the digit."""

from __future__ import annotations

from collections import Counter

import pytest
from behaviour import HOW, bare, golden, golden_file, golden_texts, kernels, lines, read_json

from scoring.levels import LEVELS

LIMIT = {"fast": 1.1e-6, "accurate": 1e-3}
"""How far a probability may be off: kept are 6 decimals; an encoder in int8 is less exact."""

CLEAR = 0.05
"""Where a level leads by more than this, another processor's kernels leave it what it is."""


def difference(before: list[list], after: list[list]) -> float:
    """Tell the largest difference of a probability; infinite if a level or a side has changed."""
    if [row[:3] for row in before] != [row[:3] for row in after]:
        return float("inf")
    pairs = zip(before, after, strict=True)
    return max(abs(p - q) for a, b in pairs for p, q in zip(a[3], b[3], strict=True))


def lead(rows: list[list]) -> float:
    low, high = sorted(rows[0][3])[-2:]
    return high - low


@pytest.fixture
def kept(tier, shipped) -> dict:
    path = golden_file(bare(shipped))
    content = read_json(path).get(tier)
    how = f"Run {HOW.format(tier=tier)} on the released model and commit the file."
    assert content, f"{path.name}: expected what tier {tier} says, found nothing. {how}"
    assert list(content["texts"]) == golden_texts(), f"{path.name}: of other statements. {how}"
    return content


def test_the_golden_statements_are_sixty_of_every_level():
    counts = Counter(line["level"] for line in lines("golden_texts"))
    assert len(set(golden_texts())) == 60
    assert counts == dict.fromkeys(LEVELS, 15)


def test_what_the_model_says_has_not_changed(tier, kept, scored):
    before, after = kept["texts"], golden(scored)
    if tier == "fast" or kept["kernels"] == kernels():
        off = {text: difference(rows, after[text]) for text, rows in before.items()}
        assert {text: d for text, d in off.items() if d > LIMIT[tier]} == {}
    else:  # scored elsewhere than it was released
        clear = [text for text, rows in before.items() if lead(rows) > CLEAR]
        assert [text for text in clear if after[text][0][2] != before[text][0][2]] == []


def test_the_golden_statements_get_every_level(kept):
    counts = Counter(rows[0][2] for rows in kept["texts"].values())
    assert counts.keys() == set(LEVELS)
    assert min(counts.values()) >= 8


def test_a_difference_is_found():
    before = [["RUS", "KOR", "threat", [0.1, 0.2, 0.3, 0.4]]]
    assert difference(before, [["RUS", "KOR", "threat", [0.1, 0.2, 0.3, 0.4]]]) == 0
    off = difference(before, [["RUS", "KOR", "threat", [0.1, 0.2, 0.300002, 0.399998]]])
    assert off > LIMIT["fast"]
    assert difference(before, [["RUS", "PRK", "threat", before[0][3]]]) == float("inf")
    assert difference(before, before * 2) == float("inf")
    assert lead(before) == pytest.approx(0.1)
