import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import mlflow
import numpy as np
import pytest

from scoring.errors import UsageError
from training import cli
from training.commands import params_of
from training.dataset import DataError
from training.pipeline import OWN, Params
from training.tune import (
    OBJECTIVES,
    RISK,
    SpaceError,
    StudyError,
    as_arguments,
    judge,
    read_space,
    searched,
    tune,
)

MACRO = OBJECTIVES["macro_f1"]
SMALL = ["--param", "level_bits=10", "--param", "role_bits=8", "--seed", "3"]
STARTUP, TRIALS = 3, 5  # two beyond those at random: the estimator is asked too


# --- what is searched ---


def test_the_space_holds_the_defaults_and_each_range_has_its_occasion(statements):
    space = read_space()
    everything = searched(space, statements, OBJECTIVES["triples.f1"], Params(), (), True)
    assert {"level_c", "balance", "soft_weight", "role_c", "dyad_at_least"} <= set(everything)
    some = statements.assign(unsure=[True] + [False] * (len(statements) - 1))
    some.loc[1, "pool"] = OWN
    assert set(searched(space, statements, MACRO, Params(), (), False)) == {
        "level_c",
        "balance",
    } | ({"unsure_weight"} if statements["unsure"].any() else set())
    assert set(searched(space, some, MACRO, Params(), ["balance"], False)) == {
        "level_c",
        "unsure_weight",
        "own_weight",
    }


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "found none"),
        ("[level_c", "expected a TOML file"),
        ("[depth]\nlow = 1\nhigh = 2", "found depth"),
        ("[head_c]\nlow = 1\nhigh = 2", "accurate tier's"),
        ("[level_c]\nlow = 1", "expected low and high"),
        ("[level_c]\nlow = 1\nhigh = 2\nstep = 1", "expected low and high"),
        ("[level_c]\nlow = 2\nhigh = 1", "found 2 and 1"),
        ("[level_c]\nlow = 0\nhigh = 1\nlog = true", "0 < low < high"),
        ("[level_c]\nlow = -1\nhigh = 1", "0 <= low < high"),
        ("[level_c]\nlow = 1\nhigh = inf", "to be numbers"),
        ("[level_c]\nlow = 'a'\nhigh = 1", "to be numbers"),
        ("[level_c]\nlow = 1\nhigh = 2\nwhen = 'never'", "found False and 'never'"),
        ("level_c = 3", "expected low and high"),
    ],
)
def test_a_wrong_space_is_named(text, found, tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(SpaceError, match=r"space\.toml") as error:
        read_space(path)
    assert found in str(error.value)


def test_a_range_without_the_default_and_a_search_of_nothing_are_refused(statements):
    space = read_space()
    with pytest.raises(UsageError, match="nothing left"):
        searched({"own_weight": space["own_weight"]}, statements, MACRO, Params(), (), False)
    with pytest.raises(SpaceError, match=r"\[level_c\]: .* default 500"):
        searched(space, statements, MACRO, Params(level_c=500), (), False)


# --- is the best better ---


def of_levels(truth, level):
    return {"confusion": np.eye(4)[truth][:, :, None] * np.eye(4)[level][:, None, :]}


def test_the_defaults_alone_and_trials_that_say_the_same_are_no_better():
    truth = np.arange(40) % 4
    right = of_levels(truth, truth)
    for tried in ([right], [right, right, of_levels(truth, (truth + 1) % 4)]):
        found = judge(tried, MACRO)
        assert (found.best, found.gain, found.better) == (0, 0, False)


def test_a_trial_that_is_much_better_is_found_and_bounded():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=300)
    tried = [
        of_levels(truth, np.where(rng.random(300) < right, truth, rng.integers(4, size=300)))
        for right in (0.5, 0.5, 0.8, 0.4)
    ]
    found = judge(tried, MACRO)
    assert found.best == 2
    assert found.better
    assert 0 < found.at_least < found.gain
    assert found.naive <= found.p_value < RISK
    assert judge(tried, MACRO) == found


def test_less_is_better_where_it_is():
    rng = np.random.default_rng(0)
    truth = rng.integers(4, size=300)
    same = of_levels(truth, truth)
    loss = rng.exponential(size=300)
    tried = [same | {"log_loss": loss}, same | {"log_loss": loss * rng.uniform(0.7, 0.9, 300)}]
    found = judge(tried, OBJECTIVES["log_loss"])
    assert (found.best, found.better) == (1, True)
    assert judge(tried[::-1], OBJECTIVES["log_loss"]).best == 0


