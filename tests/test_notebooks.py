"""Every notebook, top to bottom, in a process of its own: without real data, and with them where they are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHARED = Path(os.environ.get("TENSION_SHARED") or ROOT.parent / "shared")
FIGURES = {"01": 1, "02": 7, "03": 2}
"""Pictures at least; those of a notebook that is not named here are not counted."""


def cells(path: Path, kind: str) -> list[Any]:
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == kind]


def run(path: Path, folder: Path, shared: Path) -> list[dict[str, Any]]:
    """Run a notebook in a kernel of this Python, with its home in `folder`; return what it shows."""
    spec = folder / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "here", "language": "python"}))
    work = folder / "work"
    work.mkdir()
    copy = Path(shutil.copy(path, work))
    env = os.environ | {
        "JUPYTER_PATH": str(folder),
        "JUPYTER_RUNTIME_DIR": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "MPLBACKEND": "Agg",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONPATH": str(ROOT),
        "TENSION_SHARED": str(shared),
    }
    code = "from nbclient.cli import main; main()"  # apart: its sockets outlive it
    command = [sys.executable, "-c", code, "--inplace", "--timeout=120", str(copy)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(work.iterdir()) == [copy], "a notebook leaves nothing behind"
    return [output for cell in cells(copy, "code") for output in cell.outputs]


def words(outputs: list[dict[str, Any]]) -> str:
    """Everything that can be read in the outputs."""
    data = [output.get("data", {}) for output in outputs]
    texts = [str(value) for part in data for kind, value in part.items() if "image" not in kind]
    return "\n".join([*texts, *(output.get("text", "") for output in outputs)])


def check(path: Path, outputs: list[dict[str, Any]]) -> None:
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= FIGURES.get(path.name[:2], 0)
    closing = outputs[-1]["data"]["text/markdown"]
    assert closing.count("\n- ") >= 3
    assert "nan" not in closing


def test_there_are_notebooks():
    assert {path.name[:2] for path in NOTEBOOKS} >= {"01", "02", "03"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_clean(path):
    """No outputs, a question first, what was found last."""
    for cell in cells(path, "code"):
        assert (cell.outputs, cell.execution_count) == ([], None)
    prose = cells(path, "markdown")
    assert prose[0].source.startswith(f"# {path.name[:2]} ")
    assert "**Question.**" in prose[0].source
    assert prose[-1].source == "## What was found"
    assert "assert " in cells(path, "code")[-1].source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_without_real_data(path, tmp_path):
    check(path, run(path, tmp_path, shared=tmp_path / "none"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_on_real_data_and_quotes_none(path, tmp_path):
    if not (SHARED / "gold").is_dir():
        pytest.skip(f"no real data at {SHARED} (set TENSION_SHARED)")
    outputs = run(path, tmp_path, shared=SHARED)
    check(path, outputs)
    read = words(outputs)
    texts = [
        json.loads(line)["text"]
        for name in ("train", "dev")
        for line in (SHARED / "gold" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [text for text in texts if len(text) > 30 and text in read] == []
