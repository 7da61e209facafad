"""What a shipped model once got wrong on real news, in our own words: the set only grows."""

from __future__ import annotations

import re
from collections import Counter

from behaviour import HOW, bare, digest, holding, levelled, lines, locked, misses_file, read_json

from scoring.levels import LEVELS

SEED = 40
"""Misses of model 0.1.0 that the set began with."""


def test_every_miss_says_what_it_is_and_none_is_there_twice():
    misses = lines("past_misses")
    assert all(set(miss) == {"text", "level", "seen", "what"} for miss in misses)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", miss["seen"]) for miss in misses)
    assert {miss["level"] for miss in misses} == set(LEVELS)
    assert max(Counter(miss["text"] for miss in misses).values()) == 1


def test_the_set_only_grows():
    digests = {digest(miss) for miss in lines("past_misses")}
    count, kept = locked()
    assert count == len(set(kept)) >= SEED, (
        "past_misses_lock.txt: a line was taken out; put it back."
    )
    gone = set(kept) - digests
    assert gone == set(), "past_misses.jsonl: misses were taken out or changed; put them back."
    new = len(digests - set(kept))
    assert new == 0, (
        f"past_misses_lock.txt: {new} misses are not in it yet. Run {HOW.format(tier='fast')}."
    )


def test_a_change_of_any_field_is_seen():
    miss = lines("past_misses")[0]
    changed = [miss | {name: f"{value}?"} for name, value in miss.items()]
    assert len({digest(line) for line in (miss, *changed)}) == len(miss) + 1


def test_as_many_are_right_as_were_when_the_model_was_released(tier, shipped, scored):
    how = f"Run {HOW.format(tier=tier)}."
    name, model, misses = misses_file(tier).name, bare(shipped), levelled("past_misses")
    record = read_json(misses_file(tier)).get(model)
    assert record, f"{name}: expected how many model {model} gets right, found nothing. {how}"
    assert record["of"] == len(misses), f"{name}: {model} was asked {record['of']} of them. {how}"
    right = holding(misses, scored)
    print(f"{tier}: {len(right)} of {len(misses)} past misses are right")  # noqa: T201
    assert len(right) >= record["right"]
