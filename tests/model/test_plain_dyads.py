"""Who says it to whom: the statements of our own whose dyads must be right, in both tiers."""

# ruff: noqa: T201 - what fails is printed

from __future__ import annotations

from behaviour import directed, lines, margin

EXACT = 0.9
"""Share of the statements, those that need not be right yet among them, whose dyads are all found and no other."""


def test_every_plain_statement_gets_its_dyads(scored):
    cases = directed()
    assert len(cases) >= 60
    failing = [str(case) for case in cases if margin(case, scored) < 0]
    assert failing == []


def test_share_of_the_statements_whose_dyads_are_exact(shipped, scored):
    every = directed(all_of_them=True)
    failing = [case for case in every if margin(case, scored) < 0]
    for case in failing:
        print(f"{case}")
    assert len(every) > len(directed())
    assert len(every) - len(failing) >= EXACT * len(every)


def test_what_must_be_right_is_said_of_each():
    for line in lines("dyads"):
        assert set(line) == {"text", "dyads", "must", "what"}
        for dyad in line["dyads"].split():
            source, target = dyad.split(">")
            assert source != target or source == "?"
