import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from scoring.levels import CODE, LEVELS, PROBABILITIES
from scoring.records import records_frame
from training.evaluate import (
    REVIEW_CURVE,
    Predictions,
    collect,
    evaluate,
    keyword_baseline,
    tfidf_baseline,
    vader_baseline,
)


def record(article, level, p, source=None, target=None, *, review=False, note=None):
    score = None if level is None else sum(k * x for k, x in enumerate(p)) / 3
    return {
        "article_id": str(article),
        "sentence": 0,
        "text": "x",
        "level": level,
        "score": score,
        "source": source,
        "target": target,
        "review": review,
        "note": note,
        **dict(zip(PROBABILITIES, p, strict=True)),
    }


def gold_frame(levels, dyads=None, pool="a", stratum="s"):
    return pd.DataFrame(
        {"level": levels, "dyads": dyads or [[] for _ in levels], "pool": pool, "stratum": stratum}
    )


def predictions(levels, probability=None, review=None, dyads=None):
    codes = np.array([CODE[level] for level in levels])
    if probability is None:
        probability = np.full((len(codes), 4), np.nan)
    return Predictions(codes, np.asarray(probability), review, dyads)


@pytest.fixture(scope="module")
def drawn():
    """Five hundred statements with labels and probabilities that have something to do with them."""
    rng = np.random.default_rng(7)
    truth = rng.choice(4, size=500, p=[0.6, 0.2, 0.1, 0.1])
    logits = rng.normal(size=(500, 4)) + 1.5 * np.eye(4)[truth]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gold = gold_frame([LEVELS[k] for k in truth], pool=np.where(np.arange(500) < 200, "a", "b"))
    review = p.max(axis=1) < 0.5
    return gold, truth, p, Predictions(p.argmax(axis=1), p, review, None)


def test_figures_equal_those_of_scikit_learn(drawn):
    gold, truth, p, predicted = drawn
    found = evaluate(gold, predicted, resamples=0)
    level = predicted.level
    expected = {
        "macro_f1": sk.f1_score(truth, level, average="macro"),
        "accuracy": sk.accuracy_score(truth, level),
        "kappa": sk.cohen_kappa_score(truth, level, weights="quadratic"),
        "log_loss": sk.log_loss(truth, p),
        "brier": sk.brier_score_loss(truth, p, scale_by_half=False),
        "any.precision": sk.precision_score(truth > 0, level > 0),
        "any.recall": sk.recall_score(truth > 0, level > 0),
        "any.f1": sk.f1_score(truth > 0, level > 0),
    }
    each = sk.precision_recall_fscore_support(truth, level)
    for name, values in zip(("precision", "recall", "f1", "support"), each, strict=True):
        expected |= {f"{level}.{name}": values[k] for k, level in enumerate(LEVELS)}
    matrix = sk.confusion_matrix(truth, level)
    for row, gold_level in enumerate(LEVELS):
        expected |= {f"confusion.{gold_level}.{x}": matrix[row, k] for k, x in enumerate(LEVELS)}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_slices_are_the_figures_of_their_rows_alone(drawn):
    gold, _, p, predicted = drawn
    whole = evaluate(gold, predicted, resamples=0)
    first = Predictions(predicted.level[:200], p[:200], predicted.review[:200], None)
    alone = evaluate(gold.iloc[:200], first, resamples=0)
    for name in ("rows", "macro_f1", "kappa", "any.f1"):
        assert whole[f"pool.a.{name}"] == pytest.approx(alone[name], abs=1e-12)
    assert whole["pool.b.rows"] == 300
    assert whole["stratum.s.macro_f1"] == pytest.approx(whole["macro_f1"], abs=1e-12)


