import csv
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from scoring.batch import open_output
from scoring.errors import InputError, OutputError, UsageError
from scoring.levels import LEVELS, PROBABILITIES
from scoring.records import records_frame
from training import base_rates, card, cli
from training.base_rates import Sample, draw, measure, read_coded, read_tables, write
from training.dataset import DataError, statement_id

SURE = {level: np.eye(4)[code] for code, level in enumerate(LEVELS)}


def row(text, level, publisher="Agency", model="9.0.0", score=None):
    """A record of `tension score`; without a level it was not scored."""
    p = SURE[level] if level else (np.nan,) * 4
    return {
        "article_id": "x",
        "sentence": 0,
        "text": text,
        "publisher": publisher,
        "level": level,
        "score": LEVELS.index(level) / 3 if level and score is None else score,
        "review": False,
        "model": model,
        "note": None if level else "not English",
        **dict(zip(PROBABILITIES, p, strict=True)),
    }


def many(level, n, publisher="Agency", **more):
    return [row(f"{publisher}: {level} {k}.", level, publisher, **more) for k in range(n)]


def table(path, rows):
    with open_output(path, "parquet") as writer:
        writer.write(records_frame(rows))
    return path


@pytest.fixture
def scored(tmp_path):
    """Two feeds: 40 and 8 called threat, 10 warning, 50 protest, 200 and 30 none."""
    return [
        table(
            tmp_path / "agency.parquet",
            many("threat", 40) + many("warning", 10) + many("protest", 50) + many("none", 200),
        ),
        table(
            tmp_path / "gazette.parquet",
            many("threat", 8, "Gazette") + many("none", 30, "Gazette"),
        ),
    ]


def sample_of(counts, population, publisher="Agency"):
    """Build a sample from (called, coded) -> how many, and called level -> how many in the feed."""
    rows = [
        (called, coded, publisher, False) for (called, coded), n in counts.items() for _ in range(n)
    ]
    frame = pd.DataFrame(rows, columns=["called", "coded", "publisher", "unsure"])
    by_publisher = {level: {publisher: n} for level, n in population.items()}
    return Sample(frame, by_publisher, "9.0.0", "fast", 7)


# --- the tables that are drawn from ---


def test_a_statement_counts_once_with_its_highest_level(tmp_path):
    path = table(
        tmp_path / "a.parquet",
        [
            row("Athens protests and threatens.", "protest"),
            row("Athens protests and threatens.", "threat", score=0.8),
            row("Athens protests and threatens.", "threat", score=0.9),
            row("A fair opened.", "none"),
            row("Une foire.", None),
        ],
    )
    again = table(tmp_path / "b.parquet", [row("A fair opened.", "none", publisher=None)])
    found = read_tables([path, again])
    assert found.counts() == {"none": 1, "protest": 0, "warning": 0, "threat": 1}
    assert found.unscored == 1
    [threat] = found.statements[found.statements["level"] == "threat"].to_dict("records")
    assert threat["id"] == statement_id("Athens protests and threatens.")
    assert threat["score"] == 0.9


def test_statements_labelled_before_are_left_out(tmp_path, scored):
    labels = tmp_path / "labels.jsonl"
    ids = [statement_id(f"Agency: threat {k}.") for k in (3, 4)] + ["0" * 12]
    labels.write_text("".join(f'{{"id": "{id_}", "level": "threat"}}\n' for id_ in ids) + "\n")
    found = read_tables(scored, [labels])
    assert found.labelled == 2
    assert found.counts() == {"none": 230, "protest": 50, "warning": 10, "threat": 46}
    assert not set(ids) & set(found.statements["id"])


def test_tables_that_do_not_do_are_named(tmp_path, scored):
    other = table(tmp_path / "other.parquet", many("none", 2, model="9.0.0+accurate"))
    with pytest.raises(UsageError, match=r"one model and tier, found 9\.0\.0, 9\.0\.0\+accurate"):
        read_tables([*scored, other])
    with pytest.raises(UsageError, match="Score with --all"):
        read_tables([table(tmp_path / "few.parquet", many("threat", 2))])
    broken = tmp_path / "broken.parquet"
    broken.write_text("PAR1")
    strange = tmp_path / "strange.parquet"
    pd.DataFrame({"text": ["x"]}).to_parquet(strange)
    for path, expected in (
        (broken, "a Parquet, JSONL or CSV table"),
        (strange, "a Parquet, JSONL or CSV table"),
        (tmp_path / "nowhere.parquet", "a file or folder, found none"),
    ):
        with pytest.raises(InputError, match=rf"{path.name}: expected {expected}"):
            read_tables([path])
    labels = tmp_path / "labels.jsonl"
    for line, message in (("{}", "expected an id"), ("[1]", "found list"), ("{", "found none")):
        labels.write_text(f"\n{line}\n")
        with pytest.raises(DataError, match=rf"labels\.jsonl, line 2: .*{message}"):
            read_tables(scored, [labels])


