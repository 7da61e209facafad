import json
import subprocess
import sys

import pytest

from training import cli


def test_run_trains_saves_and_prints(store, trained, capsys):
    folder, _ = trained
    code = cli.run(
        f"run --data {folder}/train.jsonl --dev {folder}/dev.jsonl --out {store}/versions "
        "--version v1 --seed 3 --param level_bits=10 --param role_bits=10".split()
    )
    out, err = capsys.readouterr()
    assert code == 0
    assert out.rstrip().endswith(str(store / "versions" / "v1"))
    assert "macro_f1" in out
    assert "cv: 48 statements" in out
    assert "dev: 15 statements" in out
    assert "MLflow run" in err
    saved = {path.name for path in (store / "versions" / "v1").iterdir()}
    assert saved == {"model.skops", "manifest.json", "metrics.json", "card.md"}
    manifest = json.loads((store / "versions" / "v1" / "manifest.json").read_text())
    assert manifest["seed"] == 3
    assert manifest["params"]["level_bits"] == 10
    assert [path.name for path in (store / "versions").iterdir()] == ["v1"]


def test_evaluate_gives_the_figures_of_training(trained, capsys):
    folder, outcome = trained
    arguments = ["evaluate", str(outcome.folder), "--data", str(folder / "dev.jsonl")]
    assert cli.run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == outcome.metrics["dev"]
    assert cli.run(arguments) == 0
    assert f"{outcome.metrics['dev']['macro_f1']:.3f}" in capsys.readouterr().out


def test_card_is_written_again(trained, capsys):
    _, outcome = trained
    path = outcome.folder / "card.md"
    before = path.read_text(encoding="utf-8")
    path.write_text("typed by hand", encoding="utf-8")
    assert cli.run(["card", str(outcome.folder)]) == 0
    assert capsys.readouterr().out.strip() == str(path)
    assert path.read_text(encoding="utf-8") == before


@pytest.mark.parametrize(
    ("arguments", "code", "found"),
    [
        (["run"], 2, "Missing option '--data'"),
        (["run", "--data", "x", "--seed", "-1"], 2, "--seed"),
        (["run", "--data", "x", "--param", "depth=3"], 2, "found 'depth=3'"),
        (["run", "--data", "x", "--param", "level_bits=x"], 2, "level_bits to be int, found 'x'"),
        (["train"], 2, "No such command"),
        (["evaluate"], 2, "Missing argument"),
        (["run", "--data", "nowhere.jsonl"], 1, "nowhere.jsonl: expected a readable file"),
        (["evaluate", "nowhere", "--data", "x"], 1, "expected a file of the model, found none"),
        (["card", "nowhere"], 1, "expected a file of a trained model, found none"),
    ],
)
def test_errors_are_one_line_with_their_exit_code(arguments, code, found, capsys, store):
    assert cli.run(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert found in err
    assert err.count("\n") == 1
    assert err.startswith("tension-train: ")


def test_a_version_that_is_there_is_wrong_usage(store, trained, capsys):
    folder, outcome = trained
    code = cli.run(
        f"run --data {folder}/train.jsonl --out {outcome.folder.parent} --version small".split()
    )
    assert code == 2
    assert "expected no model of this version yet" in capsys.readouterr().err


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from training import cli; assert cli.run(['--help']) == 0; "
        "loaded = sorted({'mlflow', 'pandas', 'sklearn'} & set(sys.modules)); "
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in ("run", "evaluate", "card"):
        assert command in done.stdout