def test_a_search_in_which_nothing_is_better_seldom_says_so():
    """Every point is as good as every other; what the search climbs is noise, and it climbs it."""

    def search(seed, n=250, trials=12):
        rng = np.random.default_rng(seed)
        truth = rng.choice(4, size=n, p=[0.5, 0.2, 0.15, 0.15])
        base = rng.normal(size=(n, 4)) + 1.8 * np.eye(4)[truth]
        waves = 0.6 * rng.normal(size=(4, n, 4))

        def at(x):
            turns = np.array([np.cos(x[0]), np.sin(x[0]), np.cos(x[1]), np.sin(x[1])])
            return of_levels(truth, (base + np.tensordot(turns, waves, 1)).argmax(axis=1))

        points, tried = [np.zeros(2)], [at(np.zeros(2))]
        while len(tried) < trials:
            values = [MACRO.of(rows_of, np.ones((1, n)))[0] for rows_of in tried]
            near = points[int(np.argmax(values))] + rng.normal(scale=0.4, size=2)
            points.append(near if len(tried) > 5 else rng.uniform(-3, 3, size=2))
            tried.append(at(points[-1]))
        return judge(tried, MACRO, seed, resamples=200)

    found = [search(seed) for seed in range(100)]
    assert (
        sum(one.better for one in found) <= 10
    )  # 5 are expected at most, 11 in one case of a hundred
    assert sum(one.naive < RISK for one in found) > 15, "the simulation gives no cause to be misled"


# --- the search ---


@pytest.fixture(scope="module")
def data(trained):
    return trained[0] / "train.jsonl"


def children(run):
    client = mlflow.MlflowClient()
    experiment = client.get_run(run).info.experiment_id
    found = client.search_runs(
        [experiment], f"tags.`mlflow.parentRunId` = '{run}'", order_by=["attributes.start_time ASC"]
    )
    return list(found)


