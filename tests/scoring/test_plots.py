import subprocess
import sys
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import scoring
from scoring.errors import UsageError
from scoring.levels import LEVELS, PROBABILITIES
from scoring.records import records_frame

plots = pytest.importorskip("scoring.plots")
colors = pytest.importorskip("matplotlib.colors")

EMPTY = records_frame([])


def record(source, target, level, day="2026-03-02", article="a", **more):
    code = LEVELS.index(level)
    return {
        "article_id": article,
        "published": day and pd.Timestamp(day, tz="UTC"),
        "sentence": 0,
        "text": f"{source} to {target}, {level}.",
        "source": source,
        "target": target,
        "level": level,
        "score": code / 3,
        "review": False,
        "model": "9.0.0",
        **dict(zip(PROBABILITIES, 0.1 + 0.6 * np.eye(4)[code], strict=True)),
        **more,
    }


@pytest.fixture
def records():
    """RUS -> UKR eight times in two weeks, UKR -> RUS once, an open side, one undated, and `none`."""
    return records_frame(
        [
            *(record("RUS", "UKR", "protest", "2026-03-02", f"p{k}") for k in range(5)),
            *(record("RUS", "UKR", "threat", "2026-03-03", f"t{k}") for k in range(2)),
            record("RUS", "UKR", "warning", "2026-03-11", "w"),
            record("UKR", "RUS", "warning", "2026-03-11", "u"),
            record("CHN", None, "threat"),
            record("IRN", "ISR", "threat", None, "i"),
            record(None, None, "none"),
        ]
    )


def bubbles(figure):
    """The bubbles of a figure: place, size and colour of each."""
    out = []
    for drawn in figure.axes[0].collections:
        if not hasattr(drawn, "get_sizes") or not len(drawn.get_sizes()):
            continue
        sizes, colours = drawn.get_sizes(), drawn.get_facecolors()
        for k, place in enumerate(drawn.get_offsets()):
            colour = colors.to_hex(colours[k % len(colours)])
            out.append((*map(float, place), float(sizes[k % len(sizes)]), colour))
    return out


def said(figure):
    """All words in a figure."""
    figure.draw_without_rendering()
    axes = figure.axes[0]
    ticks = [tick.get_text() for tick in (*axes.get_yticklabels(), *axes.get_xticklabels())]
    notes = [text.get_text() for text in (*axes.texts, *figure.texts)]
    return " | ".join([axes.get_title(loc="left"), *ticks, *notes, figure.get_supxlabel()])


def test_the_higher_the_level_the_darker_its_colour():
    def luminance(colour):
        return float(np.dot(colors.to_rgb(colour), (0.2126, 0.7152, 0.0722)))

    assert list(plots.COLOURS) == list(LEVELS)
    for lower, higher in pairwise(map(luminance, plots.COLOURS.values())):
        assert lower - higher > 0.03


def test_a_notebook_shows_a_figure_without_pyplot(records):
    assert plots.ladder(records)._repr_png_().startswith(b"\x89PNG")
    code = "import sys, scoring.plots; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_the_extra_the_error_names_it():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import scoring, scoring.cli\n"
        "from scoring.errors import TensionError\n"
        "try:\n    import scoring.plots\nexcept TensionError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "extra 'notebooks'" in done.stdout
    assert "matplotlib" in done.stdout


# --- who, when ---


def test_a_timeline_puts_each_dyad_in_its_row_and_period(records):
    figure = plots.timeline(records, every="week")
    found = bubbles(figure)
    weeks = [float(pd.Timestamp(day).timestamp() / 86400) for day in ("2026-03-02", "2026-03-09")]
    threat, warning = plots.COLOURS["threat"], plots.COLOURS["warning"]
    assert {(x, y, colour) for x, y, _, colour in found} == {
        (weeks[0], 1.0, threat),
        (weeks[1], 1.0, warning),
        (weeks[1], 0.0, warning),
    }
    sizes = {(x, y): size for x, y, size, _ in found}
    assert sizes[weeks[0], 1.0] > sizes[weeks[1], 1.0] == sizes[weeks[1], 0.0]
    words = said(figure)
    assert "RUS → UKR" in words
    assert "by week" in words
    assert "| 7 |" in words
    assert "1 statements with a side not named left out; 1 without a date left out" in words


