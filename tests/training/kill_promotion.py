"""Ship a champion again and again, kill -9 the process at every step, and let the next one mend it.

    python kill_promotion.py ROOT CHALLENGER SCRATCH

ROOT holds ``models/`` with a champion, ``tests/model/cases`` and ``mlflow.db``. Every step of shipping is one event:
whatever makes, moves or removes a file below the root, and whatever is asked of the registry. The process is forked, so
that each of many deaths costs a fraction of a second; nothing in it is replaced but that the calls of the registry are
announced.
"""

# ruff: noqa: T201 - a script that prints what it finds

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from scoring.artifact import encoder_files, load
from training import promote, release, shipping
from training.side_by_side import Candidate, behave
from training.tracking import registry

EVENTS = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "sqlite3.connect", "registry")
CALLS = (
    "create_model_version",
    "set_model_version_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
)


def announced(name: str) -> None:
    """Let a call of the registry be an event."""
    call = getattr(MlflowClient, name)

    def heard(self: MlflowClient, *args: Any, **named: Any) -> Any:
        sys.audit("registry", name)
        return call(self, *args, **named)

    setattr(MlflowClient, name, heard)


def count(root: Path, die_at: int | None, passed: list[str]) -> None:
    """Count the steps from now on, and die before one of them."""

    def step(event: str, args: tuple[Any, ...]) -> None:
        where = " ".join(map(str, args))
        if event not in EVENTS or (event != "registry" and str(root) not in where):
            return
        if event == "os.mkdir" and Path(args[0]).exists():
            return
        said = f"{event} {where}".replace(str(root), ".")
        if passed[-1:] == [said]:  # a look at the registry is many connections
            return
        if len(passed) == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        passed.append(said)

    sys.addaudithook(step)


def forked(work: Callable[[], Any]) -> tuple[int, Any]:
    """Do something in a process of its own: how it ended, and what it returned."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        code = 1
        try:
            with os.fdopen(into, "w") as pipe:
                json.dump(work(), pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(into)
    with os.fdopen(out) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), json.loads(said) if said else None


def fresh(root: Path, scratch: Path) -> Path:
    """Copy the root, and work there."""
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(root, scratch)
    os.chdir(scratch)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{scratch}/mlflow.db"
    return scratch


def state(root: Path) -> dict[str, Any]:
    """Return every file of ours by digest, and who is champion in the registry."""
    files = {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for top in ("models", "tests", "README.md")
        for path in sorted([root / top, *(root / top).rglob("*")])
        if path.is_file()
    }
    crowned = registry.aliased(registry.CHAMPION)
    return {"files": files, "crowned": crowned and [crowned.version, crowned.previous]}


def champion_loads(root: Path) -> str:
    """Load what ``CHAMPION`` names, as any reader may at any moment."""
    named = release.named_champion(root / "models")
    model = load(root / "models" / str(named))
    assert model.accurate is not None
    encoder_files(model.accurate)  # wherever it lies, it is the one that was trained with
    return str(model.manifest["version"])


def main() -> None:
    """Print the state before and after, and of each death the step, the champion then, and the state once mended."""
    root, challenger, scratch = (Path(argument).resolve() for argument in sys.argv[1:])
    for name in CALLS:
        announced(name)
    model = load(challenger)
    one = Candidate(challenger, replace(model, accurate=None))  # its encoder is but a name
    cases = promote.folder_of_cases(root / "models")
    assert cases is not None
    kinds = behave(one, cases)

    def ship(models: Path) -> None:
        with shipping.alone(models):
            there = promote.folder_of_cases(models)
            text = f"## {one.version}\n\nTested.\n"
            release.ship(one, models, there, kinds, text, lambda _: None, note_previous=True)

    def watched(die_at: int | None) -> list[str]:
        passed: list[str] = []
        count(scratch, die_at, passed)
        ship(scratch / "models")
        return passed

    def mended() -> dict[str, Any]:
        said = {"loads": champion_loads(scratch)}
        promote.finish(scratch / "models")
        return said | state(scratch)

    # What MLflow does once a process is done now, not after every fork.
    ship(fresh(root, scratch.with_name("warm")) / "models")
    fresh(root, scratch)
    _, before = forked(lambda: state(scratch))
    code, steps = forked(lambda: watched(None))
    assert code == 0, code
    _, after = forked(lambda: state(scratch))
    deaths = []
    for at, step in enumerate(steps):
        fresh(root, scratch)
        code, _ = forked(lambda at=at: watched(at))
        _, found = forked(mended)
        deaths.append({"step": step, "code": code, "mended": found})
    print(json.dumps({"before": before, "after": after, "deaths": deaths}))


if __name__ == "__main__":
    main()
