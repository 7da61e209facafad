import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModelContext
from typer.testing import CliRunner

from scoring import artifact, cli
from scoring.articles import MOST_CHARACTERS
from scoring.batch import plain_rows
from scoring.records import RECORD_COLUMNS
from scoring.scorer import Scorer, load
from training.served import Served, signature

TABLE = pd.DataFrame(
    {
        "article_id": ["a", "b", "c", "a"],
        "title": ["Moscow warns Seoul", None, None, None],
        "text": [
            "Russia will retaliate if South Korea arms Ukraine, Lavrov said. The ministry summoned the envoy.",
            None,
            "Tokyo protested to Beijing. “Nothing else,” said Oslo – and Bern agreed.",
            "Rome and Paris met.",
        ],
        "published": ["2024-06-21T08:00:00+02:00", None, None, "Mon, 01 Jan 2024 10:00:00 GMT"],
    },
    dtype=object,
)
PATIENCE = 90  # seconds for a server to start on a busy machine


@pytest.fixture(scope="module")
def stored(trained):
    """Point MLflow to the store of the training run: URI of the served model, environment, model folder."""
    folder, outcome = trained
    store = f"sqlite:///{folder}/mlflow.db"
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(store)
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = os.environ | {
        "MLFLOW_TRACKING_URI": store,
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PATH": path,
    }
    yield outcome.served, environment, outcome.folder
    mlflow.set_tracking_uri(before)


@pytest.fixture(scope="module")
def scorer(trained):
    return load(trained[1].folder)


@pytest.fixture(scope="module")
def expected(scorer):
    """What the local scorer answers to the table."""
    named = {name: name for name in TABLE.columns}
    return plain_rows(scorer.score_frame(TABLE, **named))


def flat(records):
    """Put the records of all rows into one list, keys in the order of the record."""
    return [{name: record[name] for name in RECORD_COLUMNS} for row in records for record in row]


def loaded(folder):
    model = Served()
    model.load_context(PythonModelContext({"model": str(folder)}, None))
    return model


# --- mlflow.pyfunc.load_model ---


def test_a_loaded_model_answers_as_the_local_scorer(stored, expected):
    served = mlflow.pyfunc.load_model(stored[0])
    table = TABLE.set_axis([7, 7, 1, 0])
    answer = served.predict(table)
    assert list(answer.columns) == ["article_id", "records"]
    assert answer.index.tolist() == [7, 7, 1, 0]
    assert answer["article_id"].tolist() == ["a", "b", "c", "a"]
    assert [len(row) for row in answer["records"]] == [3, 1, 2, 1]
    assert flat(answer["records"]) == expected
    assert list(answer["records"].iloc[0][0]) == list(RECORD_COLUMNS)
    assert {record["model"] for record in expected} == {"small"}


def test_whole_statements_are_not_split(stored, scorer):
    served = mlflow.pyfunc.load_model(stored[0])
    texts = TABLE["text"].dropna().tolist()
    ids = [str(number) for number, _ in enumerate(texts, 1)]
    answer = served.predict(
        pd.DataFrame({"text": texts, "article_id": ids}), params={"whole": True}
    )
    assert flat(answer["records"]) == plain_rows(scorer.score_lines(texts))


def test_signature_and_example_say_what_goes_in_and_comes_out(stored):
    served = mlflow.pyfunc.load_model(stored[0])
    assert served.metadata.signature == signature()
    inputs = served.metadata.get_input_schema()
    assert inputs.required_input_names() == ["text"]
    assert set(inputs.optional_input_names()) >= {"title", "published", "article_id"}
    [row] = served.predict(served.input_example)["records"]
    assert row[0]["text"] == served.input_example["text"].iloc[0]
    assert row[0]["published"] == "2026-01-15T09:00:00Z"
    output = served.metadata.get_output_schema().to_dict()[1]["items"]["properties"]
    assert set(output) == set(RECORD_COLUMNS) == set(row[0])


