"""The rules that hold the house together, checked on its sources, its files and its pages."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from scoring.artifact import ENCODER_FILE

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/corpus.md",
    "docs/retraining.md",
    "docs/speed.md",
    "docs/spark.md",
)
MOST_BYTES = 30_000_000
MOST_ENCODER_BYTES = 100 * 2**20  # what public hosts of repositories take in one file


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


# --- sources ---


def imported(source: str, package: str) -> Iterator[str]:
    """Give the full name of everything that a module of a package imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*parts, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def importers(package: str, *names: str) -> set[str]:
    """Name the modules of a package that import one of `names`, or something in it."""
    prefixes = tuple(f"{name}." for name in names)
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / package).rglob("*.py")
        for found in imported(
            path.read_text(encoding="utf-8"), ".".join(path.relative_to(ROOT).parent.parts)
        )
        if f"{found}.".startswith(prefixes)
    }


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import mlflow.data as d", "mlflow.data"),
        ("def f():\n    from training import card", "training.card"),
        ("from . import cli", "scoring.data.cli"),
        ("from ..batch import Progress", "scoring.batch.Progress"),
        ("if True:\n    import os, pickle", "pickle"),
    ],
)
def test_every_form_of_import_is_seen(source, name):
    assert name in set(imported(source, "scoring.data"))


def test_scoring_imports_neither_training_nor_mlflow():
    assert importers("scoring", "typing"), "the search finds nothing at all"
    assert importers("scoring", "training", "mlflow") == set()


def test_only_tracking_imports_mlflow():
    assert {
        name
        for name in importers("training", "mlflow")
        if not name.startswith("training/tracking/")
    } <= {"training/served.py"}


def test_only_the_training_of_encoders_imports_torch():
    of_encoders = {"training/encoder.py", "training/onward.py"}
    assert importers("training", "torch", "transformers") == of_encoders
    assert importers("scoring", "torch", "transformers") == set()


def test_nothing_in_scoring_unpickles():
    picklers = ("pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")
    assert importers("scoring", *picklers) == set()
    words = re.compile(r"\b(read_pickle|allow_pickle|joblib\.load)\b")
    found = {
        path.name for path in (ROOT / "scoring").rglob("*.py") if words.search(path.read_text())
    }
    assert found == set()


