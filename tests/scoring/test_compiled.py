"""The compiled classifier says what scikit-learn says, to the last bit, and the screen turns no actor away."""

from __future__ import annotations

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scoring.lazy
from scoring.actors import find_mentions, openings
from scoring.articles import clean_text
from scoring.artifact import Model, load, shipped_folder
from scoring.features import mask
from scoring.feeds import read_articles
from scoring.lazy import Lazy
from scoring.scorer import Scorer
from scoring.sentences import split_sentences
from scoring.tiers import Fast

numba = pytest.importorskip("numba", reason="the extra 'speed' is not installed")
compiled = pytest.importorskip("scoring.compiled")

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("TENSION_SHARED") or ROOT.parent / "shared")
OWN = ROOT / "training" / "corpus" / "own.jsonl"
HARD = (
    "",
    " ",
    "\x01",
    "the \x01's \x02 and the \x03 s",
    "n't",
    "can't won't they'll Moscow's it's '' ' \" “ ” ’s",
    "an answer – an answer — an-answer – –",
    "a\x04b \x04",
    "US-led war-mongering 1,000.50 3rd 4G 12:30",
    "é démarche naïve İstanbul ß ﬁ 中文 ½ ² €5 100° …",
    "will not sit idly, will respond, will not hesitate to hit back hard",
    "warn " * 200,
    "\x01 warns \x02: " * 80,
    "x" * 3000,
    "\ud800 lone",
)


@pytest.fixture(scope="module")
def model() -> Model:
    return load(shipped_folder())


@pytest.fixture(scope="module")
def fast(model: Model):
    return compiled.Compiled(model.level)


@pytest.fixture(scope="module")
def screen():
    return compiled.Screen(*openings())


def own_texts() -> list[str]:
    return [json.loads(line)["text"] for line in OWN.read_text(encoding="utf-8").splitlines()]


def masked(texts: list[str]) -> list[str]:
    return [mask(text, find_mentions(text)) for text in texts]


def reference(model: Model, texts: list[str]) -> np.ndarray:
    return model.level.pipeline.predict_proba(
        pd.DataFrame({"text": pd.Series(texts, dtype=object)})
    )


def test_our_own_statements_get_the_same_bits(model, fast):
    texts = masked(own_texts())
    assert len(texts) > 2_500
    assert np.array_equal(fast.probabilities(texts), reference(model, texts))


def test_what_is_hard_to_split_gets_the_same_bits(model, fast):
    texts = list(HARD)
    assert np.array_equal(fast.probabilities(texts), reference(model, texts))


_PIECES = """\x01 \x02 \x03 the The an a s ' ’ “ ” " - – — ? ! : ; , . 7 1,000.5 n't don't it's we'll U.S. warn
    warned retaliate response will not hit back hard on table naïve é İ … € \x04 \x01's"""
PIECES = st.one_of(st.sampled_from(_PIECES.split(" ")), st.text(max_size=6))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=25), min_size=1, max_size=4), st.sampled_from(["", " "]))
def test_any_text_gets_the_same_bits(model, fast, sentences, between):
    texts = [between.join(pieces) for pieces in sentences]
    assert np.array_equal(fast.probabilities(texts), reference(model, texts))


def test_what_was_met_before_changes_nothing(model, monkeypatch):
    texts = masked(own_texts()[:500])
    fresh = compiled.Compiled(model.level)
    whole = fresh.probabilities(texts)
    assert np.array_equal(fresh.probabilities(texts[::-1])[::-1], whole)
    assert all(
        np.array_equal(fresh.probabilities([t])[0], p) for t, p in zip(texts, whole, strict=True)
    )
    monkeypatch.setattr(compiled, "MOST_WORDS", 50)  # begins anew at every call
    assert np.array_equal(
        np.vstack([fresh.probabilities(texts[i:][:9]) for i in range(0, 500, 9)]), whole
    )
    assert len(fresh._words._number) < 300


def test_words_that_all_want_one_place_cost_no_more_than_others(model):
    """A hostile feed: some 1,450 words of five letters that are all first looked for at the same place of 8,192."""
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", np.uint8)
    hashes = np.full((26,) * 5, 2166136261, np.uint64)
    for axis in range(5):
        shape = [26 if i == axis else 1 for i in range(5)]
        hashes = ((hashes ^ letters.reshape(shape)) * np.uint64(16777619)) & np.uint64(0xFFFFFFFF)
    hashes ^= hashes >> np.uint64(15)
    alike = np.argwhere(hashes & np.uint64(8191) == 77)
    words = [letters[row].tobytes().decode() for row in alike]
    assert len(words) > 1_000
    texts = [" ".join(words[i : i + 50]) + " warned \x01" for i in range(0, len(words), 50)]
    fresh = compiled.Compiled(model.level)
    assert np.array_equal(fresh.probabilities(texts), reference(model, texts))
    text, _ = compiled._bytes([words[-1]])
    known = fresh._words
    place = known._slots, known._spans.rows, known._known.rows
    assert compiled.k.find(text, 0, 5, *place) == compiled.k.CROWDED


