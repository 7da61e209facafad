import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from scoring import artifact
from scoring.errors import ArtifactMissing
from tests.heads import small_head
from training import card, cli, promote, seen, shipping
from training.behaviour import CASES, known_failures, read_json
from training.dataset import read
from training.pipeline import Params
from training.promote import PromotionError, rollback, standing
from training.release import crown, ship
from training.shipping import ShippingError
from training.side_by_side import PARTS, Candidate, measure
from training.tracking import open_run, registry
from training.train import fit_alone, predict

KILLER = Path(__file__).with_name("kill_promotion.py")

LENIENT = """
[rows]
least = 10
least_of_a_level = 2
[fast]
macro_f1 = { limit = 0.1, margin = 0.9 }
"threat.f1" = { margin = 0.9 }
behaviour = { limit = 0.01 }
past_misses = { margin = 1 }
speed = { margin = 0.95 }
[size]
model = { limit = 30 }
"""


@pytest.fixture(scope="session")
def rival(trained, tmp_path_factory):
    """A second small model, of the same statements."""
    folder, outcome = trained
    train = read([folder / "train.jsonl"])
    params = Params(level_bits=11, role_bits=11)
    model = fit_alone(train, params, seed=1, folds=2)
    to = tmp_path_factory.mktemp("rival") / "rival"
    manifest = (
        outcome.model.manifest | model.manifest | {"version": "rival", "params": params.asdict()}
    )
    artifact.save(replace(model, manifest=manifest), to)
    shutil.copy(outcome.folder / card.METRICS_FILE, to)
    card.write(to)
    seen.write(to, train["id"])
    return to


@pytest.fixture
def place(store, trained):
    return made(store, trained)


def made(store, trained):
    """A checkout in small: models with a champion, behaviour cases, a page, gates; and the rows."""
    folder, outcome = trained
    shutil.copytree(outcome.folder, store / "models" / "small")
    (store / "models" / "CHAMPION").write_text("small\n")
    (store / "models" / "CHANGELOG.md").write_text(
        "# Models\n\nOne a version.\n\n## small, 2026-01-01\n\nFirst.\n"
    )
    cases = store / "tests" / "model" / "cases"
    cases.mkdir(parents=True)
    for path in CASES.glob("*.jsonl"):  # a few of each: asked in a moment
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        (cases / path.name).write_text("".join(lines[::12]), encoding="utf-8")
    (store / "README.md").write_text(
        "# x\n\nsee [card](models/small/card.md), not models/small-2\n\n<!-- metrics -->\n<!-- /metrics -->\n"
    )
    (store / "gates.toml").write_text(LENIENT)
    shutil.copy(folder / "dev.jsonl", store / "rows.jsonl")
    return store


def with_encoder(folder):
    """Give a model an accurate tier, the encoder of which is but a name: it is carried, not asked."""
    model = artifact.load(folder)
    encoder, tokenizer = (
        folder / name for name in (artifact.ENCODER_FILE, artifact.TOKENIZER_FILE)
    )
    encoder.write_bytes(b"an encoder")
    tokenizer.write_bytes(b"a tokenizer")
    heads = artifact.Heads(small_head(4), small_head(2), encoder, tokenizer)
    manifest = model.manifest | {"accurate": {"review_below": 0.5, "doubt_below": 0.5}}
    artifact.save(replace(model, manifest=manifest, accurate=heads), folder)
    return folder


def files(root):
    """Every file of ours, to see whether anything was changed."""
    parts = [root / "README.md", *(root / "models").rglob("*"), *(root / "tests").rglob("*")]
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in parts if path.is_file()
    }


def run(*arguments):
    return cli.run([*map(str, arguments)])


def asked(rival, *more):
    return ("promote", rival, "--data", "rows.jsonl", "--gates", "gates.toml", *more)


# --- promoted ---


