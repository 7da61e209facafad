import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from scoring.errors import ArtifactMissing, ArtifactTampered, OutputError
from scoring.levels import LEVELS
from training import card

MODELS = Path(card.__file__).parents[1] / "models"


@pytest.fixture
def folder(trained, tmp_path):
    """The two files that a card is made of, and nothing else."""
    for name in ("manifest.json", "metrics.json"):
        shutil.copy(trained[1].folder / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def whole(folder):
    """Metrics with every part that a model may have, written into the folder."""
    metrics = json.loads((folder / "metrics.json").read_text())
    dev = metrics["dev"]
    metrics["dev.accurate"] = dev | {"macro_f1": 0.9, "threat.f1": 0.8, "pairs.reversed.count": 3}
    metrics["baselines"]["vader"] = metrics["baselines"]["keywords"] | {"macro_f1": 0.123}
    metrics["cross_pool"] = {"agency": dev | {"macro_f1": 0.444}}
    metrics["ablation"] = {
        "own only": {"what": "our own", "rows": 1866, "dev": {"macro_f1": 0.321}},
        "all": {"what": "all|of it", "rows": 9000, "dev": dev},
    }
    metrics["behaviour"] = {"fast": {"ultimatum_added": 0.9}, "accurate": {"negated": 1.0}}
    metrics["cost"] = {
        "share_encoded": 0.31234,
        "sentences_per_second": {"fast": 5432.1, "accurate": 87.65},
        "encoder_bytes": 23_456_789,
    }
    rates = {
        "model": "small",
        "rows": 12.0,
        "population": 1000.0,
        "unsure": 1.0,
        "threat.rows": 4.0,
        "threat.population": 40.0,
        "threat.precision": 0.5,
        "threat.precision.low": 0.25,
        "threat.precision.high": 0.75,
        "threat.base_rate": 0.0025,
        "warning.base_rate": 0.005,
        "warning.base_rate.low": 0.001,
        "warning.base_rate.high": 0.0123,
        "any.recall": 0.224,
        "called.threat.warning": 3.0,
    }
    # Names of publishers are not ours: with dots, and like those of figures.
    for name in ("R. Gazette", "a.threat"):
        rates |= {
            f"publisher.{name}.{key}": x for key, x in rates.items() if "publisher" not in key
        }
    metrics["base_rates"] = {"fast": rates, "accurate": rates | {"rows": 24.0, "left_out": 1234.0}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return metrics


def cells(text, *first):
    """Cells after the first ones of the first table row that begins with them."""
    begin = f"| {' | '.join(first)} |"
    line = next(line for line in text.splitlines() if line.startswith(begin))
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1 + len(first) : -1]]


def section(text, title):
    """Return the part of a card under a heading, down to the next of its rank."""
    rank = title.split(" ")[0]
    return text.split(f"\n{title}\n")[1].split(f"\n{rank} ")[0]


def test_committed_cards_are_what_their_files_say():
    committed = sorted(path.parent for path in MODELS.glob("*/metrics.json"))
    if not committed:
        pytest.skip(f"no model with metrics in {MODELS}")
    for model in committed:
        written = (model / card.CARD_FILE).read_text(encoding="utf-8")
        assert written == card.render(model), f"run: tension-train card {model}"


def test_training_writes_the_card_that_is_rendered(trained):
    folder = trained[1].folder
    assert (folder / "card.md").read_text(encoding="utf-8") == card.render(folder)


def test_the_card_shows_the_figures_of_the_files(folder, trained):
    metrics, manifest = trained[1].metrics, trained[1].model.manifest
    text = card.render(folder)
    assert text.startswith("# Model small\n")
    head = cells(text, "macro-F1, four levels")
    dev = metrics["dev"]
    assert head[0] == (
        f"{dev['macro_f1']:.3f} ({dev['macro_f1.low']:.3f}–{dev['macro_f1.high']:.3f})"
    )
    methods = [name for name in ("tfidf", "vader", "keywords") if name in metrics["baselines"]]
    for shown, method in zip(head[1:], methods, strict=True):
        assert shown.startswith(f"{metrics['baselines'][method]['macro_f1']:.3f} (")
    assert cells(text, "agency") == [
        str(manifest["train"]["pool"]["agency"][level]) for level in LEVELS
    ] + [str(sum(manifest["train"]["pool"]["agency"].values()))]
    assert manifest["mlflow_run"] in text
    assert "## In detail: dev" in text
    assert "## In detail: cv" in text
    for limit in ("English only", "drawn by cue", "language models", "State media", "automated"):
        assert limit in text
    assert "accurate" not in text  # none was measured