# --- drawing ---


def test_so_many_of_each_called_level_are_drawn_at_random(scored):
    found = read_tables(scored)
    sheet, key = draw(found, {"threat": 20, "none": 60}, seed=1)
    called = [line["called"] for line in key]
    counts = {level: called.count(level) for level in LEVELS}
    assert counts == {"none": 60, "protest": 50, "warning": 10, "threat": 20}
    assert [line["n"] for line in key] == sheet["n"].tolist() == list(range(1, 141))
    assert [line["id"] for line in key] == [statement_id(text) for text in sheet["text"]]
    assert len({line["id"] for line in key}) == 140
    assert len(set(called[:20])) > 1  # shuffled
    assert {line["publisher"] for line in key} == {"Agency", "Gazette"}


def test_the_key_tells_what_the_sheet_does_not(scored):
    sheet, key = draw(read_tables(scored), {"threat": 20})
    line = next(line for line in key if line["called"] == "threat")
    assert line["population"] == {"Agency": 40, "Gazette": 8}
    assert [line[name] for name in PROBABILITIES] == [0, 0, 0, 1]
    assert (line["model"], line["tier"]) == ("9.0.0", "fast")
    assert "text" not in line
    assert tuple(sheet.columns) == base_rates.SHEET_COLUMNS
    assert sheet["code"].isna().all()


def test_the_seed_decides_the_draw_and_the_order_of_the_tables_does_not(scored):
    first = draw(read_tables(scored), {"none": 40}, seed=3)[1]
    assert draw(read_tables(scored[::-1]), {"none": 40}, seed=3)[1] == first
    assert draw(read_tables(scored), {"none": 40}, seed=4)[1] != first


def test_every_statement_of_a_level_is_as_likely_to_be_drawn(scored):
    found = read_tables(scored)
    drawn = [line["id"] for seed in range(200) for line in draw(found, {"threat": 12}, seed)[1]]
    times = [drawn.count(statement_id(f"Agency: threat {k}.")) for k in range(40)]
    assert min(times) > 25  # 50 expected, a standard deviation of 6
    assert max(times) < 75


def test_the_tier_is_read_from_the_model(tmp_path):
    path = table(tmp_path / "a.parquet", many("none", 2, model="9.0.0+accurate"))
    assert {line["tier"] for line in draw(read_tables([path]))[1]} == {"accurate"}


@pytest.mark.parametrize("per", [{"alarm": 3}, {"none": 0}])
def test_sizes_that_do_not_do_are_refused(scored, per):
    with pytest.raises(UsageError, match=r"expected (a level|at least one)"):
        draw(read_tables(scored), per)