def test_a_better_model_is_shipped_whole(place, rival, capsys):
    assert run(*asked(rival, "--why", "Another try.")) == 0
    out, err = capsys.readouterr()
    assert out.rstrip().endswith("models/rival")
    assert "macro_f1" in out
    assert "rival is the champion" in err
    models = place / "models"
    assert (models / "CHAMPION").read_text() == "rival\n"
    names = {path.name for path in rival.iterdir()}
    assert {path.name for path in (models / "rival").iterdir()} == names
    assert artifact.load(models / "rival").manifest == artifact.load(rival).manifest
    assert "## Behaviour" in (models / "rival" / "card.md").read_text()
    log = (models / "CHANGELOG.md").read_text()
    assert log.index("## rival, ") < log.index("Another try.") < log.index("## small, 2026-01-01")
    assert "On 15 statements" in log
    assert "| | rival, fast | small, fast |" in log
    page = (place / "README.md").read_text()
    assert "(models/rival/card.md), not models/small-2" in page
    assert "macro-F1" in page
    cases = place / "tests" / "model" / "cases"
    assert known_failures("fast", cases)[0] == "rival"
    assert "rival" in read_json(cases / "past_misses_fast.json")
    assert (cases / "golden_rival.json").is_file()
    assert not (models / shipping.STAGE).exists()
    found = standing()
    assert found._replace(registry="") == ("rival", "", "rival", None, None, True)
    assert registry.aliased("champion").previous == "small"
    assert {version.version for version in registry.versions()} == {"small", "rival"}


def test_a_dry_run_changes_nothing_and_tells_the_gates(place, rival, capsys):
    before = files(place)
    assert run(*asked(rival, "--dry-run", "--json")) == 0
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert (said["version"], said["champion"], said["holds"]) == ("rival", "small", True)
    assert said["rows"] == 15
    assert [gate["metric"] for gate in said["gates"]][-1] == "model"
    assert "could be promoted. Nothing was changed." in err
    assert files(place) == before
    assert registry.versions() == []


def test_the_figures_are_those_of_evaluating_alone(place, rival, trained):
    rows = read([place / "rows.jsonl"])
    ours, theirs = (
        Candidate(path, artifact.load(path)) for path in (rival, place / "models" / "small")
    )
    (first, second), kinds = measure([ours, theirs], rows, None)
    assert second["fast"]["macro_f1"] == trained[1].metrics["dev"]["macro_f1"]
    assert second["fast"]["triples.f1"] == trained[1].metrics["dev"]["triples.f1"]
    level = predict(ours.model, rows).level
    hit = (level == rows["level"].map(["none", "protest", "warning", "threat"].index)).mean()
    assert first["fast"]["accuracy"] == hit
    assert kinds == {}
    assert first["size"]["model"] == (rival / "model.skops").stat().st_size / 1e6
    assert len(rows) > PARTS


def test_who_was_read_from_the_registry_or_a_run_is_the_same_model(
    place, rival, capsys, monkeypatch
):
    assert run("register", rival) == 0
    assert capsys.readouterr().out == "models:/tension-escalation/1\n"
    assert standing().challenger == "rival"
    with open_run("by hand") as tracked:
        tracked.log_served(rival)
    before = files(place)
    for reference in ("models:/tension-escalation@challenger", tracked.id):
        assert run(*asked(reference, "--dry-run", "--json")) == 0
        assert json.loads(capsys.readouterr().out)["version"] == "rival"
    assert files(place) == before
    assert run(*asked("models:/tension-escalation@challenger")) == 0
    assert (standing().champion, standing().challenger) == ("rival", None)


def test_it_can_be_shipped_under_another_version(place, rival, capsys):
    assert run(*asked(rival, "--as", "1.0.0")) == 0
    assert capsys.readouterr().out.rstrip().endswith("models/1.0.0")
    assert artifact.load(place / "models" / "1.0.0").manifest["version"] == "1.0.0"
    assert standing().champion == "1.0.0"
    assert artifact.load(rival).manifest["version"] == "rival"
    assert run(*asked(rival, "--as", "../x")) == 2


def test_a_folder_that_is_in_place_already_and_an_entry_written_by_hand_stay(place, rival):
    shutil.copytree(rival, place / "models" / "rival")
    log = place / "models" / "CHANGELOG.md"
    log.write_text(log.read_text().replace("## small", "## rival, soon\n\nBy hand.\n\n## small"))
    before = files(place)
    assert run(*asked("models/rival")) == 0
    after = files(place)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        "models/CHAMPION",
        "models/rival/card.md",
        "models/rival/metrics.json",
        "README.md",
    }