@pytest.mark.parametrize(
    ("days", "period"),
    [(10, "day"), (100, "week"), (800, "month"), (2500, "quarter"), (9000, "year")],
)
def test_the_period_suits_the_time(days, period):
    dates = pd.date_range("2000-01-01", periods=5, freq=f"{days // 4}D")
    many = records_frame([record("RUS", "UKR", "threat", day, str(day)) for day in dates])
    assert f"by {period}" in said(plots.timeline(many))


def test_only_the_most_frequent_dyads_are_shown_and_the_others_counted(records):
    words = said(plots.timeline(records, most=1))
    assert "RUS → UKR" in words
    assert "UKR → RUS" not in words
    assert "1 more dyad not shown" in words
    with pytest.raises(UsageError, match="at least 1"):
        plots.timeline(records, most=0)


def bars(figure):
    return [
        (bar.get_facecolor(), bar.get_y(), bar.get_height())
        for container in figure.axes[0].containers
        for bar in container
    ]


def test_a_dyad_over_time_has_both_directions_by_level(records):
    figure = plots.dyad_over_time(records, "RUS", "UKR", every="week")
    colour = {level: colors.to_rgba(plots.COLOURS[level]) for level in LEVELS}
    assert bars(figure) == [
        (colour["protest"], 0, 5),
        (colour["warning"], 0, 1),
        (colour["threat"], 5, 2),  # on top of the protests of its week
        (colour["warning"], 0, -1),
    ]
    words = said(figure)
    assert "RUS → UKR" in words
    assert "UKR → RUS" in words
    assert "−" not in words  # downwards is no negative number


def test_a_dyad_by_its_mean_score(records):
    figure = plots.dyad_over_time(records, "RUS", "UKR", every="week", measure="score")
    there, back = figure.axes[0].lines[:2]
    assert list(there.get_ydata()) == pytest.approx([(5 / 3 + 2) / 7, 2 / 3])
    assert list(back.get_ydata()) == pytest.approx([2 / 3])
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["RUS → UKR", "UKR → RUS"]
    with pytest.raises(UsageError, match="count or score"):
        plots.dyad_over_time(records, "RUS", "UKR", measure="mood")


# --- how high ---


def test_standing_counts_statements_and_articles(records):
    table = plots.standing(records)
    row = table.loc["RUS → UKR"]
    assert list(row[["protest", "warning", "threat", "statements", "articles"]]) == [5, 1, 2, 8, 8]
    assert row["step"] == pytest.approx((5.5 * 1 + 1.5 * 2 + 2.5 * 3) / 9.5)
    assert row["low"] < row["step"] < row["high"]
    assert plots.standing(records, "source").index[0] in ("CHN", "IRN")


def test_a_single_threat_does_not_outrank_many(records):
    many = [record("PRK", "KOR", "threat", article=f"m{k}") for k in range(30)]
    table = plots.standing(records_frame([*many, record("AAA", "BBB", "threat", article="z")]))
    assert list(table.index) == ["PRK → KOR", "AAA → BBB"]
    assert table["low"].iloc[0] > table["low"].iloc[1]


def test_the_sentences_of_one_article_count_as_one():
    once = plots.standing(records_frame([record("RUS", "UKR", "threat")]))
    often = plots.standing(records_frame([record("RUS", "UKR", "threat")] * 50))
    assert often["statements"].iloc[0] == 50
    columns = ["step", "low", "high"]
    assert list(often[columns].iloc[0]) == list(once[columns].iloc[0])


def test_a_ladder_has_a_bubble_a_level_and_the_highest_on_top(records):
    figure = plots.ladder(records)
    axes = figure.axes[0]
    figure.draw_without_rendering()
    names = {
        round(float(y)): t.get_text()
        for y, t in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    }
    order = [names[row] for row in sorted(names, reverse=True)]
    assert order == list(plots.standing(records).index)
    row = next(y for y, name in names.items() if name == "RUS → UKR")
    found = {(x, c): s for x, y, s, c in bubbles(figure) if round(y - 0.12) == row}
    places = {(float(LEVELS.index(level)), plots.COLOURS[level]) for level in LEVELS[1:]}
    assert set(found) == places
    assert found[1.0, plots.COLOURS["protest"]] > found[2.0, plots.COLOURS["warning"]]
    words = said(figure)
    assert "8 in 8" in words
    assert "| 5 |" in words
    assert "1 statements with a side not named" in words