def test_a_spreadsheet_runs_nothing_of_the_sheet(tmp_path):
    text = '=HYPERLINK("x"), said Athens,\nand left.'
    path = table(tmp_path / "a.parquet", [row(text, "none"), row("A fair opened.", "none")])
    sheet, key = draw(read_tables([path]))
    write(sheet, key, tmp_path / "sheet.csv", tmp_path / "key.jsonl")
    with (tmp_path / "sheet.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {r["text"] for r in rows} == {f"'{text}", "A fair opened."}
    assert all(r["code"] == "" and list(r) == ["n", "text", "code"] for r in rows)
    number = next(r["n"] for r in rows if r["text"] == f"'{text}")
    keys = [json.loads(line) for line in (tmp_path / "key.jsonl").read_text().splitlines()]
    assert next(k["id"] for k in keys if str(k["n"]) == number) == statement_id(text)


def test_sheet_and_key_are_two_files(scored, tmp_path):
    sheet, key = draw(read_tables(scored))
    with pytest.raises(UsageError, match="expected two files"):
        write(sheet, key, tmp_path / "a", tmp_path / "." / "a")
    with pytest.raises(OutputError, match="nowhere"):
        write(sheet, key, tmp_path / "sheet.csv", tmp_path / "nowhere" / "key.jsonl")
    assert not (tmp_path / "sheet.csv").exists()


# --- measuring ---

WORKED = {
    ("threat", "threat"): 2,
    ("threat", "warning"): 1,
    ("threat", "none"): 1,
    ("warning", "warning"): 1,
    ("warning", "threat"): 1,
    ("protest", "protest"): 1,
    ("protest", "none"): 1,
    ("none", "none"): 3,
    ("none", "protest"): 1,
}
FEED = {"threat": 40, "warning": 10, "protest": 50, "none": 900}


def test_figures_worked_by_hand():
    # Weighted: of 40 called threat 20 are threat, 10 warning, 10 none; of 10 called warning 5 are
    # warning and 5 threat; of 50 called protest 25 are protest; of 900 called none 225 are protest.
    found = measure(sample_of(WORKED, FEED), resamples=0)
    expected = {
        "model": "9.0.0",
        "left_out": 7,
        "rows": 12,
        "population": 1000,
        "unsure": 0,
        "threat.rows": 4,
        "threat.population": 40,
        "called.threat.none": 1,
        "called.none.threat": 0,
        "threat.precision": 0.5,
        "threat.any_precision": 0.75,
        "threat.at_least_warning": 0.75,
        "warning.precision": 0.5,
        "warning.any_precision": 1,
        "protest.precision": 0.5,
        "none.precision": 0.75,
        "any.precision": (30 + 10 + 25) / 100,
        "any.recall": (30 + 10 + 25) / (30 + 10 + 25 + 225),
        "any.f1": 2 * 65 / (100 + 290),
        "any.base_rate": 0.29,
        "threat.base_rate": 0.025,
        "warning.base_rate": 0.015,
        "protest.base_rate": 0.25,
        "none.base_rate": 0.71,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    # One publisher alone: its figures are those of all.
    del expected["model"], expected["left_out"]
    assert {x: found[f"publisher.Agency.{x}"] for x in expected} == pytest.approx(expected)


def test_what_review_marks_in_a_feed_worked_by_hand():
    # Of 40 called threat one in four is wrong and marked, one wrong and not; of 900 called none one in four is wrong.
    sample = sample_of({("threat", "threat"): 2, ("threat", "none"): 2, ("none", "none"): 3, ("none", "protest"): 1},
                       {"threat": 40, "none": 900})  # fmt: skip
    assert not any("review" in name for name in measure(sample)), (
        "a key from before tells nothing of it"
    )
    marked = [False, False, True, False, True, False, False, False]
    found = measure(sample._replace(rows=sample.rows.assign(review=marked)), resamples=50)
    assert found["review.share"] == pytest.approx((10 + 225) / 940)
    assert found["review.errors_caught"] == pytest.approx(10 / (20 + 225))
    assert found["review.errors_caught.low"] < found["review.errors_caught"]
    assert found["called.threat.none"] == 2
    assert found["publisher.Agency.review.share"] == found["review.share"]


def test_a_publisher_is_weighted_by_what_was_called_of_it():
    agency = sample_of(
        {("threat", "threat"): 1, ("threat", "none"): 1, ("none", "none"): 2}, {"threat": 1}
    )
    gazette = sample_of({("threat", "threat"): 2}, {"threat": 1}, "Gazette")
    both = Sample(
        pd.concat([agency.rows, gazette.rows]),
        {"threat": {"Agency": 10, "Gazette": 90}, "none": {"Agency": 100, "Gazette": 300}},
        "9.0.0",
        "fast",
        0,
    )
    found = measure(both, resamples=20)
    assert found["threat.precision"] == 0.75  # three of four that were drawn of a hundred
    assert found["threat.base_rate"] == pytest.approx(75 / 500)
    assert found["publisher.Agency.threat.precision"] == 0.5
    assert found["publisher.Agency.threat.base_rate"] == pytest.approx(5 / 110)
    assert found["publisher.Agency.any.recall"] == 1
    # No statement of the Gazette that was called none was drawn: what they are is not known.
    assert found["publisher.Gazette.threat.precision"] == 1
    assert found["publisher.Gazette.none.population"] == 300
    for name in ("any.recall", "any.base_rate", "threat.base_rate", "none.precision"):
        assert not any(key.startswith(f"publisher.Gazette.{name}") for key in found)


def test_intervals_are_those_of_drawing_again_within_each_called_level():
    counts = {("threat", "threat"): 120, ("threat", "none"): 80, ("none", "none"): 290}
    counts |= {("none", "protest"): 10}
    found = measure(sample_of(counts, {"threat": 1000, "none": 9000}), seed=1, resamples=4000)
    # Of one called level a share is binomial, whatever the weights.
    low, high = binom.ppf((0.025, 0.975), 200, 0.6) / 200
    assert found["threat.precision.low"] == pytest.approx(low, abs=0.006)
    assert found["threat.precision.high"] == pytest.approx(high, abs=0.006)
    rng = np.random.default_rng(5)
    right = 1000 * rng.binomial(200, 0.6, 4000) / 200
    missed = 9000 * rng.binomial(300, 1 / 30, 4000) / 300
    for name, drawn in (
        ("any.recall", right / (right + missed)),
        ("any.base_rate", (right + missed) / 10_000),
    ):
        low, high = np.quantile(drawn, (0.025, 0.975))
        assert found[f"{name}.low"] == pytest.approx(low, abs=0.012)
        assert found[f"{name}.high"] == pytest.approx(high, abs=0.012)
    assert found["any.recall"] == pytest.approx(600 / 900)


def test_the_seed_decides_the_intervals_and_nothing_else():
    sample = sample_of(WORKED, FEED)
    first, again, other = (measure(sample, seed) for seed in (1, 1, 2))
    assert first == again
    differ = {name for name in first if first[name] != other[name]}
    assert all(name.endswith((".low", ".high")) for name in differ)


def test_figures_of_the_sheet_come_near_those_of_the_feed():
    """A feed whose true levels are all known: the estimates must be of it, not of the sheet."""
    rng = np.random.default_rng(0)
    truth = rng.choice(4, size=20_000, p=(0.95, 0.03, 0.01, 0.01))
    called = np.where(rng.random(20_000) < 0.9, truth, rng.choice(4, size=20_000))
    frame = pd.DataFrame({"called": called, "coded": truth})
    drawn = frame.groupby("called").sample(250, random_state=0)
    rows = drawn.map(lambda code: LEVELS[code]).assign(publisher="Agency", unsure=False)
    population = {level: {"Agency": int((called == k).sum())} for k, level in enumerate(LEVELS)}
    found = measure(Sample(rows, population, "9.0.0", "fast", 0), resamples=200)
    true = {
        "threat.precision": (truth[called == 3] == 3).mean(),
        "any.precision": (truth[called > 0] > 0).mean(),
        "any.recall": (called[truth > 0] > 0).mean(),
        "any.base_rate": (truth > 0).mean(),
    }
    assert {k: found[k] for k in true} == pytest.approx(true, abs=0.08)
    assert abs(found["any.base_rate"] - true["any.base_rate"]) < 0.01
    assert (drawn["coded"] > 0).mean() > 2 * true["any.base_rate"]  # the sheet itself is no feed


# --- what was coded ---


def key_line(n, called="none", publisher="Agency", **more):
    return {
        "n": n,
        "id": f"{n:012x}",
        "called": called,
        "publisher": publisher,
        "model": "9.0.0",
        "tier": "fast",
        "population": {publisher: 50},
        "left_out": 4,
    } | more


def code_line(n, level="none", **more):
    return {"id": f"{n:012x}", "level": level, "dyads": [], "unsure": False} | more


@pytest.fixture
def files(tmp_path):
    def to(key, codes):
        for name, lines in (("key.jsonl", key), ("coded.jsonl", codes)):
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / "key.jsonl", tmp_path / "coded.jsonl"

    return to


def test_the_key_tells_what_was_marked_for_review(files):
    codes = [code_line(1), code_line(2)]
    marked = [key_line(1) | {"review": True}, key_line(2) | {"review": False}]
    assert list(read_coded(*files(marked, codes)).rows["review"]) == [True, False]
    mixed = [marked[0], key_line(2)]
    assert "review" not in read_coded(*files(mixed, codes)).rows


def test_codes_are_joined_with_what_was_called(files):
    found = read_coded(
        *files(
            [key_line(1, "threat"), key_line(2)],
            [code_line(2), code_line(1, "warning", unsure=True)],
        )
    )
    assert found.rows.to_dict("records") == [
        {"called": "threat", "coded": "warning", "publisher": "Agency", "unsure": True},
        {"called": "none", "coded": "none", "publisher": "Agency", "unsure": False},
    ]
    assert found.population == {"threat": {"Agency": 50}, "none": {"Agency": 50}}
    assert found.left_out == 4
    assert measure(found, resamples=0)["unsure"] == 1


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([code_line(1)], r"coded\.jsonl: .* found 1 without, 000000000002 first"),
        ([code_line(1), code_line(2), code_line(1)], r"line 3: .* once, found '000000000001'"),
        ([code_line(3)], r"line 1: .* found '000000000003'"),
        ([code_line(1, "alarm")], r"line 1: expected a level of none, .* found 'alarm'"),
        ([code_line(1, id=["x"])], r"line 1: .* found \['x'\]"),
    ],
)
def test_codes_that_do_not_fit_the_key_are_named(files, codes, message):
    with pytest.raises(DataError, match=message):
        read_coded(*files([key_line(1), key_line(2)], codes))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ([], r"key\.jsonl: expected one drawn statement"),
        ([{"id": "x"}], r"line 1: expected a line of a key, .* 'population'|'called'"),
        ([key_line(1), key_line(1)], "line 2: expected a line of one draw"),
        ([key_line(1), key_line(2, model="8.0.0")], "line 2: expected a line of one draw"),
        ([key_line(1), key_line(2, left_out=5)], "line 2: expected a line of one draw"),
        ([key_line(1), key_line(2, population={"Agency": 51})], "line 2: expected a line of one"),
        ([key_line(1, population={"Gazette": 5})], "line 1: expected a line of a key"),
        ([key_line(1, "alarm")], "line 1: expected a line of one draw"),
    ],
)
def test_keys_that_are_of_no_one_draw_are_named(files, key, message):
    with pytest.raises(DataError, match=message):
        read_coded(*files(key, []))