def test_an_encoder_that_a_version_there_has_is_shared(place, rival):
    small = with_encoder(place / "models" / "small")
    other = with_encoder(shutil.copytree(rival, place / "rival"))
    before, lines = artifact.encoder_files(artifact.load(other).accurate), []
    one = Candidate(other, artifact.load(other))
    with shipping.alone(place / "models"):
        ship(one, place / "models", None, {}, "## rival\n", lines.append, note_previous=True)
    assert "rival has the encoder of small, and shares its file" in lines
    shipped = artifact.load(place / "models" / "rival")
    assert shipped.manifest["encoder"][artifact.ENCODER_FILE]["shared_with"] == "small"
    assert not (place / "models" / "rival" / artifact.ENCODER_FILE).exists()
    assert artifact.encoder_files(shipped.accurate) == before
    assert standing().agree
    shutil.rmtree(small)  # the registry's needs no other folder
    fetched = registry.fetch("models:/tension-escalation@champion", place / "fetched")
    assert artifact.encoder_files(artifact.load(fetched).accurate) == before
    assert artifact.encoder_files(artifact.load(other).accurate) == before


# --- refused ---


def test_a_gate_that_does_not_hold_refuses_with_the_reason(place, rival, capsys):
    (place / "gates.toml").write_text(LENIENT.replace("limit = 0.1,", "limit = 0.99,"))
    before = files(place)
    assert run(*asked(rival)) == 1
    out, err = capsys.readouterr()
    assert "NO" in out
    assert "fast macro_f1: expected at least 0.990 (the limit), found 0." in err
    assert "refused: 5 of 6 gates hold. Nothing was changed." in err
    assert files(place) == before
    assert registry.versions() == []


def rewrite(path, keep):
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in keep(lines)), encoding="utf-8")


@pytest.mark.parametrize(
    ("keep", "found"),
    [
        (lambda lines: [], "rows.jsonl: expected one labelled statement a line, found none"),
        (lambda lines: lines[:3], "expected at least 10 statements to compare on, found 3"),
        (
            lambda lines: [line | {"level": "none", "dyads": []} for line in lines],
            "expected at least 2 statements of every level, found 15 none, 0 protest",
        ),
        (
            lambda lines: [line | {"level": "angry"} for line in lines],
            "rows.jsonl, line 1: expected",
        ),
        (lambda lines: [*lines, lines[0]], "rows.jsonl, line 16: expected each statement once"),
    ],
)
def test_bad_rows_are_refused(place, rival, capsys, keep, found):
    rewrite(place / "rows.jsonl", keep)
    before = files(place)
    assert run(*asked(rival)) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert found in err
    assert files(place) == before


def test_mislabelled_rows_show_in_the_champion_too(place, rival, capsys):
    def turn(lines):  # every row has another's labels
        given = [{key: line[key] for key in ("level", "dyads")} for line in lines]
        return [line | label for line, label in zip(lines, given[7:] + given[:7], strict=True)]

    rewrite(place / "rows.jsonl", turn)
    (place / "gates.toml").write_text(LENIENT.replace("0.1,", "0.6,"))
    assert run(*asked(rival)) == 1
    assert "the champion does not reach it either" in capsys.readouterr().err


def test_rows_that_one_of_them_was_trained_on_are_refused(place, rival, trained, capsys):
    lines = (trained[0] / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    with (place / "rows.jsonl").open("a", encoding="utf-8") as file:
        file.write(lines[7])
    before = files(place)
    assert run(*asked(rival)) == 1
    assert (
        "expected statements that rival was not trained on, found 1 that it was"
        in capsys.readouterr().err
    )
    other = shutil.copytree(rival, place / "innocent")
    seen.write(other, [])
    assert run(*asked(other)) == 1
    assert "that small was not trained on, found 1 that it was" in capsys.readouterr().err
    (other / seen.SEEN_FILE).unlink()
    assert run(*asked(other)) == 1
    assert "expected the rows that the training run of rival kept apart" in capsys.readouterr().err
    assert files(place) == before


def test_near_duplicates_are_found_where_the_texts_are_given(place, rival, trained, capsys):
    from training.dataset import statement_id

    train = trained[0] / "train.jsonl"
    twin = json.loads(train.read_text(encoding="utf-8").splitlines()[5])
    text = "On Friday, officials said: " + twin["text"]
    rewrite(
        place / "rows.jsonl",
        lambda lines: [*lines, twin | {"text": text, "id": statement_id(text)}],
    )
    assert run(*asked(rival, "--trained-on", train, "--dry-run")) == 1
    assert "expected no statement that shares 8 words in a row" in capsys.readouterr().err
    assert run(*asked(rival, "--dry-run")) == 0
    assert (
        "of what rival was trained on were looked for among 0 of 48 statements"
        in capsys.readouterr().err
    )


def test_a_wrong_gates_file_is_named(place, rival, capsys):
    (place / "gates.toml").write_text("[fast]\nmacro_f1 = 'high'\n")
    assert run(*asked(rival)) == 1
    assert "gates.toml, line 2: [fast] macro_f1: expected" in capsys.readouterr().err


def other_version(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"features": "of another time"}))


