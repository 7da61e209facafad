"""What the shipped model must do, in both tiers: minimal pairs, headline and sentence, the codebook's own cases."""

# ruff: noqa: T201 - the table is printed

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from behaviour import (
    FAR,
    HOW,
    Case,
    Row,
    bare,
    failures_file,
    holding,
    known_failures,
    levelled,
    lines,
    margin,
    pairs,
    table,
)

from scoring.levels import LEVELS

CORPUS = Path(__file__).parents[2] / "training" / "corpus"

HOLD = {"fast": 0.85, "accurate": 0.85}
"""Share of the pairs that must hold."""

RIGHT = {"fast": 0.80, "accurate": 0.80}
"""Share of the codebook's cases that must get their level."""

PAIRS = 220
EACH = {
    "ultimatum": 20,
    "negated": 20,
    "withdrawn or denied": 20,
    "reported by the victim": 20,
    "in kind": 20,
    "sport, business, weather": 20,
    "headline": 20,
    "deed done": 20,
    "warning against protest": 20,
    "non-state speaker": 20,
    "states swapped": 10,
    "consequences": 10,
    "may": 8,
    "protest against none": 8,
}
"""Pairs of each kind, at least."""

CODEBOOK = 60


# --- the cases ---


def test_there_are_enough_pairs_of_every_kind_and_none_twice():
    cases = pairs()
    assert len(cases) >= PAIRS
    assert len({case.key for case in cases}) == len(cases)
    counts = Counter(case.what for case in cases)
    assert counts.keys() == EACH.keys()
    assert {what: n for what, n in counts.items() if n < EACH[what]} == {}


def test_the_codebook_cases_are_of_every_level_and_none_is_there_twice():
    cases = levelled("codebook")
    assert len({case.texts for case in cases}) == len(cases) >= CODEBOOK
    counts = Counter(case.level for case in cases)
    assert counts.keys() == set(LEVELS)
    assert min(counts.values()) >= 10


def test_no_case_is_trained_on():
    trained = {
        json.loads(line).get("text")  # of real statements only the label is kept
        for path in CORPUS.glob("*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    }
    cases = [*pairs(), *levelled("codebook"), *levelled("past_misses")]
    tested = {text for case in cases for text in case.texts}
    tested |= {line["text"] for line in lines("golden_texts")}
    assert len(trained) >= 800
    assert trained & tested == set()


def row(*chances: float) -> Row:
    level = LEVELS[chances.index(max(chances))]
    return Row(None, None, level, chances, sum(k * p for k, p in enumerate(chances)) / 3)


@pytest.mark.parametrize(
    ("test", "level", "first", "second", "expected"),
    [
        ("rises", "", row(1, 0, 0, 0), row(0, 0, 0, 1), 1.0),
        ("rises", "", row(0, 0, 1, 0), row(0, 1, 0, 0), -1 / 3),
        ("same", "", row(0.6, 0.3, 0.1, 0), row(0.8, 0.1, 0.1, 0), 0.3),
        ("same", "", row(0.6, 0.4, 0, 0), row(0.4, 0.6, 0, 0), -1.0),
        ("equal", "", row(0.6, 0.4, 0, 0), row(0.6, 0.4, 0, 0), 1.0),
        ("equal", "", row(0.6, 0.4, 0, 0), row(0.6, 0.3, 0.1, 0), -1.0),
        ("level", "threat", row(0, 0, 0.4, 0.6), row(1, 0, 0, 0), 0.2),
        ("level", "warning", row(0, 0, 0.4, 0.6), row(1, 0, 0, 0), -0.2),
    ],
)
def test_by_how_much_a_case_holds(test, level, first, second, expected):
    case = Case("a kind", test, ("first", "second"), level)
    assert margin(case, {"first": [first], "second": [second]}) == pytest.approx(expected)


# --- the model ---


def report(cases: list[Case], scored) -> str:
    return "\n" + "\n".join(f"{case.key} {margin(case, scored):+.2f} {case}" for case in cases)


@pytest.mark.parametrize("what", EACH)
def test_a_pair_holds_unless_it_is_known_to_fail(tier, scored, what):
    cases = [case for case in pairs() if case.what == what]
    held = [case for case in cases if case.key not in known_failures(tier)[1]]
    failing = [case for case in held if case not in holding(held, scored)]
    assert failing == [], report(failing, scored)


def test_a_case_of_the_codebook_is_right_unless_it_is_known_to_fail(tier, scored):
    held = [case for case in levelled("codebook") if case.key not in known_failures(tier)[1]]
    failing = [case for case in held if case not in holding(held, scored)]
    assert failing == [], report(failing, scored)


def test_the_known_failures_are_of_this_model_and_still_fail(tier, shipped, scored):
    how = f"Run {HOW.format(tier=tier)}."
    model, known = known_failures(tier)
    found = f"found {model}" if model else "found none"
    name = failures_file(tier).name
    assert model == bare(shipped), f"{name}: expected failures of {bare(shipped)}, {found}. {how}"
    cases = {case.key: case for case in (*pairs(), *levelled("codebook"))}
    assert known.keys() - cases.keys() == set(), f"{name}: these cases are gone. {how}"
    now = holding([cases[key] for key in known], scored, by=FAR[tier])
    assert now == [], f"{name}: these hold now; move them out. {how}{report(now, scored)}"


def test_share_of_the_pairs_that_hold(tier, scored):
    cases = pairs()
    print(f"{tier}\n{table(cases, scored)}")
    assert len(holding(cases, scored)) >= HOLD[tier] * len(cases)


def test_share_of_the_codebook_cases_that_are_right(tier, scored):
    cases = levelled("codebook")
    print(f"{tier}\n{table(cases, scored)}")
    assert len(holding(cases, scored)) >= RIGHT[tier] * len(cases)


def test_half_of_the_pairs_hold_in_every_kind(tier, scored):
    """No kind may hide behind the others; scores drawn at random would get half of most right."""
    cases = pairs()
    shares = {
        what: len(holding([c for c in cases if c.what == what], scored)) / n
        for what, n in Counter(case.what for case in cases).items()
    }
    assert {what: share for what, share in shares.items() if share < 0.5} == {}
