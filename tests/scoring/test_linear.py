"""Weights alone say what scikit-learn says, to the last bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.preprocessing import StandardScaler
from sklearn.utils.extmath import softmax as reference_softmax

from scoring import linear
from scoring.actors import find_mentions
from scoring.artifact import Model, load, shipped_folder
from scoring.dyads import candidates
from scoring.features import mask, statement_features
from scoring.linear import Dense, Hashed, softmax
from tests.heads import small_head

OWN = Path(__file__).parents[2] / "training" / "corpus" / "own.jsonl"


@pytest.fixture(scope="module")
def model() -> Model:
    return load(shipped_folder())


@pytest.fixture(scope="module")
def texts() -> list[str]:
    lines = OWN.read_text(encoding="utf-8").splitlines()
    return ["", *(json.loads(line)["text"] for line in lines)]


def test_levels_have_the_bits_of_the_pipeline(model, texts):
    masked = [mask(text, find_mentions(text)) for text in texts]
    frame = pd.DataFrame({"text": pd.Series(masked, dtype=object)})
    ours = model.level.probabilities([statement_features(text) for text in masked])
    assert np.array_equal(ours, model.level.pipeline.predict_proba(frame))
    assert len(set(ours.argmax(axis=1))) == 4


def test_roles_have_the_bits_of_the_pipeline(model, texts):
    found = [c.features for text in texts for c in candidates(text, find_mentions(text))]
    assert len(found) > 4_000
    ours = model.roles.probabilities(found)
    assert np.array_equal(ours, model.roles.pipeline.predict_proba(found)[:, 1])
    assert ours.min() < 0.1 < 0.9 < ours.max()


@pytest.mark.parametrize("which", ["encoder", "scout"])
def test_the_heads_have_the_bits_of_their_pipelines(model, which):
    heads = model.encoders[which]
    for head, wanted in ((heads.level, ...), (heads.roles, (slice(None), 1))):
        numbers = np.random.default_rng(0).normal(size=(500, head.coef.shape[1])) * 4
        for rows in (numbers, numbers[:1], numbers[7:12]):
            theirs = head.pipeline.predict_proba(rows)[wanted]
            assert np.array_equal(head.probabilities(rows), theirs)


def test_what_one_document_gets_does_not_depend_on_the_others(model, texts, monkeypatch):
    documents = [statement_features(mask(text, find_mentions(text))) for text in texts[:300]]
    whole = model.level.probabilities(documents)
    alone = [model.level.probabilities([document])[0] for document in documents]
    assert np.array_equal(whole, alone)
    monkeypatch.setattr(linear, "_CHUNK", 7)
    assert np.array_equal(model.level.probabilities(documents), whole)
    assert model.level.probabilities([]).shape == (0, 4)
    assert model.roles.probabilities([]).shape == (0,)


@given(
    st.lists(st.lists(st.text(st.characters(codec="utf-8"), max_size=9), max_size=9), min_size=1)
)
def test_any_names_of_features_are_hashed_as_scikit_learn_does(model, documents):
    theirs = model.roles.pipeline.predict_proba(documents)[:, 1]
    assert np.array_equal(model.roles.probabilities(documents), theirs)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1))
def test_probabilities_of_any_log_odds(values):
    odds = np.array(values)
    assert np.allclose(linear._sigmoid(odds), expit(odds), rtol=0, atol=1e-300)
    rows = np.stack([odds, odds[::-1], -odds, 0 * odds], axis=1)
    assert np.array_equal(softmax(rows), reference_softmax(rows))


def pipelines():
    from training.pipeline import Params, level_pipeline, role_pipeline

    small = Params(level_bits=6, role_bits=6)
    texts = pd.DataFrame({"text": ["\x01 warned \x02", "it rained", "\x01 protested", "it will"]})
    names = [["a", "b"], ["c"], ["a"], ["c", "d"]]
    return (
        level_pipeline(small).fit(texts, range(4)),
        role_pipeline(small).fit(names, [True, False, True, False]),
    )


def test_a_pipeline_that_was_just_fitted_is_its_own_reference():
    level, roles = pipelines()
    assert Hashed.of(level).pipeline is level
    assert Hashed.of(roles).idf is None
    assert small_head(4).pipeline.predict_proba(np.zeros((1, 3))).shape == (1, 4)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"weights__sublinear_tf": False}, "sublinear_tf: expected True, found False"),
        ({"weights__norm": "l1"}, "norm: expected 'l2', found 'l1'"),
        (
            {"features__named__analyzer": "word"},
            "analyzer: expected 'scoring.features.*found 'word'",
        ),
        ({"features__named__binary": True}, "binary: expected False, found True"),
    ],
)
def test_settings_that_are_not_followed_are_refused(setting, says):
    level, _ = pipelines()
    with pytest.raises(ValueError, match=says):
        Hashed.of(level.set_params(**setting))


def test_settings_of_the_others_too():
    _, roles = pipelines()
    with pytest.raises(ValueError, match="alternate_sign: expected False, found True"):
        Hashed.of(roles.set_params(features__alternate_sign=True))
    with pytest.raises(ValueError, match="with_mean: expected True, found False"):
        Dense.of(small_head(4).pipeline.set_params(standardscaler__with_mean=False))


def test_other_steps_are_refused():
    level, roles = pipelines()
    level.steps.insert(1, ("more", StandardScaler()))
    with pytest.raises(ValueError, match="found features, more, weights, classifier"):
        Hashed.of(level)
    roles.steps = roles.steps[1:]
    with pytest.raises(ValueError, match="expected the steps of a classifier, found classifier"):
        Hashed.of(roles)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("coef_", lambda c: c[:, :-1], r"coef_: expected the shape \(4, 64\), found \(4, 63\)"),
        ("coef_", lambda c: c[:3], r"coef_: expected the shape \(4, 64\), found \(3, 64\)"),
        (
            "coef_",
            lambda c: c.astype("f4"),
            "coef_: expected an array of float64, found one of float32",
        ),
        ("coef_", lambda c: c.astype(str), "coef_: expected an array of float64"),
        ("coef_", lambda c: None, "coef_: expected an array of float64, found NoneType"),
        ("coef_", lambda c: c * np.nan, "coef_: expected finite numbers"),
        ("intercept_", lambda c: c[:1], r"intercept_: expected the shape \(4,\), found \(1,\)"),
        ("intercept_", lambda c: c + np.inf, "intercept_: expected finite numbers"),
        ("classes_", lambda c: c[::-1], r"classes_: expected 4, in order, found \[3, 2, 1, 0\]"),
    ],
)
def test_weights_of_another_kind_are_refused(name, change, says):
    level, _ = pipelines()
    setattr(level[-1], name, change(getattr(level[-1], name)))
    with pytest.raises(ValueError, match=says):
        Hashed.of(level)


def test_weights_of_a_head_that_do_not_fit_are_refused():
    head = small_head(4).pipeline
    head[0].scale_ = np.zeros(3)
    with pytest.raises(ValueError, match="scale_: expected no zeros"):
        Dense.of(head)
    with pytest.raises(ValueError, match=r"classes_: expected 2, in order, found \[0, 1, 2, 3\]"):
        Dense.from_steps(small_head(4).pipeline.steps, int, 1)


def test_what_is_no_text_raises_and_does_no_harm(model):
    with pytest.raises(UnicodeEncodeError):
        model.roles.probabilities([["\ud800"]])


def test_documents_are_made_as_they_are_needed(model, monkeypatch):
    made = []
    monkeypatch.setattr(linear, "_CHUNK", 5)
    plain = Hashed._logits
    monkeypatch.setattr(
        Hashed, "_logits", lambda *of: made.append((len(of[1]), count[0])) or plain(*of)
    )
    count = [0]

    def documents():
        for _ in range(12):
            count[0] += 1
            yield ["a"]

    assert len(model.roles.probabilities(documents())) == 12
    assert made == [(5, 5), (5, 10), (2, 12)]


@pytest.mark.parametrize("part", ["coef", "intercept"])
def test_a_pipeline_of_other_weights_is_not_given(model, part):
    other = replace(model.roles, **{part: getattr(model.roles, part) + 1})
    with pytest.raises(ValueError, match="found other weights"):
        other.pipeline  # noqa: B018


def test_other_weights_give_other_probabilities(model):
    documents = [["a", "b"], ["c"]]
    other = replace(model.level, coef=-model.level.coef)
    assert not np.allclose(other.probabilities(documents), model.level.probabilities(documents))