def test_a_champion_that_no_longer_loads_cannot_be_compared_with(place, rival, capsys):
    other_version(place / "models" / "small")
    before = files(place)
    assert run(*asked(rival)) == 1
    err = capsys.readouterr().err
    assert (
        "the champion cannot be compared with: models/small: trained with features of another time"
        in err
    )
    assert "--limits-only" in err
    assert files(place) == before
    assert run(*asked(rival, "--limits-only")) == 0
    assert "only the limits are applied" in capsys.readouterr().err
    assert standing().champion == "rival"
    assert "Only the limits were applied" in (place / "models" / "CHANGELOG.md").read_text()
    with pytest.raises(artifact.ArtifactVersion):  # nobody wants it back
        rollback()
    assert standing().champion == "rival"


@pytest.mark.parametrize(
    ("challenger", "code", "found"),
    [
        ("nowhere", 2, "expected the folder of a model, the id of an MLflow run"),
        ("models", 1, "expected a file of the model, found none"),
        ("models/small", 1, "expected a challenger, found the champion small itself"),
        ("models:/tension-escalation@challenger", 1, "in the registry, found none"),
        ("0" * 32, 1, "expected a run 0000"),
    ],
)
def test_what_is_no_challenger_is_named(place, capsys, challenger, code, found):
    before = files(place)
    assert run(*asked(challenger)) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert found in err
    assert files(place) == before


def test_a_run_that_died_is_no_challenger(place, capsys):
    with pytest.raises(RuntimeError), open_run("dies") as tracked:
        raise RuntimeError
    assert run(*asked(tracked.id)) == 1
    assert (
        "(failed): expected the model that a finished run leaves, found none"
        in capsys.readouterr().err
    )


def test_another_model_of_the_same_version_is_refused(place, rival, capsys):
    shutil.copytree(place / "models" / "small", place / "models" / "rival")
    assert run(*asked(rival)) == 1
    assert "models/rival: expected no other model of version rival" in capsys.readouterr().err


def test_without_a_champion_only_limits_can_be_applied(place, rival, capsys):
    (place / "models" / "CHAMPION").unlink()
    assert run(*asked(rival)) == 1
    assert (
        "models/CHAMPION: expected the name of the champion, found none" in capsys.readouterr().err
    )
    assert run(*asked(rival, "--limits-only")) == 0
    assert standing().champion == "rival"
    with pytest.raises(PromotionError, match="before it nothing"):
        rollback()


def test_two_champions_are_refused(place, rival, capsys):
    shutil.copytree(rival, place / "models" / "rival")
    registry.register(rival, "champion")
    assert run(*asked(rival, "--as", "x")) == 1
    assert (
        "expected one champion, found small in models/CHAMPION and rival in the registry"
        in capsys.readouterr().err
    )
    assert run("champion") == 1
    assert "the two do not agree" in capsys.readouterr().err
    assert run("register", rival, "--alias", "champion") == 1
    assert "expected the model that models/CHAMPION names (small)" in capsys.readouterr().err
    assert run("register", "models/small", "--alias", "champion") == 0
    assert run("champion", "--json") == 0
    assert json.loads(capsys.readouterr().out.partition("\n")[2])["agree"]


def test_without_the_behaviour_cases_their_gates_refuse(place, rival, capsys):
    shutil.rmtree(place / "tests")
    (place / "README.md").unlink()
    assert run(*asked(rival)) == 1
    assert "expected the behaviour cases in" in capsys.readouterr().err
    lines = LENIENT.splitlines(keepends=True)
    (place / "gates.toml").write_text(
        "".join(line for line in lines if not line.startswith(("beh", "past")))
    )
    assert run(*asked(rival)) == 0
    assert "neither asked nor written down" in capsys.readouterr().err
    assert not (place / "tests").exists()


def test_a_past_miss_that_was_taken_out_refuses(place, rival, capsys):
    (place / "tests" / "model" / "cases" / "past_misses_lock.txt").write_text(
        "1\n0123456789abcdef\n"
    )
    before = files(place)
    assert run(*asked(rival)) == 1
    assert "past_misses.jsonl: expected all 1 misses" in capsys.readouterr().err
    assert files(place) == before