def test_tiers_and_baselines_stand_side_by_side(whole, folder):
    text = card.render(folder)
    assert "The accurate tier asks the fast one first" in text
    main = section(text, "## How well it does")
    header = (
        "|  | fast tier | accurate tier | TF-IDF + logistic regression | VADER, cut into levels "
    )
    assert main.strip().startswith(header)
    shown = [cell.split()[0] for cell in cells(main, "macro-F1, four levels")]
    macro = [whole["dev"], {"macro_f1": 0.9}, *(whole["baselines"][x] for x in ("tfidf", "vader"))]
    assert shown == [f"{m['macro_f1']:.3f}" for m in [*macro, whole["baselines"]["keywords"]]]
    detail = section(text, "## In detail: dev")
    levels = section(detail, "### Levels")
    assert cells(levels, "threat", "accurate")[2].startswith("0.800")
    assert cells(levels, "threat", "fast")[2].startswith(f"{whole['dev']['threat.f1']:.3f}")
    reversed_ = section(detail, "### Who to whom").split("target to source")[1]
    assert cells(reversed_, "accurate")[0] == "3"
    assert cells(reversed_, "fast")[0] == f"{whole['dev']['pairs.reversed.count']:.0f}"
    pools = section(detail, "### Pools and strata")
    assert cells(pools, "agency", "accurate") == cells(pools, "agency", "fast")
    assert "accurate" not in section(text, "## In detail: cv")  # not cross-validated


def test_reliability_by_level_leaves_out_empty_bins(whole, folder):
    dev = whole["dev"]
    for k in range(10):
        for level in LEVELS:
            dev[f"{level}.bin.{k}.rows"] = 0.0
    dev |= {
        "threat.bin.3.rows": 12.0,
        "threat.bin.3.confidence": 0.35,
        "threat.bin.3.accuracy": 0.4,
    }
    (folder / "metrics.json").write_text(json.dumps(whole))
    part = section(section(card.render(folder), "## In detail: dev"), "### Calibration")
    fast, accurate = re.split("By level, accurate tier", part.split("By level, fast tier")[1])
    assert cells(fast, "0.3 to 0.4") == ["–", "–", "–", "0.350 → 0.400 (12)"]
    assert fast.count("\n| 0.") == 1
    assert accurate.count("\n| 0.") > 5


def test_the_review_curve_stands_next_to_what_is_marked(whole, folder):
    part = section(section(card.render(folder), "## In detail: dev"), "### Review")
    dev = whole["dev"]
    assert cells(part, "fast")[1].startswith(f"{dev['review.errors_caught']:.3f} (")
    for percent in (5, 10, 15, 20, 30):
        fast, accurate = cells(part, f"{percent}%")
        assert fast == accurate
        assert fast.startswith(f"{dev[f'review.curve.{percent}']:.3f} (")


def test_parts_that_a_model_may_have_are_rendered(whole, folder):
    text = card.render(folder)
    cross = cells(section(text, "## On a source that it was not trained on"), "agency")
    assert cross[0] == f"{whole['dev']['rows']:.0f}"
    assert cross[1].startswith("0.444")
    assert cross[-1].startswith(f"{whole['cv']['pool.agency.macro_f1']:.3f}")
    ablation = section(text, "## What the parts of the training data give")
    assert cells(ablation, "own only") == ["our own", "1,866", "0.321", "–", "–"]
    assert cells(ablation, "all")[:2] == [r"all\|of it", "9,000"]
    behaviour = section(text, "## Behaviour")
    assert cells(behaviour, "ultimatum added") == ["0.900", "–"]
    assert cells(behaviour, "negated") == ["–", "1.000"]
    cost = section(text, "## Cost")
    assert "CPU time of one process" in cost
    assert cells(cost, "share encoded") == ["0.312"]
    assert cells(cost, "sentences per second, fast") == ["5,432"]
    assert cells(cost, "sentences per second, accurate") == ["87.7"]
    assert cells(cost, "encoder bytes") == ["23,456,789"]


def test_base_rates_are_given_by_tier_and_publisher(whole, folder):
    text = section(card.render(folder), "## In whole feeds")
    assert cells(text, "called threat: is threat") == ["0.500 (0.250–0.750)"] * 2
    assert cells(text, "statements coded, of all") == ["12 of 1,000", "24 of 1,000"]
    assert cells(text, "threat", "accurate") == ["40", "–", "–", "3", "–"]
    by_publisher = text.split("By publisher:")[1]
    for name in ("R. Gazette", "a.threat"):
        assert cells(by_publisher, name, "fast")[:3] == ["12", "1,000", "0.500 (0.250–0.750)"]
    assert cells(by_publisher, "all", "fast") == ["–", "–", "0.50% (0.10%–1.23%)", "0.25%"]
    assert cells(by_publisher.split("of each level:")[1], "a.threat", "fast")[3] == "0.25%"
    assert "1,234 statements that were labelled before are left out" in text
    named = {line.split("|")[1].strip() for line in by_publisher.splitlines() if "| fast |" in line}
    assert named == {"R. Gazette", "a.threat", "all"}