# --- into the card, and from the command line ---


@pytest.fixture
def folder(trained, tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    for name in ("manifest.json", "metrics.json"):
        shutil.copy(trained[1].folder / name, made / name)
    return made


def test_figures_go_into_metrics_and_card(folder):
    before = card.read_metrics(folder)
    figures = measure(sample_of(WORKED, FEED), resamples=50)
    assert base_rates.add(folder, "accurate", {"rows": 1.0}) == folder / "card.md"
    base_rates.add(folder, "fast", figures)
    base_rates.add(folder, "accurate", figures | {"model": "9.0.0+accurate"})
    after = card.read_metrics(folder)
    assert next(iter(after.pop("base_rates").items())) == ("fast", figures)
    assert after == before
    text = (folder / "card.md").read_text(encoding="utf-8")
    assert text == card.render(folder)
    assert "## In whole feeds" in text
    assert "9.0.0+accurate" in text
    with pytest.raises(UsageError, match="expected a tier"):
        base_rates.add(folder, "slow", figures)


def test_from_tables_to_the_card_on_the_command_line(scored, folder, tmp_path, capsys):
    sheet, key = tmp_path / "sheet.csv", tmp_path / "key.jsonl"
    labels = tmp_path / "labels.jsonl"
    labels.write_text(json.dumps({"id": statement_id("Agency: threat 0.")}))
    arguments = ["sample", *map(str, scored), "-o", str(sheet), "--key", str(key), "--seed", "2"]
    done = cli.run([*arguments, "--per", "threat=20, none=50", "--leave-out", str(labels)])
    out, err = capsys.readouterr()
    assert (done, out) == (0, "")
    assert "threat: 20 drawn of 47 statements called so" in err
    assert "1 labelled before, 0 not scored" in err
    lines = [json.loads(line) for line in key.read_text().splitlines()]
    assert len(lines) == 20 + 10 + 50 + 50
    coded = tmp_path / "coded.jsonl"
    # All that was called a level is protest, all else none.
    codes = [("none" if line["called"] == "none" else "protest", line["id"]) for line in lines]
    coded.write_text("".join(f'{{"id": "{i}", "level": "{level}"}}\n' for level, i in codes))
    done = cli.run(["base-rates", str(key), str(coded), "--json", "--into", str(folder)])
    out, err = capsys.readouterr()
    assert done == 0
    figures = json.loads(out)
    assert figures["any.precision"] == figures["any.recall"] == figures["protest.precision"] == 1
    assert figures["threat.precision"] == 0
    assert figures["any.base_rate"] == pytest.approx((47 + 10 + 50) / (47 + 10 + 50 + 230))
    assert figures["publisher.Gazette.population"] == 38
    assert figures["left_out"] == 1
    assert card.read_metrics(folder)["base_rates"] == {"fast": figures}
    assert "card.md" in err
    assert cli.run(["base-rates", str(key), str(coded)]) == 0
    assert "any.recall" in capsys.readouterr().out


@pytest.mark.parametrize("per", ["threat", "threat=x", "threat=-1", "alarm=3", "none=0", ""])
def test_sizes_are_wrong_usage_on_the_command_line(scored, per, tmp_path, capsys):
    arguments = ["sample", str(scored[0]), "-o", f"{tmp_path}/s.csv", "--key", f"{tmp_path}/k"]
    assert cli.run([*arguments, "--per", per]) == 2
    assert "expected" in capsys.readouterr().err
    assert not (tmp_path / "s.csv").exists()
