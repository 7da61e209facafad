import json
import subprocess
import sys

import mlflow
import numpy as np
import pandas as pd
import pytest

from scoring.batch import open_output
from scoring.errors import InputError, UsageError
from scoring.levels import LEVELS, PROBABILITIES
from scoring.records import records_frame
from training import cli, drift
from training.dataset import statement_id
from training.drift import LEAST_ARTICLES, compare, read

NAMES = ["level.none", "level.protest", "level.warning", "level.threat", "score", "review"]
NAMES += ["unscored", "words", "statements", "unknown", "sources", "targets"]
VOCABULARY = ["ministry", "talks", "border", "trade", "port", "treaty", "river", "grain"]


def record(article, sentence, text, level="none", **more):
    """A record of `tension score`; without a level it was not scored."""
    code = LEVELS.index(level) if level else None
    p = (np.nan,) * 4 if code is None else 0.1 + 0.6 * np.eye(4)[code]
    sides = {"source": "RUS", "target": "UKR"} if code else {}
    return {
        "article_id": article,
        "sentence": sentence,
        "text": text,
        "level": level,
        "score": code if code is None else code / 3,
        "review": level is None,
        "model": "9.0.0",
        "note": None if level else "not English",
        **dict(zip(PROBABILITIES, p, strict=True)),
        **sides,
        **more,
    }


