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
    assert "15 statements to evaluate on are few" in err
    assert "MLflow run" in err
    assert "MLflow model models:/m-" in err
    saved = {path.name for path in (store / "versions" / "v1").iterdir()}
    assert saved == {
        "model.skops",
        "manifest.json",
        "metrics.json",
        "card.md",
        "trained_on.txt.gz",
    }
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


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A small corpus of labels beside the news that holds their texts, and an empty folder to be in."""
    from training.dataset import statement_id

    def write(path, rows):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def label(text, pool):
        given = {"id": statement_id(text), "pool": pool, "stratum": "random", "coder": "team"}
        return given | {"level": "none", "dyads": [], "unsure": False}

    trained, held = ("Oslo and Bern met.", "Lost."), "Rome and Paris met."
    fresh = "Lima and Quito met."
    write(tmp_path / "corpus" / "real.jsonl", [label(text, "agency") for text in trained])
    write(tmp_path / "corpus" / "held_out" / "dev.jsonl", [label(held, "agency")])
    write(tmp_path / "corpus" / "base_rates" / "labels.jsonl", [label(fresh, "agency")])
    source = 'name = "x"\nwhat = "x"\nwhere = "https://example.org/[a]"\nlicence = "x"\n'
    (tmp_path / "corpus" / "sources.toml").write_text(f"[agency]\n{source}")
    write(tmp_path / "news" / "1.jsonl", [{"text": f"{trained[0]} {held} {fresh}"}])
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return ["hydrate", "--from", "../news", "--corpus", "../corpus"]


def test_hydrate_joins_labels_with_texts_and_says_what_is_missing(corpus, capsys, tmp_path):
    from training.dataset import read

    assert cli.run([*corpus, "--held-out", "hydrated-dev.jsonl"]) == 0
    out, err = capsys.readouterr()
    assert out.split() == ["hydrated.jsonl", "hydrated-dev.jsonl"]
    written = [tmp_path / "here" / name for name in out.split()]
    assert [list(read([path])["text"]) for path in written] == [
        ["Oslo and Bern met."],
        ["Rome and Paris met."],
    ]
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in err.splitlines()]
    assert ["agency", "2", "1", "https://example.org/[a]"] in cells
    assert ["agency", "1", "1", ""] in cells
    assert ["all", "2", "1", ""] in cells


def test_hydrate_gives_what_nothing_learned_from_a_file_of_its_own(corpus, capsys, tmp_path):
    from training.dataset import read

    assert cli.run([*corpus, "--fresh", "hydrated-fresh.jsonl"]) == 0
    assert capsys.readouterr().out.split() == ["hydrated.jsonl", "hydrated-fresh.jsonl"]
    written = read([tmp_path / "here" / "hydrated-fresh.jsonl"])
    assert list(written["text"]) == ["Lima and Quito met."]


def test_hydrate_goes_on_after_a_bad_file_and_says_so(corpus, capsys, tmp_path):
    (tmp_path / "news" / "0.jsonl").write_text('{"body": 1}\n' * 3)
    assert cli.run(corpus) == 1
    out, err = capsys.readouterr()
    assert out == "hydrated.jsonl\n"
    lines = [line for line in err.splitlines() if line.startswith("tension-train: ")]
    assert "0.jsonl, line 1: expected the key title, text or sentence" in lines[0]
    assert lines[1].endswith("0.jsonl: 2 more problems.")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("extra", "code", "found"),
    [
        (["-o", "../news/1.jsonl"], 2, "expected an output that is no input"),
        (["--held-out", "hydrated.jsonl"], 2, "expected two outputs"),
        (["--held-out", "../corpus/dev.jsonl"], 2, "expected held-out statements outside"),
        (["--fresh", "hydrated.jsonl"], 2, "expected two outputs"),
        (["--fresh", "../corpus/fresh.jsonl"], 2, "expected held-out statements outside"),
        (["--corpus", "../news"], 1, "missing: id, pool, stratum"),
        (["--corpus", "../here"], 1, "expected a folder with *.jsonl files, found none"),
    ],
)
def test_hydrate_refuses_what_would_do_harm(corpus, extra, code, found, capsys, tmp_path):
    assert cli.run([*corpus, *extra]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert found in err
    assert list((tmp_path / "here").iterdir()) == []


def test_hydrate_that_finds_nothing_writes_nothing(corpus, capsys, tmp_path):
    (tmp_path / "news" / "1.jsonl").write_text('{"text": "Something else."}\n')
    assert cli.run(corpus) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "expected texts of labelled statements in the inputs, found none" in err
    assert list((tmp_path / "here").iterdir()) == []


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
        (["run", "--data", "x", "--seed", "-1"], 2, "greater than or equal to 0. See"),
        (["run", "--data", "x", "--param", "depth=3"], 2, "found 'depth=3'"),
        (["run", "--data", "x", "--param", "level_bits=x"], 2, "level_bits to be int, found 'x'"),
        (
            ["run", "--data", "x", "--param", "level_c=-1"],
            2,
            "level_c from 1e-06 to 1e+06, found -1.",
        ),
        (["tune", "--data", "x", "--param", "balance=nan"], 2, "balance from 0 to 10, found nan."),
        (["train"], 2, "No such command"),
        (["hydrate"], 2, "Missing option '--from'"),
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
    for command in ("run", "evaluate", "card", "hydrate"):
        assert command in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--mean", "--mean: expected --onward, found none"),
        ("--keep 0.2", "--keep, --mean: expected --onward"),
        ("--onward e --vocabulary 3000", "--onward: expected neither --vocabulary nor --aside-of"),
    ],
)
def test_options_of_an_encoder_that_do_not_go_together(tmp_path, capsys, options, said):
    command = f"encoder --data none.jsonl -o {tmp_path}/out {options}"
    assert cli.run(command.split()) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")