def test_a_part_that_is_put_in_replaces_what_was_there(whole, folder):
    assert card.put(folder, cost={"share_encoded": 0.25}) == folder / "card.md"
    assert card.read_metrics(folder) == whole | {"cost": {"share_encoded": 0.25}}
    text = (folder / "card.md").read_text(encoding="utf-8")
    assert text == card.render(folder)
    assert cells(section(text, "## Cost"), "share encoded") == ["0.25"]
    before = (folder / "metrics.json").read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        card.put(folder, cost={"share_encoded": float("nan")})
    assert (folder / "metrics.json").read_bytes() == before


def test_tables_are_whole(folder, whole):
    lines = card.render(folder).splitlines()
    for above, rule in pairwise(lines):
        if rule.startswith("| ---"):
            assert len(re.findall(r"(?<!\\)\|", above)) == rule.count("|")
    for line, below in pairwise(lines):
        if line.startswith("|") and below.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", below))
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) > 40
    assert not re.search(r"\b(nan|None)\b", "\n".join(rows))


def test_without_held_out_statements_the_headline_is_cross_validation(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    dev = metrics.pop("dev")
    (folder / "metrics.json").write_text(json.dumps(metrics))
    text = card.render(folder)
    assert "In detail: dev" not in text
    assert f"{metrics['cv']['macro_f1']:.3f}" == cells(text, "macro-F1, four levels")[0].split()[0]
    assert metrics["cv"]["rows"] != dev["rows"]


def test_a_figure_that_is_undefined_is_a_dash(folder):
    metrics = json.loads((folder / "metrics.json").read_text())
    for name in [name for name in metrics["dev"] if name.startswith("threat.precision")]:
        del metrics["dev"][name]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert cells(card.render(folder).split("In detail: dev")[1], "threat", "fast")[0] == "–"


@pytest.mark.parametrize("name", ["manifest.json", "metrics.json"])
def test_a_missing_or_broken_file_is_named(folder, name):
    (folder / name).write_text("{}")
    with pytest.raises(ArtifactTampered, match="expected the manifest and metrics"):
        card.render(folder)
    for broken in ("[1]", "{"):
        (folder / name).write_text(broken)
        with pytest.raises(ArtifactTampered, match=re.escape(name)):
            card.render(folder)
    (folder / name).unlink()
    with pytest.raises(ArtifactMissing, match=re.escape(name)):
        card.render(folder)


def test_the_main_table_goes_between_the_markers_of_a_page(trained, tmp_path):
    folder, _ = trained
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- metrics -->\nold\n<!-- /metrics -->\nafter\n")
    card.write_headlines(folder / "models" / "small", page)
    text = page.read_text()
    assert text.startswith("before\n<!-- metrics -->\n|")
    assert text.endswith("|\n<!-- /metrics -->\nafter\n")
    assert "old" not in text
    assert "macro-F1" in text


def test_a_page_takes_the_tables_that_it_has_markers_for(whole, folder, tmp_path):
    page = tmp_path / "page.md"
    marks = ("metrics", "base-rates", "levels")
    page.write_text("".join(f"<!-- {x} -->\nold\n<!-- /{x} -->\nafter {x}\n" for x in marks))
    card.write_headlines(folder, page)
    parts = re.split(r"after [\w-]+\n", page.read_text())
    assert not any("old" in part for part in parts)
    assert "| macro-F1, four levels |" in parts[0]
    assert "fast tier | accurate tier" in parts[0]
    assert cells(parts[1], "statements coded, of all") == ["12 of 1,000", "24 of 1,000"]
    assert cells(parts[2], "threat")[0] == "fast"
    once = page.read_text()
    card.write_headlines(folder, page)
    assert page.read_text() == once


def test_what_was_not_measured_is_said_on_the_page(folder, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- {x} --><!-- /{x} -->\n" for x in ("metrics", "base-rates")))
    card.write_headlines(folder, page)
    assert "<!-- base-rates -->\nNot measured for this model.\n<!-- /base-rates -->" in (
        page.read_text()
    )


def test_a_marker_without_an_end_is_refused(folder, tmp_path):
    page = tmp_path / "page.md"
    before = "<!-- metrics -->old<!-- /metrics -->\n<!-- levels -->\n"
    page.write_text(before)
    with pytest.raises(OutputError, match="markers <!-- levels --> and"):
        card.write_headlines(folder, page)
    assert page.read_text() == before


def test_a_page_without_markers_is_refused(trained, tmp_path):
    folder, _ = trained
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    with pytest.raises(OutputError, match="markers"):
        card.write_headlines(folder / "models" / "small", page)
    assert page.read_text() == "nothing here\n"


def test_many_small_strata_share_a_row():
    parts = {f"theme {k}": {"none": 1 + k, "threat": 1} for k in range(card.MOST_SHOWN + 3)}
    shown = card._gathered(parts)
    assert list(shown) == [f"theme {k}" for k in range(3, card.MOST_SHOWN + 3)] + ["3 smaller"]
    assert shown["3 smaller"] == {"none": 1 + 2 + 3, "protest": 0, "warning": 0, "threat": 3}
    assert card._gathered({"a": {"none": 1}}) == {"a": {"none": 1}}