def feed_rows(seed, articles=60, prefix="a", change=lambda rng, row: row):
    """Articles of one to six sentences, all of one temper: levels go with the article."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(articles):
        temper = rng.choice(4, p=(0.7, 0.15, 0.1, 0.05))
        for sentence in range(rng.integers(1, 7)):
            text = " ".join(rng.choice(VOCABULARY, rng.integers(5, 12)))
            row = record(f"{prefix}{number}", sentence, text, LEVELS[temper])
            if temper:
                row["source"], row["target"] = rng.choice(["CHN", "RUS", "USA", "IRN"], 2)
            row["review"] = bool(rng.random() < 0.1)
            rows.append(change(rng, row))
    return rows


def table(path, rows):
    with open_output(path, path.suffix[1:]) as writer:
        writer.write(records_frame(rows))
    return path


@pytest.fixture
def feed(tmp_path):
    """Write and read a feed: `feed("a", seed, ...)`."""

    def made(name, *args, **more):
        return read(str(table(tmp_path / f"{name}.parquet", feed_rows(*args, **more))))

    return made


def figures(report):
    return {figure.name: figure for figure in report.figures}


# --- chance ---


def test_two_halves_of_one_feed_have_not_moved(tmp_path, capsys):
    rows = pd.DataFrame(feed_rows(0, articles=200))
    half = rows["article_id"].isin(rows["article_id"].unique()[::2])
    paths = [
        table(tmp_path / f"{name}.parquet", part.to_dict("records"))
        for name, part in (("a", rows[half]), ("b", rows[~half]))
    ]
    assert cli.run(["drift", *map(str, paths)]) == 0
    shown = capsys.readouterr()
    assert "no figures moved" in shown.err
    assert "100 articles" in shown.out


def test_a_feed_has_not_moved_from_itself(feed):
    """Nor are its unknown words fewer where it is held to words of its own."""
    one = feed("a", 1)
    report = compare(one, one)
    assert report.moved == []
    assert {figure.change for figure in report.figures} <= {0, None}


def test_false_alarms_are_as_rare_as_promised(feed):
    """Levels go with the article: to count sentences as independent would cry wolf all the time."""
    alarms, raw = [], []
    for seed in range(60):
        pair = feed("a", 2 * seed, 40), feed("b", 2 * seed + 1, 40, prefix="b")
        report = compare(*pair, least_effect=0, permutations=299, seed=seed)
        alarms.append(bool(report.moved))
        raw += [figure.p <= 0.05 for figure in report.figures if figure.p is not None]
    assert len(raw) > 60 * 9
    assert 0.02 < np.mean(raw) < 0.085
    assert np.mean(alarms) <= 0.13  # 0.05 and three standard errors


def test_the_unit_of_chance_is_the_article(feed):
    """One story of two hundred angry sentences is one article: no news about the feed."""
    new = feed_rows(2, 60, prefix="b")
    new += [record("long", k, "talks", "threat") for k in range(200)]
    report = compare(feed("a", 1), feed("b", 2, 60, prefix="b"))
    assert "level.threat" not in report.moved
    longer = read(str(table(drift.Path(report.new["name"]).with_name("c.parquet"), new)))
    threat = figures(compare(feed("a", 1), longer))["level.threat"]
    assert threat.change > 0.3
    assert threat.verdict == "same"


def test_holm_corrects_for_the_number_of_figures():
    def result(name, p):
        return drift.Result(name, name, "share", 0.1, 0.2, 0.1, 0.05, 0.3, p, None, "same", (9, 9))

    given = [("a", 0.01), ("b", 0.04), ("c", 0.03), ("d", None), ("e", 0.6)]
    judged = drift._holm([result(*pair) for pair in given], 0.05, 0.05)
    assert [r.p_holm for r in judged] == pytest.approx([0.04, 0.09, 0.09, None, 0.6])
    assert [r.verdict for r in judged] == ["moved", "same", "same", "same", "same"]


# --- what moved ---


def angrier(rng, row):
    if row["level"] == "none" and rng.random() < 0.3:
        return row | record(row["article_id"], row["sentence"], row["text"], "threat")
    return row


def others(rng, row):
    return row | ({"source": rng.choice(["PRK", "KOR"])} if row["level"] != "none" else {})


def unsure(rng, row):
    return row | {"review": row["review"] or bool(rng.random() < 0.4)}


def strange(rng, row):
    return row | {"text": row["text"].replace("talks", "tokamak").replace("river", "quota")}


def longer(rng, row):
    return row | {"text": row["text"] + " " + row["text"]}


def foreign(rng, row):
    if int(row["article_id"][1:]) % 4:
        return row
    return record(row["article_id"], row["sentence"], row["text"], None)


@pytest.mark.parametrize(
    ("change", "moved", "still"),
    [
        (angrier, {"level.threat", "level.none", "score"}, {"words", "unknown", "unscored"}),
        (others, {"sources"}, {*NAMES} - {"sources"}),
        (unsure, {"review"}, {*NAMES} - {"review"}),
        (strange, {"unknown"}, {*NAMES} - {"unknown"}),
        (longer, {"words"}, {*NAMES} - {"words"}),
        (foreign, {"unscored"}, {"words", "statements", "unknown", "review"}),
    ],
)
def test_what_was_changed_is_what_moved(feed, change, moved, still):
    report = compare(feed("a", 1, 150), feed("b", 2, 150, prefix="b", change=change))
    assert [figure.name for figure in report.figures] == NAMES
    assert moved <= set(report.moved)
    assert still & set(report.moved) == set()


def test_a_report_names_actors_and_words(feed):
    both = lambda rng, row: strange(rng, others(rng, row))  # noqa: E731
    report = compare(feed("a", 1, 150), feed("b", 2, 150, prefix="b", change=both))
    sources = figures(report)["sources"]
    assert {name for name, *_ in sources.parts} & {"PRK", "KOR"}
    assert sources.reference is None
    assert sources.change == sources.effect
    assert [word for word, _ in report.words] == ["quota", "tokamak"] or [
        word for word, _ in report.words
    ] == ["tokamak", "quota"]


def test_the_figures_are_those_of_the_tables(feed):
    reference, new = feed("a", 1), feed("b", 2, prefix="b", change=angrier)
    found = figures(compare(reference, new))
    for level in LEVELS:
        share = [(side.statements["level"] == level).mean() for side in (reference, new)]
        figure = found[f"level.{level}"]
        assert [figure.reference, figure.new] == pytest.approx(share)
        h = 2 * (np.arcsin(np.sqrt(share[1])) - np.arcsin(np.sqrt(share[0])))
        assert figure.effect == pytest.approx(h)
    pooled = pd.concat([reference.statements["score"], new.statements["score"]])
    change = new.statements["score"].mean() - reference.statements["score"].mean()
    assert found["score"].change == pytest.approx(change)
    assert found["score"].effect == pytest.approx(change / pooled.std(ddof=0))
    assert found["statements"].new == pytest.approx(len(new.statements) / new.articles)


def test_a_small_effect_counts_only_if_it_is_asked_for(feed):
    a, b = feed("a", 1, 150), feed("b", 2, 150, prefix="b", change=unsure)
    assert figures(compare(a, b, least_effect=0))["review"].verdict == "moved"
    assert figures(compare(a, b, least_effect=3))["review"].verdict == "slight"
    assert compare(a, b, least_effect=3).moved == []


def test_a_feed_of_which_nothing_was_scored_has_moved(feed):
    def mute(rng, row):
        return record(row["article_id"], row["sentence"], row["text"], None)

    report = compare(feed("a", 1), feed("b", 2, prefix="b", change=mute))
    assert "unscored" in report.moved
    assert figures(report)["level.none"].verdict == "too few"
    assert figures(report)["level.none"].new is None


def test_the_same_seed_gives_the_same_report(feed):
    a, b = feed("a", 1), feed("b", 2, prefix="b")
    first = compare(a, b, seed=3).asdict()
    assert first == compare(a, b, seed=3).asdict()
    assert first != compare(a, b, seed=4).asdict()


# --- calibration ---


def test_calibration_is_compared_where_there_are_labels(feed):
    a, b = feed("a", 1, 150), feed("b", 2, 150, prefix="b")
    right = {statement_id(row.text): row.level for row in a.statements.itertuples()}
    wrong = {statement_id(text): "warning" for text in b.statements["text"]}
    report = compare(a, b, wrong | right)
    found = figures(report)
    assert report.reference["labelled"] == len(a.statements)
    assert found["labelled.accuracy"].reference == 1
    assert found["labelled.overconfidence"].reference == pytest.approx(-0.3)
    assert found["labelled.brier"].reference == pytest.approx(0.3**2 + 3 * 0.1**2)
    assert {"labelled.accuracy", "labelled.overconfidence", "labelled.brier"} <= set(report.moved)


def test_labels_of_one_side_tell_no_change(feed):
    a, b = feed("a", 1), feed("b", 2, prefix="b")
    only = {statement_id(text): "none" for text in b.statements["text"]}
    only = {k: v for k, v in only.items() if k not in set(map(statement_id, a.statements["text"]))}
    accuracy = figures(compare(a, b, only))["labelled.accuracy"]
    assert (accuracy.verdict, accuracy.reference, accuracy.p) == ("too few", None, None)
    assert accuracy.new is not None


def test_labels_come_with_their_text_or_without(tmp_path):
    label = {"pool": "x", "stratum": "x", "level": "none", "dyads": [], "unsure": False}
    by_id = label | {"id": "0" * 12, "coder": "me"}
    with_text = label | {"id": statement_id("Oslo met Rome."), "text": "Oslo met Rome."}
    for name, rows in (("ids", [by_id]), ("texts", [with_text])):
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = drift.coded([tmp_path])
    assert found == {"0" * 12: "none", with_text["id"]: "none"}
    assert drift.coded([tmp_path / "ids.jsonl"]) == {"0" * 12: "none"}
    (tmp_path / "bad.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match=r"bad\.jsonl, line 1"):
        drift.coded([tmp_path / "bad.jsonl"])


# --- reading ---


def test_every_format_of_a_table_reads_the_same(tmp_path):
    rows = [*feed_rows(5), record("=x", 0, "-1 degree in Oslo", "none", source="=y")]
    rows += [record("z", 0, "Schnee in Bern", None)]
    feeds = [read(str(table(tmp_path / f"a.{kind}", rows))) for kind in ("parquet", "jsonl", "csv")]
    assert len({feed.digest for feed in feeds}) == 1
    for feed in feeds[1:]:
        pd.testing.assert_frame_equal(feed.statements, feeds[0].statements)
        pd.testing.assert_frame_equal(feed.dyads, feeds[0].dyads)


def test_a_statement_counts_once_with_its_highest_level(tmp_path):
    rows = [record("a", 0, "One.", level) for level in ("protest", "threat")]
    rows += [record("a", 1, "Two."), record("b", 0, "One.", "warning", source=None)]
    feed = read(str(table(tmp_path / "a.parquet", rows)))
    assert feed.articles == 2
    assert list(feed.statements["level"]) == ["threat", "none", "warning"]
    assert list(feed.dyads["source"]) == ["RUS", "RUS", "?"]


def test_a_folder_of_rolling_feeds_counts_a_story_once(tmp_path):
    rows = feed_rows(1, 30)
    table(tmp_path / "1.parquet", rows[:70])
    table(tmp_path / "2.jsonl", rows[40:])
    whole = read(str(table(tmp_path.parent / f"{tmp_path.name}.parquet", rows)))
    for name in (tmp_path, tmp_path / "*.*"):
        feed = read(str(name))
        assert len(feed.statements) == len(whole.statements)


def test_lines_of_the_same_number_in_two_files_are_two_articles(tmp_path):
    table(tmp_path / "1.parquet", [record("1", 0, "Oslo met Rome.")])
    table(tmp_path / "2.parquet", [record("1", 0, "Bern met Rome.")])
    assert read(str(tmp_path)).articles == 2


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.jsonl", "not json\n", "line 1.*no JSON object"),
        ("a.jsonl", '{"article_id": "x"}\n', "line 1.*no column sentence"),
        ("a.jsonl", "[1]\n", "line 1.*no JSON object"),
        ("a.csv", "text,level\nx,none\n", "usecols|Usecols"),
        ("a.parquet", "PAR0", "Parquet"),
        ("a.xml", "<rss/>", r"\.xml"),
        ("a.jsonl", "", "empty"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, name, content, found):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=found) as caught:
        read(str(tmp_path / name))
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [{"level": "war"}, {"score": 2.0}, {"score": None}, {"p_none": None}, {"text": None}],
)
def test_a_row_that_is_no_record_is_named(tmp_path, wrong):
    rows = [record("a", 0, "One."), record("a", 1, "Two.") | wrong]
    plain = {"source": None, "target": None}
    lines = [json.dumps(plain | row | {"review": False}) for row in rows]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    [(column, value)] = wrong.items()
    found = f"no {column}" if value is None else f"{column} {value!r}"
    with pytest.raises(InputError, match=rf"a\.jsonl, line 2: expected .*, found {found}\."):
        read(str(tmp_path / "a.jsonl"))


def test_tables_that_cannot_be_compared_are_refused(tmp_path, feed):
    path = tmp_path / "x.parquet"
    one = feed("a", 1)
    table(path, [])
    with pytest.raises(InputError, match="no row"):
        read(str(path))
    table(path, [record("a", 0, "One.", "threat")])
    with pytest.raises(UsageError, match="--all"):
        read(str(path))
    table(path, [record("a", 0, "One."), record("b", 0, "Two.", model="9.0.0+accurate")])
    with pytest.raises(UsageError, match=r"found 9\.0\.0, 9\.0\.0\+accurate"):
        read(str(path))
    other = feed("b", 1, change=lambda rng, row: row | {"model": "8.0.0"})
    with pytest.raises(UsageError, match=r"9\.0\.0 .* and 8\.0\.0"):
        compare(one, other)
    few = feed("c", 1, articles=LEAST_ARTICLES - 1)
    with pytest.raises(InputError, match="at least 20 articles, found 19"):
        compare(one, few)


# --- the command ---


@pytest.fixture
def changed(tmp_path):
    return [
        str(table(tmp_path / "a.parquet", feed_rows(1, 150))),
        str(table(tmp_path / "b.parquet", feed_rows(2, 150, "b", change=angrier))),
    ]


def test_the_command_tells_a_scheduler(changed, capsys):
    assert cli.run(["drift", *changed]) == 3
    shown = capsys.readouterr()
    (line,) = [line for line in shown.out.splitlines() if line.startswith("called threat")]
    assert line.endswith("moved")
    assert "figures moved" in shown.err
    assert max(map(len, shown.out.splitlines()[2:15])) <= 80
    assert cli.run(["drift", changed[0], "nowhere.parquet"]) == 1
    assert "nowhere.parquet" in capsys.readouterr().err
    assert cli.run(["drift", changed[0]]) == 2
    assert cli.run(["drift", *changed, "--alpha", "2"]) == 2


def test_the_command_gives_json(changed, capsys):
    assert cli.run(["drift", *changed, "--json", "--seed", "7"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert "level.threat" in report["moved"]
    assert report["settings"]["seed"] == 7
    assert [figure["name"] for figure in report["figures"]] == NAMES


def test_overlap_and_labels_that_fit_nothing_are_said(changed, tmp_path, capsys):
    label = {"id": "0" * 12, "pool": "x", "stratum": "x", "coder": "x", "level": "none"}
    (tmp_path / "l.jsonl").write_text(json.dumps(label | {"dyads": [], "unsure": False}))
    assert cli.run(["drift", changed[0], changed[0], "--data", str(tmp_path / "l.jsonl")]) == 0
    told = capsys.readouterr().err
    assert "150 articles are on both sides" in told
    assert "no label is of a statement" in told


def test_the_command_logs_to_mlflow(changed, store, capsys):
    assert cli.run(["drift", *changed, "--log"]) == 3
    id_ = capsys.readouterr().err.split("MLflow run ")[1].split()[0]
    run = mlflow.MlflowClient().get_run(id_)
    assert run.info.run_name == "drift"
    assert run.data.metrics["level.threat.moved"] == 1
    assert run.data.metrics["words.moved"] == 0
    assert run.data.metrics["moved"] >= 3
    assert run.data.params["model"] == "9.0.0"
    assert run.data.tags["new.name"] == changed[1]
    report = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/drift.json")
    assert "level.threat" in report["moved"]


def test_without_log_no_mlflow_is_loaded(changed, tmp_path):
    code = (
        "import sys; from training import cli; "
        f"assert cli.run(['drift', *{changed!r}]) == 3; assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)
