"""The processes of ``--jobs``: what they have from the one that they are forked from, and that they end with it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scoring import workers
from scoring.scorer import load

forked = pytest.mark.skipif(
    "forkserver" not in multiprocessing.get_all_start_methods(), reason="no forkserver here"
)


def loaded() -> tuple[int, str]:
    """Say of a process how many models it has loaded, and of what version."""
    number = workers.scorer.cache_info().currsize
    return number, workers.scorer(None, "fast").version


@forked
def test_a_process_begins_with_the_model(tmp_path: Path) -> None:
    script = tmp_path / "ask.py"
    script.write_text(
        "from scoring import workers\n"
        "from tests.scoring.test_workers import loaded\n"
        "if __name__ == '__main__':\n"
        "    with workers.pool(2, None, 'fast') as pool:\n"
        "        print(pool.submit(loaded).result())\n"
    )
    root = Path(__file__).parents[2]
    said = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.strip() == str((1, load().version))


def test_a_model_that_cannot_be_loaded_is_told_by_who_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(workers._WANTED, f'["{tmp_path / "none"}", "fast"]')
    before = workers.scorer.cache_info().currsize
    workers.preload()
    assert workers.scorer.cache_info().currsize == before


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_all_processes_end_with_the_one_that_began_them(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    mark = f"mark-{os.getpid()}"
    command = [sys.executable, "-m", "scoring", "score", str(pipe), "--jobs", "2", "-o"]
    run = subprocess.Popen([*command, str(tmp_path / "o.jsonl")], env=os.environ | {"MARK": mark})
    with pipe.open("w") as articles:
        articles.write('{"text": "Seoul protests to Moscow."}\n' * 10)
        articles.flush()
        deadline = time.monotonic() + 60
        while (
            len(marked(mark)) < 4 and time.monotonic() < deadline
        ):  # it, the one to fork from, two
            time.sleep(0.1)
        assert len(marked(mark)) >= 4
        run.send_signal(signal.SIGKILL)
        run.wait()
        while marked(mark) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert marked(mark) == []


def marked(mark: str) -> list[int]:
    """Find the processes in whose environment something stands."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"MARK={mark}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:  # it has ended
            continue
    return found
