import fcntl
import json
import os
import subprocess
import sys

import pytest

from scoring.errors import OutputError
from training import shipping
from training.shipping import Journal, ShippingError


@pytest.fixture
def models(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "CHAMPION").write_text("old\n")
    return folder


def stage_all(stage, models):
    stage.place(models / "CHAMPION").write_text("new\n")
    stage.place(models.parent / "tests" / "golden.json").write_text("{}")
    (stage.place(models / "new")).mkdir()
    (stage.place(models / "new") / "card.md").write_text("card")
    stage.place(models / "not written")


def stage_all_and_more(stage, models):
    stage_all(stage, models)
    stage.place(models.parent.parent / "elsewhere")


def journal(stage):
    return Journal("new", "old", stage.moves(), {"number": "2"})


def test_what_is_staged_is_moved_with_the_champion_last(models):
    said = []
    with shipping.staged(models) as stage:
        stage_all(stage, models)
        shipping.commit(models, journal(stage))
    left = shipping.pending(models)
    assert [to for _, to in left.moves] == ["tests/golden.json", "models/new", "models/CHAMPION"]
    assert (models / "CHAMPION").read_text() == "old\n"
    shipping.finish(models, left, said.append)
    assert said == [{"number": "2"}]
    assert (models / "CHAMPION").read_text() == "new\n"
    assert (models / "new" / "card.md").read_text() == "card"
    assert (models.parent / "tests" / "golden.json").read_text() == "{}"
    assert {path.name for path in models.iterdir()} == {"CHAMPION", "new"}
    assert shipping.pending(models) is None


def test_without_a_journal_nothing_is_left(models):
    with pytest.raises(ValueError, match="subpath"), shipping.staged(models) as stage:
        stage_all_and_more(stage, models)
    with shipping.staged(models) as stage:
        stage_all(stage, models)
    assert [path.name for path in models.iterdir()] == ["CHAMPION"]
    assert not shipping.sweep(models)


def test_what_cannot_be_moved_stays_to_be_finished(models):
    with shipping.staged(models) as stage:
        stage_all(stage, models)
        shipping.commit(models, journal(stage))
    (models / "new").mkdir()
    (models / "new" / "in the way").touch()
    with pytest.raises(OutputError, match=r"models/new: expected a place .* promote --finish"):
        shipping.finish(models, shipping.pending(models), lambda _: pytest.fail("crowned"))
    assert (models / "CHAMPION").read_text() == "old\n"
    assert not shipping.sweep(models)  # the journal keeps it
    (models / "new" / "in the way").unlink()
    shipping.finish(models, shipping.pending(models), lambda _: None)
    assert (models / "CHAMPION").read_text() == "new\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": "x"}',
        json.dumps(Journal("x", None, (("0-a", "../../etc"),), {})._asdict()),
        json.dumps(Journal("x", None, (("/0-a", "models/x"),), {})._asdict()),
    ],
)
def test_a_journal_that_is_none_is_named(models, text):
    (models / shipping.STAGE).mkdir()
    (models / shipping.STAGE / shipping.JOURNAL_FILE).write_text(text)
    with pytest.raises(ShippingError, match=r"journal\.json: expected the journal of a promotion"):
        shipping.pending(models)


def test_two_do_not_ship_at_once(models):
    hold = (
        "import sys; from pathlib import Path; from training.shipping import alone\n"
        "with alone(Path(sys.argv[1])): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", hold, str(models)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(ShippingError, match="found another promote or rollback at work"),
            shipping.alone(models),
        ):
            pytest.fail("two at once")
    finally:
        other.kill()
        other.communicate()
    with shipping.alone(models):  # the killed one keeps nobody out
        handle = os.open(models, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with (
        pytest.raises(OutputError, match=r"models: expected a folder of models"),
        shipping.alone(tmp_path / "models"),
    ):
        pytest.fail("no folder was held")
