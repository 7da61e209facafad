"""The bytes of the output are the same for any number of processes, though each compiles at another sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from scoring.cli import app

ROOT = Path(__file__).parents[2]
OWN = ROOT / "training" / "corpus" / "own.jsonl"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """More sentences than a process scores before it compiles, in some 15 batches."""
    texts = [json.loads(line)["text"] for line in OWN.read_text(encoding="utf-8").splitlines()]
    chance = np.random.default_rng(7)
    path = tmp_path_factory.mktemp("archive") / "own.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(2_500):
            body = [chance.choice(texts) for _ in range(3)] + [f"It rained {number} mm."] * 4
            file.write(json.dumps({"id": str(number), "text": "\n".join(body)}) + "\n")
    return path


def score(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, ["score", *map(str, arguments)], prog_name="tension")
    assert done.exit_code == 0, done.stderr
    return done.stderr


@pytest.mark.slow
def test_the_same_bytes_for_one_two_and_four_processes(tmp_path: Path, archive: Path) -> None:
    said, written, resumed = set(), set(), set()
    for jobs in ("1", "2", "4"):
        plain, parts = tmp_path / f"{jobs}.jsonl", tmp_path / f"{jobs}.parquet"
        said.add(score(archive, "--all", "-o", plain, "--jobs", jobs))
        written.add(plain.read_bytes())
        score(archive, "-o", parts, "--resume", "--jobs", jobs)
        resumed.add(b"".join(part.read_bytes() for part in sorted(parts.iterdir())))
    assert len(said) == len(written) == len(resumed) == 1
    assert "2,500 articles, 17," in said.pop()