def boxes(figure):
    figure.canvas.draw()
    axes = figure.axes[0]
    texts = [*axes.texts, *axes.get_yticklabels(), *axes.get_xticklabels()]
    return [(t.get_text(), t.get_window_extent()) for t in texts if t.get_text()]


@pytest.mark.parametrize("draw", ["ladder", "timeline"])
def test_no_label_lies_on_another(draw):
    rng = np.random.default_rng(0)
    sides = ["RUS", "UKR", "USA", "CHN", "NATO", "ASEAN", "IRN", "ISR"]
    days = pd.date_range("2015-01-01", "2025-01-01", periods=400)
    many = [
        record(*rng.choice(sides, 2, replace=False), rng.choice(LEVELS[1:]), day, str(day))
        for day in days
    ]
    found = boxes(getattr(plots, draw)(records_frame(many)))
    assert len(found) > 30
    hits = [
        (a, b)
        for k, (a, box) in enumerate(found)
        for b, other in found[:k]
        if box.shrunk(0.9, 0.9).overlaps(other.shrunk(0.9, 0.9))
    ]
    assert hits == []


# --- who with whom ---


def arrows(figure):
    return {patch.get_gid(): patch for patch in figure.axes[0].patches if patch.get_gid()}


def test_a_network_has_an_arrow_a_dyad(records):
    figure = plots.network(records)
    found = arrows(figure)
    assert set(found) == {"RUS>UKR", "UKR>RUS", "IRN>ISR"}
    assert found["RUS>UKR"].get_linewidth() > found["UKR>RUS"].get_linewidth()
    ends = {name: colors.to_hex(patch.get_edgecolor()) for name, patch in found.items()}
    assert ends["RUS>UKR"] == plots.COLOURS["threat"]
    assert ends["UKR>RUS"] == plots.COLOURS["warning"]
    mean = arrows(plots.network(records, colour="mean"))["RUS>UKR"]
    assert colors.to_hex(mean.get_edgecolor()) not in plots.COLOURS.values()
    words = said(figure)
    assert {"RUS", "UKR", "IRN", "ISR", "8"} <= set(words.split(" | "))
    with pytest.raises(UsageError, match="highest or mean"):
        plots.network(records, colour="red")


def test_the_nodes_of_a_network_lie_apart_and_in_the_picture():
    rng = np.random.default_rng(1)
    sides = [f"A{letter}{other}" for letter in "ABCDE" for other in "KLM"]
    many = [record(*rng.choice(sides, 2, replace=False), "threat") for _ in range(60)]
    many += [record(f"X{k}", f"Y{k}", "threat") for k in range(4)]
    figure = plots.network(records_frame(many), most=60)
    again = plots.network(records_frame(many[::-1]), most=60)
    places = []
    for drawn in (figure, again):
        drawn.canvas.draw()
        (nodes,) = [c for c in drawn.axes[0].collections if len(c.get_offsets()) > 10]
        places.append(drawn.axes[0].transData.transform(nodes.get_offsets()))
    assert np.allclose(np.sort(places[0], axis=0), np.sort(places[1], axis=0))
    apart = np.linalg.norm(places[0][:, None] - places[0], axis=2)
    radius = np.sqrt(820) / 2 * figure.dpi / 72
    assert apart[~np.eye(len(apart), dtype=bool)].min() > 1.6 * radius
    box = figure.axes[0].get_window_extent()
    assert all(box.contains(*place) for place in places[0])


# --- why ---


@pytest.fixture(scope="module")
def scorer():
    return scoring.load()


def test_the_strongest_statements_come_with_their_evidence(scorer):
    texts = [
        "Oslo and Rome signed a treaty on fish.",
        "Algeria threatens to close its ports to Moroccan ships",
        "Egypt warns Ethiopia against filling Nile dam without agreement",
        "Algeria threatens to close its ports to Moroccan ships",
    ]
    rows = scorer.score_lines(texts)
    table = plots.strongest(rows, scorer, most=5)
    assert list(table["text"]) == [texts[1], texts[2]]
    assert list(table["level"]) == ["threat", "warning"]
    assert "threatens" in table["evidence"][0]
    start, end = table["spans"][0][0]
    assert "threatens" in texts[1][start:end]
    spans = sorted(table["spans"][0])
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert list(plots.strongest(rows, most=1)["evidence"]) == [""]
    shown = str(plots.show(table))
    assert "threatens" in shown.split("<mark>", 1)[1].split("</mark>", 1)[0]
    assert "DZA → MAR" in shown