def test_nothing_is_unpickled_and_the_model_brings_its_code(stored, expected, tmp_path):
    uri, environment, _ = stored
    TABLE.to_json(tmp_path / "table.json", orient="records")
    code = f"""
import json, sys
import mlflow, pandas, sklearn.pipeline, skops.io

def no_pickle(event, arguments):
    if event == "pickle.find_class":
        raise RuntimeError(f"unpickled {{arguments}}")

sys.addaudithook(no_pickle)
table = pandas.DataFrame(json.load(open("table.json")), dtype=object)
answer = mlflow.pyfunc.load_model({uri!r}).predict(table)
import scoring
print(json.dumps([scoring.__file__, *answer["records"]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    home, *records = json.loads(done.stdout)
    assert flat(records) == expected
    assert Path(home).parts[-3:] == ("code", "scoring", "__init__.py")


def test_a_damaged_model_is_refused_with_its_reason(stored, tmp_path):
    shutil.copytree(stored[2], tmp_path / "model")
    with (tmp_path / "model" / artifact.MODEL_FILE).open("ab") as file:
        file.write(b" ")
    with pytest.raises(MlflowException, match="expected SHA-256"):
        loaded(tmp_path / "model")


# --- what goes in ---


def test_answers_are_those_of_the_command_also_without_ids(stored, tmp_path):
    rows = [
        {"text": " Moscow warned Seoul. ", "publisher": "agency", "url": "https://example.org/1"},
        {"title": "Seoul protests", "text": None, "published": 1_700_000_000},
        {"title": "Bern", "text": "Bern accused Oslo of lying.", "published": "2024-01-01"},
    ]
    file = tmp_path / "articles.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = ["score", "--all", "--format", "jsonl", "--model", str(stored[2]), str(file)]
    done = CliRunner().invoke(cli.app, command)
    assert done.exit_code == 0, done.output
    said = [json.loads(line) for line in done.stdout.splitlines()]
    served = mlflow.pyfunc.load_model(stored[0])
    answer = served.predict(pd.DataFrame(rows).astype(object))
    assert flat(answer["records"]) == said


def test_moments_are_taken_in_every_form_but_as_a_column_of_times(stored):
    moment = pd.Timestamp("2024-06-21T06:00:00Z")
    forms = [moment, moment.timestamp(), str(moment), "2024-06-21T08:00:00+02:00", None, "NaT"]
    table = pd.DataFrame({"text": "Oslo met Bern.", "published": pd.Series(forms, dtype=object)})
    served = mlflow.pyfunc.load_model(stored[0])
    answer = flat(served.predict(table)["records"])
    expected = ["2024-06-21T06:00:00Z"] * 4 + [None, None]
    assert [record["published"] for record in answer] == expected
    column = table.assign(published=pd.Series([moment, pd.NaT] * 3))
    with pytest.raises(MlflowException, match="Incompatible input types for column published"):
        served.predict(column)
    answer = flat(served.predict(column.astype({"published": str}))["records"])
    assert [record["published"] for record in answer] == [expected[0], None] * 3


@pytest.mark.parametrize(
    ("table", "params", "found"),
    [
        ({"text": [["x"]]}, {}, r"row 0: expected text or null as 'text', found list"),
        ({"text": ["x"], "title": [["y"]]}, {}, r"as 'title', found list"),
        ({"text": [5]}, {}, "Incompatible input types for column text"),
        ({"body": ["x"]}, {}, r"missing inputs \['text'\]"),
        ({"text": ["x"]}, {"tier": "best"}, r"expected a tier \(fast, accurate\), found 'best'"),
        ({"text": ["x"]}, {"tier": "accurate"}, "expected a model with an encoder, found none"),
        ({"text": ["x"]}, {"whole": "yes"}, "Invalid parameters found: .*whole"),
        ({"text": ["x"], "title": ["y"]}, {"whole": True}, "row 0: expected no title"),
    ],
)
def test_what_cannot_be_scored_is_refused(stored, table, params, found):
    served = mlflow.pyfunc.load_model(stored[0])
    with pytest.raises(MlflowException, match=found):
        served.predict(pd.DataFrame(table), params=params)


def test_no_rows_give_none_and_long_ones_are_cut(stored):
    model = loaded(stored[2])
    empty = model.predict(None, TABLE.iloc[:0])
    assert list(empty.columns) == ["article_id", "records"]
    assert len(empty) == 0
    long = pd.DataFrame({"text": ["Oslo met Bern." + "." * MOST_CHARACTERS]})
    records = model.predict(None, long)["records"][0]
    assert records[0]["note"] == f"cut at {MOST_CHARACTERS:,} characters"


def test_the_accurate_tier_answers_as_the_local_one_from_many_threads():
    pytest.importorskip("onnxruntime", reason="no onnxruntime: the accurate tier cannot run")
    folder = artifact.shipped_folder()
    model = artifact.load(folder)
    if model.accurate is None:
        pytest.skip("the shipped model has no encoder")
    served = loaded(folder)
    named = {name: name for name in TABLE.columns}
    local = plain_rows(Scorer(model, "accurate").score_frame(TABLE, **named))
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda _: served.predict(None, TABLE, {"tier": "accurate"}), range(4))
        )
    for answer in answers:
        assert flat(answer["records"]) == local
    assert all(record["model"].endswith("+accurate") for record in local)


# --- mlflow models serve ---


@contextmanager
def server(uri, environment, log):
    """Run ``mlflow models serve`` on loopback until the block is left; gives its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["mlflow", "models", "serve", "-m", uri, "--env-manager", "local"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "-h", "127.0.0.1", "-p", str(port)],
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            wait_for(port, process, log)
            yield port
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_for(port, process, log):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if ask(port, "GET", "/ping")[0] == 200:
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the server did not start: {log.read_text()}")