def test_a_locked_store_promotes_nothing(place, rival, capsys, monkeypatch):
    monkeypatch.setattr("training.tracking.store.SQLITE_PATIENCE", 0.1)
    before = files(place)
    with closing(sqlite3.connect(place / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert run(*asked(rival)) == 1
        assert run(*asked(rival, "--champion", "models/small")) == 1  # asks the registry late
        assert run("rollback", "--to", "small") == 1
    assert capsys.readouterr().err.count("database is locked") == 2
    assert files(place) == before


def test_a_server_that_does_not_answer_promotes_nothing(place, rival, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = files(place)
    assert run(*asked(rival)) == 1
    assert "http://127.0.0.1:9: expected an MLflow store that answers" in capsys.readouterr().err
    assert files(place) == before


def test_models_that_cannot_be_written_or_are_not_there_are_named(place, rival, capsys):
    assert run(*asked(rival, "--models", "nowhere")) == 1
    assert "nowhere: expected a folder of models that can be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["promote"], "expected CHALLENGER and --data, or --finish"),
        (["promote", "x"], "expected CHALLENGER and --data"),
        (["promote", "x", "--finish"], "expected --finish alone"),
        (["register"], "Missing argument"),
    ],
)
def test_wrong_usage_is_said(place, arguments, found, capsys):
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert found in err


# --- back ---


def test_rolled_back_is_as_before(place, rival, capsys):
    before = files(place)
    assert run(*asked(rival)) == 0
    shipped = files(place)
    capsys.readouterr()
    assert run("rollback", "--why", "It was worse in feeds.") == 0
    assert capsys.readouterr().out == "models/small\n"
    after = files(place)
    assert after["models/CHAMPION"] == b"small\n"
    log = after["models/CHANGELOG.md"].decode()
    assert "## Back to small, " in log
    assert "From rival. It was worse in feeds." in log
    assert {
        name for name in before if name.startswith("models/small/") and before[name] != after[name]
    } == set()
    assert {
        name
        for name in shipped
        if name.startswith("models/rival/") and shipped[name] != after[name]
    } == set()
    assert known_failures("fast", place / "tests" / "model" / "cases")[0] == "small"
    assert standing()._replace(registry="") == ("small", "", "small", None, None, True)
    with pytest.raises(PromotionError, match="small, before it nothing"):
        rollback()
    assert rollback(to="rival") == Path("models/rival")
    assert standing().champion == "rival"


def test_what_cannot_be_gone_back_to_is_named(place, rival):
    with pytest.raises(
        PromotionError, match=r"to know what was champion before small, found no champion"
    ):
        rollback()
    with pytest.raises(PromotionError, match="expected another champion than small"):
        rollback(to="small")
    with pytest.raises(
        PromotionError, match=r"models/9.9: expected the version .* that is there: small"
    ):
        rollback(to="9.9")


def test_who_is_champion_is_told(place, capsys):
    assert run("champion") == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "models/CHAMPION: small"
    assert "the registry has no champion" in err
    assert run("register", "models/small", "--alias", "champion") == 0
    assert run("champion") == 0
    assert "tension-escalation@champion" in capsys.readouterr().out


def test_what_does_not_load_is_no_challenger(place, rival, capsys):
    broken = shutil.copytree(rival, place / "broken")
    (broken / "model.skops").write_bytes(b"x")
    assert run("register", broken) == 1
    assert "cut short" in capsys.readouterr().err
    assert registry.versions() == []
    with pytest.raises(ArtifactMissing):
        promote.register(place / "nowhere")


# --- killed ---


@pytest.fixture(scope="module")
def deaths(trained, rival, migrated, tmp_path_factory):
    """What is there after each death, and once the next one has mended it."""
    root = tmp_path_factory.mktemp("killed")
    with pytest.MonkeyPatch.context() as patch:
        (root / "place").mkdir()
        shutil.copy(migrated, root / "place" / "mlflow.db")
        patch.chdir(root / "place")
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/place/mlflow.db")
        patch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
        champion = with_encoder(made(root / "place", trained) / "models" / "small")
        registry.register(champion, "champion")
    challenger = with_encoder(shutil.copytree(rival, root / "rival"))  # which comes to be shared
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", KILLER, root / "place", challenger, root / "scratch"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_killer_saw_every_kind_of_step(deaths):
    steps = [death["step"] for death in deaths["deaths"]]
    assert all(death["code"] == -9 for death in deaths["deaths"])
    for part in (
        "os.mkdir",
        "journal.json",
        "models/rival",
        "models/CHAMPION",
        "CHANGELOG.md",
        "README.md",
        "golden_rival.json",
        "encoder.onnx",
        "tokenizer.json",
    ):
        assert any(part in step for step in steps), part
    for call in ("create_model_version", "set_model_version_tag", "set_registered_model_alias"):
        assert f"registry {call}" in steps
    assert steps.index("registry set_registered_model_alias") > max(
        at for at, step in enumerate(steps) if step.endswith("models/CHAMPION -1 -1")
    )
    assert deaths["before"]["crowned"] == ["small", None]
    assert deaths["after"]["crowned"] == ["rival", "small"]
    assert "models/rival/manifest.json" in deaths["after"]["files"]
    assert "models/rival/encoder.onnx" not in deaths["after"]["files"]


def test_after_any_death_the_next_one_finds_or_makes_a_whole_state(deaths):
    ends = []
    for death in deaths["deaths"]:
        loads = death["mended"].pop("loads")
        assert loads in ("small", "rival")
        assert death["mended"] in (deaths["before"], deaths["after"]), death["step"]
        ends.append((loads, death["mended"] == deaths["after"]))
    # Until the journal is there the old state is left, then the new one; nothing turns back.
    assert ends == sorted(ends, key=lambda end: (end[1], end[0] == "rival"))
    assert {end for _, end in ends} == {False, True}
    assert ("small", True) in ends  # killed between the journal and CHAMPION


KILL = """
import os, signal, sys
from training import cli

def at_the_champion(event, args):
    if event == "os.rename" and str(args[1]).endswith("models/CHAMPION"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(at_the_champion)
cli.run(sys.argv[1:])
"""


def test_the_command_killed_is_finished_by_the_next_one(place, rival, capsys):
    registry.register(place / "models" / "small", "champion")
    command = [sys.executable, "-W", "ignore", "-c", KILL, *map(str, asked(rival))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    assert (place / "models" / "CHAMPION").read_text() == "small\n"
    assert standing().pending == "rival"
    assert run("champion") == 0  # small, in both
    assert "half done: rival (tension-train promote --finish)" in capsys.readouterr().out
    assert run(*asked(rival, "--dry-run")) == 1
    assert "expected nothing half done, found the promotion of rival" in capsys.readouterr().err
    assert run("rollback") == 0
    out, err = capsys.readouterr()
    assert "finishing the promotion of rival, which was interrupted" in err
    assert out == "models/small\n"
    assert standing()._replace(registry="") == ("small", "", "small", None, None, True)


def test_an_alias_that_cannot_be_moved_is_moved_later(place, rival, capsys, monkeypatch):
    monkeypatch.setattr("training.tracking.store.SQLITE_PATIENCE", 0.1)

    def while_locked(said):
        with closing(sqlite3.connect(place / "mlflow.db")) as other:
            other.execute("BEGIN EXCLUSIVE")
            crown(said)

    monkeypatch.setattr("training.release.crown", while_locked)
    with pytest.raises(ShippingError, match=r"names rival now, but its alias .* locked.* --finish"):
        promote.promote(str(rival), [place / "rows.jsonl"], gates_file=place / "gates.toml")
    assert standing()._replace(registry="") == ("rival", "", None, None, "rival", False)
    monkeypatch.setenv("TENSION_REGISTERED_MODEL", "other")
    assert run("promote", "--finish") == 1
    assert "expected the registry that the promotion began with" in capsys.readouterr().err
    monkeypatch.delenv("TENSION_REGISTERED_MODEL")
    assert run("promote", "--finish") == 0
    assert standing()._replace(registry="") == ("rival", "", "rival", None, None, True)
    assert run("promote", "--finish") == 0
    assert "nothing was half done" in capsys.readouterr().err


def test_an_interrupt_on_the_way_does_not_say_that_nothing_was_done(
    place, rival, capsys, monkeypatch
):
    def interrupted(said):
        raise KeyboardInterrupt

    monkeypatch.setattr("training.release.crown", interrupted)
    assert run(*asked(rival)) == 1
    assert "interrupted while rival was moved into place" in capsys.readouterr().err
    assert run("promote", "--finish") == 0
    assert standing().agree