def python(code: str) -> str:
    """Run code in a fresh interpreter, in a folder that is not ours; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(sys.prefix),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("scoring", ("mlflow", "training", "sklearn", "pandas", "numpy", "pyarrow")),
        ("scoring.cli", ("mlflow", "training", "sklearn", "pandas", "numpy", "pyarrow")),
        ("scoring.scorer", ("mlflow", "training", "matplotlib", "networkx")),
    ],
)
def test_importing_loads_only_what_is_needed(module, unwanted):
    loaded = python(f"import sys, {module}; print(*sys.modules)").split()
    assert module in loaded
    assert set(unwanted) & set(loaded) == set()


def test_scoring_a_text_loads_neither_scikit_learn_nor_what_it_needs():
    loaded = python(
        "import sys, scoring; scoring.load().score('Oslo protested to Bern.'); print(*sys.modules)"
    )
    assert {"sklearn", "scipy", "skops", "numba"} & set(loaded.split()) == set()


def test_the_package_that_is_imported_is_ours():
    import scoring

    assert scoring.__file__ is not None, "a folder `scoring` without __init__.py hides the package"
    assert Path(scoring.__file__) == ROOT / "scoring" / "__init__.py"
    assert python("import scoring; print(scoring.__file__)") == scoring.__file__


# --- files ---


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Every file that is committed, or would be."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git checkout: which files are committed is not known")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_is_too_large(files):
    def most(path: Path) -> int:
        return MOST_ENCODER_BYTES if path.name == ENCODER_FILE else MOST_BYTES

    assert [path.name for path in files if path.stat().st_size > most(path)] == []


def test_no_file_holds_a_path_of_a_machine(files):
    homes = "|".join(("work", "root", "home", "Users", "farm"))
    path_of_a_machine = re.compile(rf"(?<![\w.:/~-])/(?:{homes})/[\w.]".encode())
    assert path_of_a_machine.search(b'open("/' + b'home/me/news.csv")')
    assert not path_of_a_machine.search(b"https://example.org/" + b"work/1")
    assert [path.name for path in files if path_of_a_machine.search(path.read_bytes())] == []


def test_no_lock_file_is_committed(files):
    """They hold addresses of registries; ``constraints.txt`` holds names and versions."""
    assert [path.name for path in files if re.search(r"\.lock$|lock.*\.toml$", path.name)] == []
    lines = read("constraints.txt").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.!+]+", line)] == []


def test_constraints_name_every_dependency():
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.match(r"[\w.-]+", line)[0].lower() for lines in wanted for line in lines}
    assert (
        names - {line.split("==")[0].lower() for line in read("constraints.txt").split()} == set()
    )


# --- pages ---


def shell_lines(page: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", read(page), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


def commands(page: str) -> Iterator[tuple[str, list[str]]]:
    """Give each console command of ours on a page, with its arguments."""
    for line in shell_lines(page):
        for part in line.split(" | "):
            name, *arguments = shlex.split(part, comments=True) or [""]
            if Path(name).name in ("tension", "tension-train"):
                yield Path(name).name, arguments


def options(command: str, subcommand: str) -> set[str]:
    module = {"tension": "scoring.cli", "tension-train": "training.cli"}[command]
    group: Any = typer.main.get_command(importlib.import_module(module).app)
    assert subcommand in group.commands, f"{command} {subcommand}: no such command"
    found = group.commands[subcommand]
    parts = [
        found,
        *getattr(found, "commands", {}).values(),
    ]  # of a group, those of all its commands
    return {name for part in parts for option in part.params for name in option.opts}


def test_commands_of_the_pages_exist():
    seen = [(page, *command) for page in PAGES for command in commands(page)]
    assert {name for _, name, _ in seen} == {"tension", "tension-train"}
    for page, name, (subcommand, *arguments) in seen:
        used = {argument for argument in arguments if re.match(r"--?[a-z]", argument)}
        unknown = used - options(name, subcommand)
        assert unknown == set(), f"{page}: {name} {subcommand} has no {unknown}"


def test_make_targets_of_the_pages_exist():
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    code = r"^make ((?:[a-z]+ ?)+)|`make ((?:[a-z]+ ?)+)[^`]*`"
    named = {
        target
        for page in (*PAGES, "docs/security.md")
        for match in re.findall(code, read(page), re.MULTILINE)
        for target in " ".join(match).split()
    }
    assert {"demo", "test", "check", "train", "bench"} <= named
    assert named - targets == set()


def test_links_between_pages_lead_somewhere():
    others = (
        "CHANGELOG.md",
        "docs/guide.md",
        "docs/security.md",
        "models/CHANGELOG.md",
        "training/corpus/README.md",
    )
    for page in (*PAGES, *others):
        links = re.findall(r"\]\((?!https?:)([^)#]+)", read(page))
        gone = [link for link in links if not ((ROOT / page).parent / link).is_file()]
        assert gone == [], page


def test_the_notebook_code_of_the_readme_runs():
    (code,) = re.findall(r"```python\n(.*?)```", read("README.md"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - our own page
    assert list(names["said"]["level"]) == ["protest", "warning"]


def test_the_table_of_the_readme_is_what_the_demo_shows():
    """Levels, dyads and sentences; scores move a little with every model."""
    block = r"<!-- demo -->\n```text\n(.*?)```\n<!-- /demo -->"
    (shown,) = re.findall(block, read("README.md"), re.DOTALL)
    command = [sys.executable, "-m", "scoring", "score", "--format", "table"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"COLUMNS": "99"}, capture_output=True, text=True
    )
    score = re.compile(r"(?<= )[01]\.\d\d(?= )")
    real = {score.sub("", line.rstrip()) for line in done.stdout.splitlines()}
    gone = [line for line in shown.splitlines() if score.sub("", line.rstrip()) not in real]
    assert gone == [], "copy the lines anew from: COLUMNS=99 tension score --format table | cat"


def test_the_caps_of_the_security_page_are_those_of_the_code():
    rows = re.findall(
        r"^\| `([\w.]+)\.(\w+)` \| ([\d,]+) \|", read("docs/security.md"), re.MULTILINE
    )
    assert len(rows) > 5
    for module, name, value in rows:
        assert getattr(importlib.import_module(module), name) == int(value.replace(",", "")), name


def test_the_codebook_page_and_the_codebook_of_the_code_name_the_same():
    from scoring.levels import LEVELS, codebook

    page = read("docs/codebook.md")
    levels = re.findall(r"^\| [0-3] \| `(\w+)` \|", page, re.MULTILINE)
    assert tuple(levels) == LEVELS == tuple(codebook()["levels"])
    listed = re.search(r"XKX for Kosovo\);\s(.*?) for\s+organisations", page, re.DOTALL)
    assert set(re.findall(r"[A-Z]+\d*", re.sub(r"\(.*?\)", "", listed[1]))) == set(
        codebook()["organisations"]
    )