def test_calibration_error_worked_by_hand():
    # Bin 0.6-0.7: rows at 0.6 and 0.68, one right: |1.28 - 1|; bin 0.9-1: a row at 1, wrong: 1.
    p = [[0.6, 0.4, 0, 0], [0.32, 0.68, 0, 0], [1.0, 0, 0, 0]]
    gold = gold_frame(["none", "none", "threat"])
    found = evaluate(gold, predictions(["none", "protest", "none"], p), resamples=0)
    assert found["ece"] == pytest.approx((0.28 + 1) / 3)
    assert found["bin.6.rows"] == 2
    assert found["bin.6.confidence"] == pytest.approx(0.64)
    assert found["bin.6.accuracy"] == pytest.approx(0.5)
    assert found["bin.9.rows"] == 1
    assert found["bin.9.accuracy"] == 0
    # The level threat is given 0 three times and is there once.
    assert found["threat.ece"] == pytest.approx(1 / 3)
    # protest: 0.4 in one bin, 0.68 in another, 0; never there.
    assert found["protest.ece"] == pytest.approx((0.4 + 0.68) / 3)
    assert np.isfinite(found["log_loss"])


def test_reliability_of_a_level_worked_by_hand():
    p = [[0.6, 0.4, 0, 0], [0.32, 0.68, 0, 0], [0.65, 0, 0, 0.35]]
    gold = gold_frame(["none", "none", "threat"])
    found = evaluate(gold, predictions(["none", "protest", "none"], p), resamples=0)
    assert found["none.bin.6.rows"] == 2  # 0.6, where it is right, and 0.65, where it is wrong
    assert found["none.bin.6.confidence"] == pytest.approx(0.625)
    assert found["none.bin.6.accuracy"] == 0.5
    assert found["threat.bin.3.rows"] == found["threat.bin.3.accuracy"] == 1
    assert found["threat.bin.3.confidence"] == pytest.approx(0.35)
    assert found["threat.bin.0.rows"] == 2
    assert found["threat.bin.5.rows"] == 0
    assert "threat.bin.5.accuracy" not in found


def test_bins_of_a_level_add_up_to_its_calibration_error(drawn):
    gold, _, _, predicted = drawn
    found = evaluate(gold, predicted, resamples=0)
    for level in LEVELS:
        bins = [
            [found.get(f"{level}.bin.{k}.{x}", 0) for x in ("rows", "confidence", "accuracy")]
            for k in range(10)
        ]
        error = sum(rows * abs(mean - true) for rows, mean, true in bins) / 500
        assert error == pytest.approx(found[f"{level}.ece"])
        assert sum(rows for rows, *_ in bins) == 500


def test_sure_and_right_is_calibrated(drawn):
    gold, truth, *_ = drawn
    found = evaluate(gold, Predictions(truth, np.eye(4)[truth], None, None), resamples=20)
    assert found["ece"] == found["log_loss"] == found["brier"] == 0
    assert found["macro_f1"] == found["macro_f1.low"] == found["kappa"] == 1


def test_dyads_worked_by_hand():
    gold = gold_frame(
        ["threat", "warning", "protest", "protest", "none"],
        [
            [("RUS", "KOR", "threat")],
            [("CHN", "USA", "warning"), ("USA", "CHN", "protest")],
            [(None, "IRN", "protest")],
            [("FRA", "GBR", "protest")],
            [],
        ],
    )
    found = [
        {("RUS", "KOR", "warning")},  # right pair, wrong level
        {("CHN", "USA", "warning"), ("CHN", "JPN", "warning")},  # one of two, one too many
        {("ISR", "IRN", "protest")},  # a side named that the gold leaves unnamed: one too many
        {("GBR", "FRA", "protest")},  # the wrong way round
        set(),
    ]
    out = evaluate(gold, predictions(gold["level"], dyads=found), resamples=0)
    assert out["triples.predicted"] == 5
    assert out["triples.gold"] == 4
    assert out["triples.precision"] == pytest.approx(1 / 5)
    assert out["triples.recall"] == pytest.approx(1 / 4)
    assert out["triples.f1"] == pytest.approx(2 / 9)
    assert out["pairs.f1"] == pytest.approx(4 / 9)
    assert out["pairs.reversed.count"] == 1
    assert out["pairs.reversed"] == pytest.approx(1 / 5)


def test_a_reverse_pair_that_is_gold_itself_is_no_direction_error():
    both = [("CHN", "USA", "warning"), ("USA", "CHN", "protest")]
    out = evaluate(
        gold_frame(["warning"], [both]), predictions(["warning"], dyads=[set(both)]), resamples=0
    )
    assert out["pairs.reversed.count"] == 0
    assert out["triples.f1"] == 1


