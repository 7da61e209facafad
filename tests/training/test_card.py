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


def cells(text, first):
    """Cells of the first table row that begins with a cell."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.split("|")[2:-1]]


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
    for shown, method in zip(head[1:], ("keywords", "tfidf"), strict=True):
        assert shown.startswith(f"{metrics['baselines'][method]['macro_f1']:.3f} (")
    assert cells(text, "agency") == [
        str(manifest["train"]["pool"]["agency"][level]) for level in LEVELS
    ] + [str(sum(manifest["train"]["pool"]["agency"].values()))]
    assert manifest["mlflow_run"] in text
    assert "## In detail: dev" in text
    assert "## In detail: cv" in text
    for limit in ("English only", "drawn by cue", "language models", "State media", "automated"):
        assert limit in text


def test_tables_are_whole(folder):
    lines = card.render(folder).splitlines()
    for above, rule in pairwise(lines):
        if rule.startswith("| ---"):
            assert above.count("|") == rule.count("|")
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
    assert cells(card.render(folder).split("In detail: dev")[1], "threat")[0] == "–"


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


def test_a_page_without_markers_is_refused(trained, tmp_path):
    folder, _ = trained
    page = tmp_path / "page.md"
    page.write_text("nothing here\n")
    with pytest.raises(OutputError, match="markers"):
        card.write_headlines(folder / "models" / "small", page)
    assert page.read_text() == "nothing here\n"
