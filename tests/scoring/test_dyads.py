"""Who says it to whom, by the shipped model: what holds of any answer. Which is right: ``tests/model``."""

from __future__ import annotations

import time

import pytest

from scoring.actors import Mention, find_mentions
from scoring.artifact import Model, load, shipped_folder
from scoring.clauses import Clause
from scoring.dyads import MOST_ACTORS, Dyad, candidates, find_dyads
from scoring.tiers import Fast
from training.behaviour import lines

TEXTS = [line["text"] for line in lines("dyads")]


@pytest.fixture(scope="module")
def model() -> Model:
    return load(shipped_folder())


def find(model: Model, text: str) -> list[Dyad]:
    return dyads_of(model, text, find_mentions(text), model.manifest["dyad_at_least"])


def dyads_of(model: Model, text: str, mentions: list[Mention], at_least: float) -> list[Dyad]:
    found = candidates(text, mentions)
    (chances,) = Fast(model).roles([Clause(0, text, mentions)], [found])
    return find_dyads(text, mentions, found, chances, at_least)


@pytest.mark.parametrize("text", TEXTS)
def test_what_holds_of_every_answer(model, text):
    mentions = find_mentions(text)
    dyads = find(model, text)
    codes = {mention.code for mention in mentions}
    chances = [dyad.probability for dyad in dyads]
    assert dyads  # never empty: the level says that there is one
    assert chances == sorted(chances, reverse=True)
    assert len({dyad[:2] for dyad in dyads}) == len(dyads)
    for dyad in dyads:
        assert {dyad.source, dyad.target} <= codes | {None}
        assert dyad.source is None or dyad.source != dyad.target
        for code, span in ((dyad.source, dyad.source_span), (dyad.target, dyad.target_span)):
            first = next(((m.start, m.end) for m in mentions if m.code == code), None)
            assert span == first


def test_no_actor_leaves_both_sides_open(model):
    [dyad] = find(model, "The minister vowed revenge.")
    assert dyad[:4] == (None, None, None, None)


def test_candidates_are_the_ordered_pairs_and_the_open_sides():
    text = "Moscow warned Seoul over arms for Kyiv, and Moscow meant it."
    found = [(c.source, c.target) for c in candidates(text, find_mentions(text))]
    assert len(found) == len(set(found)) == (3 + 1) * 3 + 1
    assert found[-1] == (None, None)
    assert ("RUS", "KOR") in found
    assert ("KOR", "RUS") in found
    assert all(source != target for source, target in found[:-1])


def test_features_do_not_tell_who_they_are():
    texts = ["Russia warned Japan over Kenya.", "Peru warned Mali over Nepal."]
    first, second = (candidates(text, find_mentions(text)) for text in texts)
    assert [c.features for c in first] == [c.features for c in second]
    forth, back = first[0], next(c for c in first if (c.source, c.target) == ("JPN", "RUS"))
    assert forth.features != back.features


def test_actors_past_the_most_are_left_out():
    text = "Peru, Chile, Brazil, Bolivia, Ecuador, Cuba, Haiti, Mexico, Spain and Italy protested."
    mentions = find_mentions(text)
    assert len(mentions) == 10
    found = {c.source for c in candidates(text, mentions)}
    assert found == {None, *(m.code for m in mentions[:MOST_ACTORS])}


def test_time_grows_with_the_length_of_hostile_text(model):
    def seconds(count: int) -> float:
        text = "Russia warned China. " + 'Russia "struck" China ' * count
        mentions: list[Mention] = find_mentions(text)
        start = time.process_time()
        dyads_of(model, text, mentions, 0.5)
        return time.process_time() - start

    seconds(100)
    assert seconds(4_000) < 12 * max(seconds(1_000), 0.02)