def test_review_worked_by_hand():
    gold = gold_frame(["none", "none", "none", "none"])
    predicted = predictions(
        ["protest", "protest", "none", "none"], review=np.array([True, False, True, False])
    )
    out = evaluate(gold, predicted, resamples=0)
    assert out["review.share"] == 0.5
    assert out["review.errors_caught"] == 0.5
    assert out["review.accuracy_rest"] == 0.5


def curve_of(chosen, wrong, resamples=0):
    """Review curve of statements that were called `none` with the probabilities given."""
    p = [[x, 1 - x, 0, 0] for x in chosen]
    gold = gold_frame(["protest" if bad else "none" for bad in wrong])
    return evaluate(gold, predictions(["none"] * len(p), p), resamples=resamples)


def test_review_curve_worked_by_hand():
    # Twenty statements, wrong are those of rank 1, 2, 4 and 20 from the least sure one.
    chosen = [0.5 + 0.02 * rank for rank in range(20)]
    wrong = [rank in (0, 1, 3, 19) for rank in range(20)]
    found = curve_of(chosen, wrong, resamples=200)
    shares = {percent: found[f"review.curve.{percent}"] for percent in REVIEW_CURVE}
    # 1, 2, 3, 4 and 6 statements.
    assert shares == {5: 0.25, 10: 0.5, 15: 0.5, 20: 0.75, 30: 0.75}
    assert found["review.curve.20.low"] < 0.75 < found["review.curve.20.high"]


def test_statements_that_are_equally_sure_share_a_place_in_the_review_curve():
    # 5% of twenty is one statement; the four least sure ones are alike, and one of them is wrong.
    chosen = [0.6] * 4 + [0.9] * 16
    there = curve_of(chosen, [True] + [False] * 18 + [True])
    back = curve_of(chosen[::-1], [True] + [False] * 18 + [True])
    assert there["review.curve.5"] == back["review.curve.5"] == pytest.approx(1 / 4 / 2)
    assert there["review.curve.20"] == pytest.approx(1 / 2)


def test_without_errors_there_is_no_review_curve():
    assert not any("curve" in name for name in curve_of([0.6, 0.7], [False, False]))


