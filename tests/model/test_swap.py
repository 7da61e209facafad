"""The shipped model is blind to which states they are: swap two, and the score stays the same."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from scoring.actors import Mention, actors, find_mentions, names
from scoring.articles import clean_text
from scoring.levels import PROBABILITIES
from scoring.scorer import Scorer, load

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("TENSION_SHARED") or ROOT.parent / "shared")
OWN = ROOT / "tests" / "training" / "statements.jsonl"
FORMS = {"name": "name", "adjective": "adjective", "seat": "capital", "leader": "leader"}
NOT_FOUND = 0.05
"""Share at most of the swaps whose actors are not all found again; they do not test the model."""


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return load()


def read(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [clean_text(json.loads(line)["text"]).strip() for line in lines]


def swap(text: str, mentions: list[Mention], a: str, b: str) -> str | None:
    """Call ``a`` what ``b`` is called and the other way round; None where one has no such word."""
    other, parts, at = {a: b, b: a}, [], 0
    for mention in mentions:
        if mention.code in other:
            kind = FORMS.get(mention.kind)
            form = getattr(names(other[mention.code]), kind) if kind else ""
            if not form:
                return None
            parts += [text[at : mention.start], form.upper() if text.isupper() else form]
            at = mention.end
    return "".join((*parts, text[at:]))


def swaps(texts: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Swap two states of a sentence, or one with an outsider: text, swapped text, codes due."""
    states = [code for code in actors() if len(code) == 3 and all(names(code))]
    for number, text in enumerate(texts):
        mentions = find_mentions(text)
        here = list(dict.fromkeys(mention.code for mention in mentions))
        outside = [states[(97 * number + 31 * i) % len(states)] for i in range(len(here))]
        pairs = [*list(combinations(here, 2))[:3], *zip(here, outside, strict=True)]
        for a, b in pairs:
            if a == b or (swapped := swap(text, mentions, a, b)) is None:
                continue
            due = [{a: b, b: a}.get(mention.code, mention.code) for mention in mentions]
            yield text, swapped, due


def check(scorer: Scorer, texts: list[str], at_least: int) -> None:
    made = list(swaps(texts))
    found = [(a, b) for a, b, due in made if [m.code for m in find_mentions(b)] == due]
    print(f"{len(found):,} of {len(made):,} swapped sentences name the swapped states")  # noqa: T201
    assert len(found) >= at_least
    assert len(found) >= (1 - NOT_FOUND) * len(made)
    every = list(dict.fromkeys(text for pair in found for text in pair))
    # A sentence has a row for each of its dyads; all hold the same level and probabilities.
    first = scorer.score_lines(every).drop_duplicates("article_id").set_axis(every)
    columns = ["level", "score", *PROBABILITIES]
    before = first.loc[[a for a, _ in found], columns].reset_index(drop=True)
    after = first.loc[[b for _, b in found], columns].reset_index(drop=True)
    assert before["level"].nunique() == 4  # the sentences are of every level
    differ = (before != after).any(axis=1)
    assert not differ.any(), [found[i] for i in differ[differ].index[:3]]


def test_swapping_two_states_leaves_the_score_of_our_statements(scorer):
    check(scorer, read(OWN), at_least=150)


def test_swapping_two_states_leaves_the_score_on_all_of_dev(scorer):
    dev = SHARED / "gold" / "dev.jsonl"
    if not dev.is_file():
        pytest.skip(f"no real statements at {dev} (set TENSION_SHARED)")
    check(scorer, read(dev), at_least=1_500)


def test_the_swap_itself_keeps_form_and_place():
    text = "Russian ships left after Moscow warned Japan, and Russia said so."
    swapped = swap(text, find_mentions(text), "RUS", "JPN")
    assert swapped == "Japanese ships left after Tokyo warned Russia, and Japan said so."


@pytest.mark.parametrize(
    "text",
    [
        "{} warned {} that it would retaliate.",
        "{} summoned the ambassador of {} over the border incident",
        "{} and {} signed a treaty on fishing.",
    ],
)
def test_forty_states_in_one_place_give_one_score(scorer, text):
    states = [names(code).name for code in actors() if len(code) == 3][::6]
    texts = [text.format(a, b) for a, b in pairwise(states)]
    texts = [t for t in texts if [m.kind for m in find_mentions(t)] == ["name", "name"]]
    assert len(texts) >= 35
    records = scorer.score_lines(texts).drop_duplicates("article_id")
    assert records["score"].nunique() == 1
    assert records["level"].nunique() == 1
