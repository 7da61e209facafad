"""The guide runs as it is printed: every command of docs/guide.md, in order, in a folder of its own.

``python -m tests.test_guide`` writes what the commands print now into the page.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "guide.md"
BLOCK = re.compile(r"```sh\n(?P<code>.*?)```\n(?:\n```text\n(?P<shown>.*?)```\n)?", re.DOTALL)
PATIENCE = 900
"""Seconds that all of it may take."""

_MARK = "---- block ----"
_IDS = re.compile(r"\b(m-)?[0-9a-f]{32}\b")
_DAY = re.compile(r"\b\d{4}-\d\d-\d\d\b")
_NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d,]*(?:\.\d+)?(?![\w]|\.\d)")
_RULER = re.compile(r"[━─]+")


def run(page: str, folder: Path) -> list[str]:
    """Run the blocks of a page in one shell; return what each prints, both streams together."""
    codes = [found["code"] for found in BLOCK.finditer(page)]
    script = f"echo '{_MARK}'\n".join(["", *codes])
    env = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    env |= {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")]),
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(folder),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "LOKY_MAX_CPU_COUNT": "1",  # so little data is done before a pool has started
        "OMP_NUM_THREADS": "1",  # threads that wait for each other on busy cores
        "OPENBLAS_NUM_THREADS": "1",
        "PORT": str(_free_port()),
    }
    env.pop("COLUMNS", None)
    env.pop("TENSION_REGISTERED_MODEL", None)
    command = [str(shutil.which("bash")), "-c", script]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            printed, _ = shell.communicate(timeout=PATIENCE)
        finally:  # a server that was left
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    return printed.split(f"{_MARK}\n")[1:]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def rewritten(page: str, outputs: Sequence[str]) -> str:
    """Put what was printed below each block."""
    left = iter(outputs)

    def block(found: re.Match[str]) -> str:
        printed = "".join(f"{line.rstrip()}\n" for line in next(left).splitlines())
        shown = f"\n```text\n{printed}```\n" if printed.strip() else ""
        return f"```sh\n{found['code']}```\n{shown}"

    return BLOCK.sub(block, page)


def differences(shown: str, printed: str) -> Iterator[str]:
    """Tell where two outputs differ by more than ids, days and the last digits of numbers."""
    for one, other in zip_longest(shown.splitlines(), printed.splitlines(), fillvalue=""):
        if not _alike(one, other):
            yield f"page:  {one}\nfound: {other}"


def _alike(one: str, other: str) -> bool:
    (words, numbers), (other_words, other_numbers) = _read(one), _read(other)
    return words == other_words and all(
        abs(a - b) <= 0.011 + 0.02 * max(abs(a), abs(b))
        for a, b in zip(numbers, other_numbers, strict=True)
    )


def _read(line: str) -> tuple[list[str], list[float]]:
    for mask, instead in ((_IDS, "ID"), (_DAY, "DAY"), (_RULER, "-")):
        line = mask.sub(instead, line)
    numbers = [float(found.replace(",", "")) for found in _NUMBER.findall(line)]
    return _NUMBER.sub("#", line).split(), numbers


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("MLflow run 86d8a527758141f19f1cce39a39161c9", f"MLflow run {'0' * 32}", True),
        ("## 1.1.0, 2026-11-28", "## 1.1.0, 2027-01-02", True),
        ("## 1.1.0, 2026-11-28", "## 1.2.0, 2026-11-28", False),
        ("│ macro_f1 │ 0.676 │ ≥ 0.655 │", "│ macro_f1 │  0.671 │ ≥ 0.655 │", True),
        ("│ macro_f1 │ 0.676 │ ≥ 0.655 │", "│ macro_f1 │ 0.576 │ ≥ 0.655 │", False),
        ("400 statements, 21 differ", "400 statements, 20 differ", False),
        ("refused: 12 of 14 gates hold.", "every gate holds", False),
        ("exit code 3", "exit code 0", False),
        ("exit code 3", "", False),
    ],
)
def test_only_ids_days_and_last_digits_may_differ(one, other, same):
    assert (list(differences(one, other)) == []) is same


def test_the_guide_runs_as_it_is_printed(tmp_path):
    pytest.importorskip("mlflow")
    if not (shutil.which("bash") and shutil.which("curl")):
        pytest.skip("the guide needs bash and curl")
    page, before = PAGE.read_text(encoding="utf-8"), _files(ROOT / "models")
    outputs = run(page, tmp_path)
    blocks = list(BLOCK.finditer(page))
    assert len(outputs) == len(blocks) > 10
    found = [
        f"{block['code'].splitlines()[0]} ...\n{difference}"
        for block, printed in zip(blocks, outputs, strict=True)
        for difference in differences(block["shown"] or "", printed)
    ]
    assert not found, "\n\n".join([*found, "If that is right: python -m tests.test_guide"])
    assert _files(ROOT / "models") == before, "the shipped models are not touched"
    assert not (ROOT / "mlflow.db").exists()


def _files(folder: Path) -> dict[Path, float]:
    return {path: path.stat().st_mtime for path in folder.rglob("*")}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(rewritten(text, run(text, Path(scratch))), encoding="utf-8")
