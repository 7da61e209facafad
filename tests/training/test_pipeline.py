"""Fitting: the same data and seed give the same model; weights and temperature do what they say."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from scoring.actors import find_mentions
from scoring.clauses import Clause
from scoring.dyads import candidates, find_dyads
from scoring.errors import UsageError
from scoring.levels import CODE, LEVELS, PROBABILITIES
from scoring.linear import softmax
from scoring.scorer import Scorer
from scoring.tiers import Fast
from training import pipeline
from training.pipeline import BOUNDS, Params, fit, level_pipeline, mask_all, real_rows

SMALL = Params(level_bits=12, role_bits=12)
NEW = [
    "Oslo protested to Moscow over the closed fishing grounds.",
    "Tehran will retaliate against Baghdad, its army said.",
    "Peru and Chile opened a bridge on Tuesday.",
    "Ankara warned Athens of serious consequences.",
]


@pytest.fixture(scope="module")
def model(statements):
    return fit(statements, SMALL, seed=0)


def chances(model, texts=NEW) -> np.ndarray:
    return model.level.pipeline.predict_proba(mask_all(pd.Series(texts)))


def test_same_data_and_seed_same_predictions_to_the_last_bit(model, statements):
    again = fit(statements.copy(), SMALL, seed=0)
    assert (chances(again) == chances(model)).all()
    assert again.manifest == model.manifest
    assert Scorer(again).score_lines(NEW).equals(Scorer(model).score_lines(NEW))


def test_another_seed_changes_the_folds_and_only_the_temperature(model, statements):
    other = fit(statements, SMALL, seed=1)
    assert other.manifest["temperature"] != model.manifest["temperature"]
    plain, again = (m.level.coef * m.manifest["temperature"] for m in (model, other))
    assert plain == pytest.approx(again)


def test_the_model_learns_its_data(model, statements):
    predicted = chances(model, statements["text"]).argmax(axis=1)
    assert (predicted == statements["level"].map(CODE)).mean() > 0.9


def test_probabilities_are_of_the_four_levels(model):
    assert chances(model).shape == (len(NEW), len(PROBABILITIES))
    assert list(model.level.pipeline.classes_) == list(range(len(LEVELS)))
    assert chances(model).sum(axis=1) == pytest.approx(1)


def test_the_temperature_is_folded_into_the_weights(model, statements):
    levels = statements["level"].map(CODE).to_numpy()
    plain = level_pipeline(SMALL).fit(
        mask_all(statements["text"]),
        levels,
        classifier__sample_weight=pipeline._weights(statements, levels, SMALL),
    )
    temperature = model.manifest["temperature"]
    assert temperature != pytest.approx(1, abs=1e-3)
    assert model.level.coef == pytest.approx(plain[-1].coef_ / temperature)
    masked = mask_all(pd.Series(NEW))
    logits = plain.decision_function(masked) / temperature
    assert chances(model) == pytest.approx(softmax(logits))


def test_the_temperature_makes_held_out_levels_most_likely():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4_000, 4)) * 2
    levels = np.array([rng.choice(4, p=p) for p in softmax(truth)])
    found = pipeline._temperature(truth * 3, levels)  # three times too sure
    assert found == pytest.approx(3, rel=0.1)

    def loss(temperature: float) -> float:
        return log_loss(levels, softmax(truth * 3 / temperature))

    assert loss(found) < min(loss(found * 1.1), loss(found / 1.1))


def test_statements_that_nothing_learned_from_give_the_temperature_and_nothing_else(
    model, statements
):
    rest = statements.index % 2 > 0
    taught, fresh = (statements[which].reset_index(drop=True) for which in (rest, ~rest))
    plain, cooled = fit(taught, SMALL, seed=0), fit(taught, SMALL, seed=0, calibrate=fresh)
    temperatures = [m.manifest["temperature"] for m in (plain, cooled)]
    assert temperatures[0] != pytest.approx(temperatures[1], rel=1e-3)
    weights = [m.level.coef * t for m, t in zip((plain, cooled), temperatures, strict=True)]
    assert weights[0] == pytest.approx(weights[1])
    levels = fresh["level"].map(CODE)

    def loss(factor: float) -> float:
        logits = cooled.level.pipeline.decision_function(mask_all(fresh["text"])) / factor
        return log_loss(levels, softmax(logits), labels=range(4))

    assert loss(1) < min(loss(1.1), loss(1 / 1.1))


def test_of_statements_that_leave_no_doubt_calibration_hears_nothing(statements, monkeypatch):
    plain = fit(statements, SMALL, seed=0, folds=0)
    sure = chances(plain, statements["text"]).max(axis=1)
    heard = []
    monkeypatch.setattr(pipeline, "_temperature", lambda *of: heard.append(of[1]) or 1.0)
    for number, wanted in ((50, 50), (0, pipeline.LEAST_FRESH)):
        params = replace(SMALL, doubt_below=float(np.sort(sure)[number]))
        fit(statements, params, seed=0, calibrate=statements)
        doubtful = statements["level"].map(CODE)[np.argsort(sure, kind="stable")[:wanted]]
        assert sorted(heard.pop()) == sorted(doubtful)


def test_a_teacher_says_who_speaks_to_whom_and_is_not_heard_where_actors_have_changed(
    model, statements
):
    text = "Oslo was warned of consequences by Tehran over the fishing grounds."
    found = candidates(text, find_mentions(text))
    right = next(pair for pair in found if (pair.source, pair.target) == ("IRN", "NOR"))
    said = [(pair.source, pair.target, float(pair is right)) for pair in found]
    none = dict(zip(PROBABILITIES, (0.1, 0.2, 0.6, 0.1), strict=True))
    soft = pd.DataFrame([{"text": text, "dyads": json.dumps(said), **none}] * 30)

    def chance(soft, **more) -> float:
        heard = {"soft_role_weight": 1.0} | more  # by default they are not
        made = fit(statements, replace(SMALL, **heard), seed=0, soft=soft, folds=0)
        return float(made.roles.probabilities([right.features])[0])

    deaf = chance(soft.drop(columns="dyads"))
    assert deaf == pytest.approx(model.roles.probabilities([right.features])[0])
    assert chance(soft) > 0.5 > deaf
    others = json.dumps(said).replace("IRN", "IRQ")
    for unheard in ("[]", json.dumps(said[:-1]), others):
        assert chance(soft.assign(dyads=unheard)) == pytest.approx(deaf)
    assert chance(soft, soft_role_weight=0) == pytest.approx(deaf)
    assert deaf < chance(soft, soft_role_weight=0.02) < chance(soft)


def frame(levels: str, unsure: str = "", pools: str = "") -> pd.DataFrame:
    """One row a letter: n, p, w, t; ``u`` for unsure; ``o`` for our own pool."""
    names = {name[0]: name for name in LEVELS}
    count = len(levels)
    return pd.DataFrame(
        {
            "level": [names[letter] for letter in levels],
            "unsure": [letter == "u" for letter in unsure.ljust(count, "-")],
            "pool": [
                pipeline.OWN if letter == "o" else "agency" for letter in pools.ljust(count, "-")
            ],
        }
    )


def weights(data: pd.DataFrame, **params: float) -> list[float]:
    levels = data["level"].map(CODE).to_numpy()
    return list(pipeline._weights(data, levels, replace(SMALL, **params)))


def test_balanced_levels_weigh_the_same_in_all():
    data = frame("nnnnnnppwt")
    found = pd.Series(weights(data, balance=1.0)).groupby(data["level"]).sum()
    assert found.to_numpy() == pytest.approx(len(data) / 4)


def test_without_balance_every_row_weighs_one():
    assert weights(frame("nnnnppwt"), balance=0.0) == [1.0] * 8


def test_unsure_and_own_rows_weigh_less():
    data = frame("npwt", unsure="u--u", pools="-o-o")
    assert weights(data, unsure_weight=0.5, own_weight=0.7) == pytest.approx([0.5, 0.7, 1, 0.35])


def test_a_level_that_is_not_there_does_no_harm():
    assert np.isfinite(weights(frame("nnp"))).all()


def test_weights_reach_the_classifier(model, statements):
    other = fit(statements, replace(SMALL, balance=0.0), seed=0)
    assert (chances(other) != chances(model)).any()


def test_real_rows_are_those_of_other_pools_or_all():
    assert list(real_rows(frame("npw", pools="-o-"))) == [True, False, True]
    assert list(real_rows(frame("npw", pools="ooo"))) == [True, True, True]


def test_review_share_is_the_share_below_the_threshold(statements):
    low, high = (
        fit(statements, replace(SMALL, review_share=share), seed=0).manifest["review_below"]
        for share in (0.1, 0.5)
    )
    assert 0.25 < low < high < 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("level_c", 0),
        ("role_bits", 99),
        ("balance", float("nan")),
        ("own_weight", -1),
        ("review_share", 2),
    ],
)
def test_a_parameter_that_means_nothing_is_refused(name, value):
    with pytest.raises(UsageError, match=f"expected {name} from"):
        Params(**{name: value})


def test_every_parameter_has_its_bounds():
    assert set(BOUNDS) == set(Params().asdict())


def test_parameters_are_in_the_manifest(model):
    assert model.manifest["dyad_at_least"] == SMALL.dyad_at_least


def test_masking_cleans_first():
    texts = pd.Series(["Mos\u200bcow condemned Se\u202eoul", "Moscow condemned Seoul"])
    masked = mask_all(texts)["text"]
    assert masked[0] == masked[1]
    assert "Moscow" not in masked[0]


def test_roles_are_learnt_from_the_dyads(model, statements):
    right = total = 0
    for text, dyads in zip(statements["text"], statements["dyads"], strict=True):
        if dyads:
            clause = Clause(0, text, find_mentions(text))
            pairs = candidates(text, clause.mentions)
            (chances,) = Fast(model).roles([clause], [pairs])
            found = find_dyads(text, clause.mentions, pairs, chances, SMALL.dyad_at_least)
            right += found[0][:2] in {(source, target) for source, target, _ in dyads}
            total += 1
    assert right > 0.9 * total