def test_several_threads_may_ask_at_once(model):
    texts = masked(own_texts())
    fresh = compiled.Compiled(model.level)
    parts = [texts[i::8] for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(fresh.probabilities, parts))
    for part, chances in zip(parts, found, strict=True):
        assert np.array_equal(chances, reference(model, part))


def test_the_screen_turns_no_actor_of_ours_away(screen):
    texts = own_texts()
    may = screen.may_name(texts)
    for text, possible in zip(texts, may, strict=True):
        assert possible or not find_mentions(text), text
    assert not screen.may_name(["It rained all day.", "the price of oil rose 3.5 pct", ""]).any()


_NAMES = """The the Hague White House U.S. US U.K New Zealand South Korea North Sea state State Department of Xi Jinping
    President Sino - Soviet , ' é Moscow MOSCOW EU Bank Republic Congo Côte d Ivoire former West Germany 's"""
NAMES = st.sampled_from(_NAMES.split())


@settings(max_examples=500, deadline=None)
@given(st.lists(NAMES, max_size=12), st.sampled_from([" ", "-", ", ", ""]))
def test_the_screen_turns_no_actor_away(screen, words, between):
    text = between.join(words)
    assert screen.may_name([text])[0] or not find_mentions(text)


def test_the_whole_way_is_the_same(model, monkeypatch):
    texts = pd.DataFrame({"text": own_texts()})
    monkeypatch.setattr(scoring.lazy, "find_spec", lambda name: None)
    plain = Scorer(model).score_frame(texts)
    monkeypatch.undo()
    monkeypatch.setattr(scoring.lazy, "COMPILE_AFTER", 0)
    scorer = Scorer(model)
    quick = scorer.score_frame(texts)
    assert isinstance(scorer._screen(0), compiled.Screen)
    assert isinstance(scorer._tier._compiled(0), compiled.Compiled)
    assert plain.astype(object).equals(quick.astype(object))


def test_it_is_made_once_there_is_enough_to_do(monkeypatch):
    made = []
    lazy = Lazy(lambda: made.append(1) or "made")
    assert lazy(scoring.lazy.COMPILE_AFTER) is None
    assert [lazy(1), lazy(1)] == ["made", "made"]
    assert made == [1]
    monkeypatch.setattr(scoring.lazy, "find_spec", lambda name: None)
    without = Lazy(lambda: made.append(2))
    assert without(10**9) is without(1) is None
    assert made == [1]


@pytest.mark.parametrize("shape", [(4, 1 << 22), (4, 1000), (3, 1 << 10)])
def test_a_classifier_of_another_size_is_not_compiled(model, monkeypatch, shape):
    monkeypatch.setattr(scoring.lazy, "COMPILE_AFTER", 0)
    assert compiled.fits(model.level)
    other = dataclasses.replace(model.level, coef=np.broadcast_to(0.0, shape))
    assert not compiled.fits(other)
    assert Fast(Model(other, model.roles, model.manifest))._compiled(1) is None


@pytest.mark.slow
def test_all_of_the_news(model, fast, screen):
    """Exact in level, to 1e-6 in probability: the design's bar. It is met to the last bit."""
    files = sorted((SHARED / "news").glob("*.jsonl.gz"))
    if not files:
        pytest.skip(f"no real news in {SHARED / 'news'} (set TENSION_SHARED)")
    sentences = 0
    for file in files:
        texts = list(_sentences(file))
        mentions = [find_mentions(text) for text in texts]
        assert not any(
            found and not may for found, may in zip(mentions, screen.may_name(texts), strict=True)
        )
        texts = [mask(text, found) for text, found in zip(texts, mentions, strict=True)]
        ours, theirs = fast.probabilities(texts), reference(model, texts)
        assert (ours.argmax(axis=1) == theirs.argmax(axis=1)).all()
        assert np.abs(ours - theirs).max() < 1e-6
        assert np.array_equal(ours, theirs)
        sentences += len(texts)
    assert sentences > 300_000


def _sentences(file: Path):
    for article in read_articles([str(file)]):
        for part in (article.title, article.text):
            yield from split_sentences(clean_text(part or ""))