def ask(port, method, path, body=None, kind="application/json"):
    """Send a request and give status and what was said."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or "null") if body else None


def post(port, body):
    return ask(port, "POST", "/invocations", json.dumps(body))


@pytest.mark.slow
def test_a_server_answers_as_the_local_scorer(stored, expected, scorer, tmp_path):
    uri, environment, _ = stored
    rows = TABLE.to_dict("records")
    with server(uri, environment, tmp_path / "log.txt") as port:
        status, answer = post(port, {"dataframe_records": rows, "params": {"tier": "fast"}})
        split = {"columns": ["text"], "data": [["Moscow warned Seoul. Oslo waits."]]}
        _, whole = post(port, {"dataframe_split": split, "params": {"whole": True}})
        table = TABLE.to_csv(index=False)
        csv, read = ask(port, "POST", "/invocations", table.encode(), "text/csv")
        refused, why = post(port, {"dataframe_records": rows, "params": {"tier": "accurate"}})
    assert (status, csv) == (200, 200)
    assert read == answer
    assert [row["article_id"] for row in answer["predictions"]] == ["a", "b", "c", "a"]
    assert flat(row["records"] for row in answer["predictions"]) == expected
    [alone] = plain_rows(scorer.score_lines(split["data"][0]))
    [row] = whole["predictions"]
    assert row["records"] == [alone | {"article_id": row["article_id"]}]
    assert refused == 400
    assert "expected a model with an encoder" in why["message"]


# --- mlflow.pyfunc.spark_udf ---


@pytest.fixture(scope="module")
def spark():
    session = pytest.importorskip("pyspark.sql", reason="no pyspark").SparkSession
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        pytest.skip("no Java for Spark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        settings = {
            "spark.ui.enabled": "false",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.sql.shuffle.partitions": "1",
            "spark.sql.session.timeZone": "UTC",
        }
        made = session.builder.master("local[1]").config(map=settings).getOrCreate()
        yield made
        made.stop()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
def test_spark_answers_as_the_local_scorer(stored, expected, spark):
    from pyspark.sql import functions as F  # noqa: N812

    kinds = ", ".join(f"{name} string" for name in TABLE.columns)
    table = spark.createDataFrame(TABLE.to_numpy().tolist(), kinds)
    udf = mlflow.pyfunc.spark_udf(spark, stored[0], env_manager="local", params={"tier": "fast"})
    answer = table.select(udf(F.struct(*TABLE.columns)).alias("answer")).select("answer.*")
    rows = [row.asDict(recursive=True) for row in answer.collect()]
    assert [row["article_id"] for row in rows] == ["a", "b", "c", "a"]
    assert flat(row["records"] for row in rows) == expected