def test_what_is_undefined_is_left_out():
    out = evaluate(gold_frame(["none", "protest"]), predictions(["none", "none"]), resamples=50)
    assert "protest.precision" not in out  # never predicted
    assert "threat.f1" not in out  # neither there nor predicted
    assert out["protest.recall"] == 0
    assert out["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)  # over the levels that occur
    for name in (
        "ece",
        "log_loss",
        "brier",
        "bin.0.rows",
        "triples.f1",
        "review.share",
        "review.curve.5",
    ):
        assert name not in out
    assert not any(np.isnan(value) for value in out.values())


def test_intervals_are_those_of_a_plain_bootstrap(drawn):
    gold, truth, _, predicted = drawn
    found = evaluate(gold, predicted, seed=1, resamples=1000)
    rng = np.random.default_rng(2)
    rows = [rng.integers(500, size=500) for _ in range(400)]
    plain = [sk.f1_score(truth[r], predicted.level[r], average="macro") for r in rows]
    low, high = np.quantile(plain, (0.025, 0.975))
    assert found["macro_f1.low"] == pytest.approx(low, abs=0.015)
    assert found["macro_f1.high"] == pytest.approx(high, abs=0.015)
    assert found["macro_f1.low"] < found["macro_f1"] < found["macro_f1.high"]


def test_the_seed_decides_the_intervals_and_nothing_else(drawn):
    gold, *_, predicted = drawn
    first, again = (evaluate(gold, predicted, seed=1, resamples=50) for _ in range(2))
    other = evaluate(gold, predicted, seed=2, resamples=50)
    assert first == again
    differ = {name for name in first if first[name] != other[name]}
    assert "macro_f1.low" in differ
    assert all(name.endswith((".low", ".high")) for name in differ)


def test_the_highest_row_speaks_for_a_statement():
    sure, unsure = (0.1, 0.0, 0.0, 0.9), (0.2, 0.2, 0.2, 0.4)
    records = records_frame(
        [
            record(2, "none", (1, 0, 0, 0)),
            record(1, "warning", (0, 0, 1, 0), "CHN", "USA"),
            record(1, "threat", unsure, "RUS", "KOR", review=True),
            record(1, "threat", sure, "RUS", None),
            record(1, "none", (1, 0, 0, 0), "FRA", "GBR"),
            record(3, None, (np.nan,) * 4, review=True, note="not English"),
        ]
    )
    found = collect(records, 3)
    assert found.level.tolist() == [3, 0, 0]
    assert found.probability.tolist() == [list(sure), [1, 0, 0, 0], [1, 0, 0, 0]]
    assert found.review.tolist() == [False, False, True]
    assert found.dyads == [{("CHN", "USA", "warning"), ("RUS", "KOR", "threat")}, set(), set()]


def test_a_statement_without_a_record_is_an_error():
    records = records_frame([record(1, "none", (1, 0, 0, 0)), record(3, "none", (1, 0, 0, 0))])
    with pytest.raises(ValueError, match="statements 1 to 3, found 2"):
        collect(records, 3)


def test_order_of_records_does_not_matter(drawn):
    gold, _, p, _ = drawn
    records = records_frame(
        [record(k, LEVELS[int(row.argmax())], row) for k, row in enumerate(p, 1)]
    )
    there = collect(records, len(gold))
    back = collect(records.iloc[::-1], len(gold))
    assert np.array_equal(there.probability, back.probability)
    assert np.array_equal(there.level, p.argmax(axis=1))


def test_keyword_rules_know_their_words():
    texts = [
        "Athens threatened to close the port to Turkish ships.",
        "Athens warned Ankara of consequences.",
        "Athens condemned the flight and summoned the envoy.",
        "Athens and Ankara opened a ferry line.",
        "Athens has no plans to retaliate.",
    ]
    assert keyword_baseline(texts).level.tolist() == [3, 2, 1, 0, 0]


def test_tfidf_baseline_learns_from_train_only(statements):
    train, held = statements.iloc[::2], statements.iloc[1::2]
    predicted = tfidf_baseline(train, held["text"])
    assert predicted.probability.shape == (len(held), 4)
    assert np.allclose(predicted.probability.sum(axis=1), 1)
    same = tfidf_baseline(train, train["text"])
    assert (same.level == train["level"].map(CODE)).mean() > 0.8
    some = tfidf_baseline(train[train["level"] != "warning"], held["text"])
    assert (some.probability[:, CODE["warning"]] == 0).all()


def test_vader_takes_its_cut_points_from_train():
    """Worse words, higher level; the same words are of a lower level where train has it so."""
    bad = "Terrible, horrible war and brutal murder."
    sour = "They are sad about the delay."
    plain = "The ministers met on Tuesday."
    glad = "A wonderful, happy agreement."
    texts = [glad, plain, sour, bad]
    train = pd.DataFrame({"text": texts, "level": ["none", "protest", "warning", "threat"]})
    found = vader_baseline(train, texts[::-1])
    assert found.level.tolist() == [3, 2, 1, 0]
    assert np.isnan(found.probability).all()
    assert found.dyads is found.review is None
    other = pd.DataFrame({"text": texts, "level": ["none", "none", "none", "protest"]})
    assert vader_baseline(other, texts).level.tolist() == [0, 0, 0, 1]


def test_the_cut_points_of_vader_are_the_best_there_are(statements):
    """No three cut points in steps of 0.1 do better on the training statements."""
    from itertools import combinations_with_replacement

    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    analyzer = SentimentIntensityAnalyzer()
    score = np.array([analyzer.polarity_scores(text)["compound"] for text in statements["text"]])
    truth = statements["level"].map(CODE).to_numpy()
    found = vader_baseline(statements, statements["text"]).level
    ours = sk.f1_score(truth, found, average="macro")
    grid = np.linspace(-1, 1, 21)
    best = max(
        sk.f1_score(truth, (score[:, None] < cuts).sum(axis=1), average="macro", zero_division=0)
        for cuts in combinations_with_replacement(grid, 3)
    )
    assert ours >= best - 1e-12
    assert ours > sk.f1_score(truth, np.zeros_like(truth), average="macro", zero_division=0)


def test_real_keyword_rules_are_a_baseline_worth_beating(gold):
    from training.dataset import read

    dev = read([gold / "dev.jsonl"])
    assert evaluate(dev, keyword_baseline(dev["text"]), resamples=0)["macro_f1"] > 0.45