def statuses(path, query):
    """Ask a store that another process may be making."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            return sorted(status for (status,) in store.execute(query))
    except sqlite3.Error:
        return []


def test_a_search_that_was_killed_goes_on_and_gives_the_same(store, data, monkeypatch):
    monkeypatch.setattr("training.tune._STARTUP", STARTUP)
    whole = tune(
        [data],
        trials=TRIALS,
        seed=3,
        params=Params(level_bits=10, role_bits=8),
        fixed=["level_bits", "role_bits"],
        study=store / "whole.db",
    )
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    command = ["tune", "--data", str(data), "--trials", str(TRIALS), *SMALL]
    code = "import sys; from training.cli import run; sys.exit(run(sys.argv[1:]))"
    killed = subprocess.Popen(
        [sys.executable, "-c", code, *command],
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    try:
        ours = "select status from runs where name like 'trial%' and experiment_id = 2"
        for _ in range(6000):
            trials = statuses(store / "tune.db", "select state from trials")
            runs = statuses(store / "mlflow.db", ours)
            if trials[-1:] == ["RUNNING"] and len(trials) > 1 and "RUNNING" in runs:
                break
            assert killed.poll() is None, killed.stderr.read()
            time.sleep(0.01)
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
        killed.stderr.close()
    before = statuses(store / "tune.db", "select state from trials")
    assert before.count("RUNNING") == 1
    assert len(before) <= STARTUP, "killed too late to be comparable"

    assert cli.run([*command, "--json"]) == 0
    [parent] = mlflow.search_runs(
        experiment_names=["other"],
        output_format="list",
        filter_string="attributes.run_name = 'tune macro_f1'",
    )
    ended = [child.info.status for child in children(parent.info.run_id)]
    assert ended.count("KILLED") == 1
    assert ended.count("FINISHED") == TRIALS
    assert parent.info.status == "FINISHED"
    resumed = tune(
        [data],
        trials=TRIALS,
        seed=3,
        params=Params(level_bits=10, role_bits=8),
        fixed=["level_bits", "role_bits"],
    )
    assert resumed.run == parent.info.run_id
    assert len(children(resumed.run)) == TRIALS + 1, "a search that is done runs nothing again"
    assert [(one.params, one.value) for one in resumed.tried] == [
        (one.params, one.value) for one in whole.tried
    ]
    assert len({str(one.params) for one in whole.tried}) == TRIALS
    assert resumed.verdict == whole.verdict


def test_the_first_trial_is_the_defaults_measured_as_training_does(store, trained, data, capsys):
    _, outcome = trained
    command = ["tune", "--data", str(data), "--trials", "9", "--minutes", "0"]
    assert cli.run([*command, "--param", "level_bits=12", "--param", "role_bits=12"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("--param level_bits=12 --param role_bits=12 --param level_c=20.0 ")
    assert params_of(out.replace("--param", "").split()) == Params(level_bits=12, role_bits=12)
    measured = outcome.metrics["cv"]["macro_f1"]
    assert f"macro_f1 {measured:.4f}" in err
    assert "Out of time after 1 of 9 trials" in err
    assert not (store / "tune.db.lock").exists()
    [parent] = mlflow.search_runs(
        output_format="list", search_all_experiments=True, filter_string="tags.better = 'False'"
    )
    assert parent.data.params["level_bits"] == "12"
    assert {"git.commit", "git.clean", "train.digest"} <= set(parent.data.tags)
    assert parent.inputs.dataset_inputs[0].dataset.name == "train"
    [child] = children(parent.info.run_id)
    assert child.data.params["level_c"] == "20.0"
    figures = child.data.metrics
    assert figures["cv.macro_f1"] == measured
    folds = [figures[f"fold.{k}.macro_f1"] for k in range(5)]
    assert figures["folds.macro_f1.mean"] == pytest.approx(np.mean(folds))
    assert figures["folds.macro_f1.std"] == pytest.approx(np.std(folds, ddof=1))
    assert figures["cv.triples.f1"] == outcome.metrics["cv"]["triples.f1"]
    assert "cv.log_loss" not in figures  # not calibrated, so not told

    assert (
        cli.run(
            [
                *command,
                "--metric",
                "log_loss",
                "--json",
                "--param",
                "level_bits=12",
                "--param",
                "role_bits=12",
            ]
        )
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["value"] == pytest.approx(outcome.metrics["cv"]["log_loss"])
    assert told["better"] is False
    assert [one["trial"] for one in told["trials"]] == [0]


def test_another_search_at_work_and_a_file_that_is_no_study_are_named(store, data):
    fcntl = pytest.importorskip("fcntl")
    with (store / "tune.db.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StudyError, match=r"tune\.db: expected no other search"):
            tune([data], trials=1)
    (store / "notes.txt").write_text("These are notes. " * 100)
    with pytest.raises(StudyError, match=r"notes\.txt: expected a file of Optuna's studies"):
        tune([data], trials=1, study=store / "notes.txt")
    with pytest.raises(StudyError, match="nowhere"):
        tune([data], trials=1, study=store / "nowhere" / "tune.db")


def test_data_that_cannot_be_searched_on_are_refused(store, statements, tmp_path):
    def written(rows):
        path = tmp_path / "rows.jsonl"
        rows = rows.drop(columns="place").to_dict("records")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return [path]

    for rows in (statements[statements["level"] == "protest"], statements.head(3)):
        with pytest.raises(DataError, match="at least 5 statements of every level"):
            tune(written(rows), trials=1)
    with pytest.raises(DataError, match="expected one labelled statement a line, found none"):
        tune(written(statements.head(0)), trials=1)
    with pytest.raises(DataError, match="the level to be the highest of the dyads"):
        tune(written(statements.assign(level="none")), trials=1)
    assert not (store / "tune.db").exists()


@pytest.mark.parametrize(
    ("extra", "code", "found"),
    [
        (["--metric", "f1"], 2, "expected a figure of macro_f1"),
        (["--trials", "0"], 2, "--trials"),
        (["--param", "depth=3"], 2, "found 'depth=3'"),
        (["--space", "nowhere.toml"], 1, "nowhere.toml: expected a TOML file"),
        (
            ["--param", "level_c=3", "--param", "balance=1", "--param", "unsure_weight=1"],
            2,
            "nothing left",
        ),
    ],
)
def test_errors_are_one_line_with_their_exit_code(extra, code, found, store, data, capsys):
    assert cli.run(["tune", "--data", str(data), *extra]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert found in err
    assert err.count("\n") == 1


def test_parameters_are_written_as_arguments():
    assert (
        as_arguments({"level_c": 3.5, "balance": 1.0}) == "--param level_c=3.5 --param balance=1.0"
    )