def test_what_is_shown_cannot_act():
    hostile = "<script>alert(1)</script> & <img src=x onerror=y> \u202eabc\x1b[31m warns"
    rows = records_frame([record("<b>", '"x', "threat", None, text=hostile)])
    table = plots.strongest(rows)
    table.at[0, "spans"] = [(0, 8), (20, 40)]
    shown = plots.show(table)._repr_html_()
    for bad in ("<script", "<img", "<b>", "\u202e", "\x1b"):
        assert bad not in shown
    assert "<mark>&lt;script&gt;</mark>alert(1)" in shown
    assert "No statement" in str(plots.show(plots.strongest(EMPTY)))


# --- how sure, how right ---


def test_calibration_holds_sureness_to_rightness():
    rows = records_frame([record("RUS", "UKR", "threat", article=str(k)) for k in range(10)])
    gold = ["threat"] * 6 + ["none"] * 2 + [None] * 2
    bins = plots.calibration(rows, gold)
    assert bins.to_dict("records") == [
        {"rows": 8, "confidence": pytest.approx(0.7), "accuracy": 0.75}
    ]
    with pytest.raises(UsageError, match="expected 10 labels"):
        plots.calibration(rows, gold[:3])
    with pytest.raises(UsageError, match="'war'"):
        plots.calibration(rows, ["war"] * 10)
    assert plots.calibration(EMPTY, []).empty


def test_a_reliability_plot_has_a_point_a_bin_and_its_interval():
    bins = pd.DataFrame(
        {"rows": [0, 8, 100], "confidence": [np.nan, 0.7, 0.95], "accuracy": [np.nan, 0.75, 0.9]}
    )
    figure = plots.reliability(bins)
    (points,) = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert points.get_xydata().tolist() == [[0.7, 0.75], [0.95, 0.9]]
    (bars_,) = [c for c in figure.axes[0].collections if hasattr(c, "get_segments")]
    (low, high), _ = (segment[:, 1] for segment in bars_.get_segments())
    # Wilson's interval of 6 of 8
    assert (low, high) == (pytest.approx(0.409, abs=0.001), pytest.approx(0.929, abs=0.001))
    assert {"8", "100"} <= set(said(figure).split(" | "))


# --- nothing, and too little ---


@pytest.mark.parametrize(
    "draw",
    [
        plots.timeline,
        plots.ladder,
        plots.network,
        lambda rows: plots.dyad_over_time(rows, "RUS", "UKR"),
        lambda rows: plots.reliability(plots.calibration(rows, [None] * len(rows))),
    ],
)
@pytest.mark.parametrize("kind", ["empty", "none", "unscored"])
def test_with_nothing_to_draw_the_picture_says_so(draw, kind):
    rows = {
        "empty": [],
        "none": [record(None, None, "none")],
        "unscored": [record(None, None, "none") | {"level": None, "score": np.nan}],
    }[kind]
    figure = draw(records_frame(rows))
    assert "Nothing to draw" in said(figure)
    assert figure._repr_png_()


def test_one_statement_is_enough_for_a_picture():
    one = records_frame([record("RUS", "UKR", "threat")])
    for figure in (
        plots.timeline(one),
        plots.ladder(one),
        plots.network(one),
        plots.dyad_over_time(one, "UKR", "RUS"),
    ):
        assert "Nothing to draw" not in said(figure)
        assert figure._repr_png_()


def test_records_of_a_file_draw_the_same_as_those_of_the_scorer(records, tmp_path):
    from scoring.batch import open_output

    for kind, read in (("parquet", pd.read_parquet), ("csv", pd.read_csv)):
        path = tmp_path / f"out.{kind}"
        with open_output(path, kind) as writer:
            writer.write(records)
        assert bubbles(plots.timeline(read(path))) == bubbles(plots.timeline(records))
        assert set(arrows(plots.network(read(path)))) == set(arrows(plots.network(records)))


def test_a_table_of_something_else_is_refused():
    with pytest.raises(UsageError, match="missing: article_id"):
        plots.timeline(pd.DataFrame({"headline": ["Oslo met Rome."]}))
    with pytest.raises(UsageError, match="missing: article_id"):
        plots.ladder(pd.DataFrame())
