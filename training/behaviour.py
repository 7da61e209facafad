"""Cases of our own, what a model says to them, and the records of what the shipped model got wrong.

The cases are part of the repository and not of the installed package: they lie in ``tests/model/cases`` of a
checkout, and every function here takes that folder. ``tests/model/README.md`` says what is in it;
``python -m tests.model.behaviour`` prints what a model says to them.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from scoring.errors import TensionError
from scoring.levels import LEVELS, PROBABILITIES
from scoring.scorer import Scorer

IN_CHECKOUT: Final = Path("tests") / "model" / "cases"
"""Where the cases lie, from the root of a checkout."""

CASES: Final = Path(__file__).parents[1] / IN_CHECKOUT
"""The cases of the checkout that this file is part of; not there in an installed package."""

LOCK_FILE: Final = "past_misses_lock.txt"
HOW: Final = "python -m tests.model.behaviour --tier {tier} --write"

CLOSE: Final = 0.02
"""What holds by no more than this is written down as a failure: another processor may turn it over."""

FAR: Final = {"fast": CLOSE, "accurate": 0.1}
"""What is written down as a failure and holds by more than this, has been mended."""

Json = dict[str, Any]
Tell = Callable[[str], None]


class CasesError(TensionError):
    """The behaviour cases are not there, or a past miss was taken out of them."""


class Row(NamedTuple):
    """A record of one statement, without its text; ``chances`` are those of the four levels."""

    source: str | None
    target: str | None
    level: str
    chances: tuple[float, ...]
    score: float


class Case(NamedTuple):
    """One or two statements and what must be so: see `margin` for the kinds of ``test``."""

    what: str
    test: str
    texts: tuple[str, ...]
    level: str = ""

    @property
    def key(self) -> str:
        """Tell the case from the others; it changes with a text, a level and nothing else."""
        said = "\n".join((self.test, self.level, *self.texts))
        return hashlib.sha256(said.encode()).hexdigest()[:10]

    def __str__(self) -> str:
        return f"{self.what}: {self.level and self.level + ': '}{' | '.join(self.texts)}"


Scored = dict[str, list[Row]]


# --- reading ---


def lines(name: str, cases: Path = CASES) -> list[Json]:
    """Read a file of JSON lines in the folder of the cases.

    Raises
    ------
    CasesError
        If there is no such file, or one of its lines is no JSON.
    """
    path = cases / f"{name}.jsonl"
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise CasesError(
            f"{path}: expected the behaviour cases, which are part of a checkout of the repository, found "
            f"none ({error}). Work in a checkout, with its models/ and tests/ side by side."
        ) from error


def pairs(cases: Path = CASES) -> list[Case]:
    """Read the minimal pairs: lower and higher, or two that must get the same level or score."""
    found = []
    for line in lines("pairs", cases):
        what = line.pop("what")
        if set(line) == {"lower", "higher"}:
            found.append(Case(what, "rises", (line["lower"], line["higher"])))
        else:
            ((test, texts),) = line.items()
            found.append(Case(what, test, tuple(texts)))
    return found


def levelled(name: str, cases: Path = CASES) -> list[Case]:
    """Read statements with the level that each must get: ``codebook``, ``past_misses``."""
    return [
        Case(line.get("what", name), "level", (line["text"],), line["level"])
        for line in lines(name, cases)
    ]


def directed(cases: Path = CASES, all_of_them: bool = False) -> list[Case]:
    """Read statements with the dyads that each must get, all and no other: ``PER>ECU``, ``?`` for an open side.

    `all_of_them`: also those that no model need get right yet.
    """
    return [
        Case(line["what"], "dyads", (line["text"],), line["dyads"])
        for line in lines("dyads", cases)
        if line["must"] or all_of_them
    ]


def golden_texts(cases: Path = CASES) -> list[str]:
    """Read the statements whose exact probabilities are kept."""
    return [line["text"] for line in lines("golden_texts", cases)]


# --- scoring ---


def score(scorer: Scorer, cases: Path = CASES) -> Scored:
    """Score every statement of the cases once: text -> its rows, the highest score first."""
    levels = (*levelled("codebook", cases), *levelled("past_misses", cases))
    every = [*pairs(cases), *levels, *directed(cases, all_of_them=True)]
    said = [text for case in every for text in case.texts]
    texts = list(dict.fromkeys([*said, *golden_texts(cases)]))
    found: Scored = {text: [] for text in texts}
    for record in scorer.score_lines(texts).to_dict("records"):
        source, target = (
            None if pd.isna(record[side]) else str(record[side]) for side in ("source", "target")
        )
        chances = tuple(float(record[name]) for name in PROBABILITIES)
        row = Row(source, target, str(record["level"]), chances, float(record["score"]))
        found[texts[int(record["article_id"]) - 1]].append(row)
    return {text: sorted(rows, key=lambda row: -row.score) for text, rows in found.items()}


def margin(case: Case, scored: Scored) -> float:
    """Tell by how much a case holds, at least; it fails where this is not above 0.

    ``rises``: how much higher the second score is. ``same``: one level for both; how far the less
    certain one is from the next level. ``equal``: one and the same score; 1, or -1. ``level``: how
    much more probable the level is than the next one. ``dyads``: all are found and no other; 1, or -1.
    """
    said = [scored[text][0] for text in case.texts]
    if case.test == "rises":
        return said[1].score - said[0].score
    if case.test == "equal":
        return 1.0 if said[0].score == said[1].score else -1.0
    if case.test == "same":
        clear = min(_lead(row, row.level) for row in said)
        return clear if said[0].level == said[1].level else -1.0
    if case.test == "level":
        return _lead(said[0], case.level)
    if case.test == "dyads":
        return 1.0 if dyads(scored[case.texts[0]]) == set(case.level.split()) else -1.0
    raise ValueError(f"{case}: expected rises, same, equal, level or dyads, found {case.test!r}.")


def dyads(rows: Iterable[Row]) -> set[str]:
    """Name the dyads of a statement's rows: ``PER>ECU``, ``?`` for an open side; none where it is level none."""
    return {f"{row.source or '?'}>{row.target or '?'}" for row in rows if row.level != LEVELS[0]}


def _lead(row: Row, level: str) -> float:
    """Tell how much more probable a level is than the most probable other one."""
    chances = dict(zip(LEVELS, row.chances, strict=True))
    return chances.pop(level) - max(chances.values())


def holding(cases: Iterable[Case], scored: Scored, by: float = 0.0) -> list[Case]:
    """Return the cases that hold by more than `by`."""
    return [case for case in cases if margin(case, scored) > by]


def table(cases: list[Case], scored: Scored) -> str:
    """Render how many cases of each kind hold."""
    kinds = list(dict.fromkeys(case.what for case in cases))
    rows = []
    for kind in kinds:
        of = [case for case in cases if case.what == kind]
        rows.append((kind, len(holding(of, scored)), len(of)))
    rows.append(("all", sum(row[1] for row in rows), len(cases)))
    return "\n".join(f"{kind:26}{n:5} of{of:5}{n / of:8.1%}" for kind, n, of in rows)


# --- what is kept ---


def bare(scorer: Scorer) -> str:
    """Return the version of the model, whatever the tier."""
    return scorer.version.partition("+")[0]


def failures_file(tier: str, cases: Path = CASES) -> Path:
    """Return where the known failures of a tier are kept: the version, then a key and a case a line."""
    return cases / f"known_failures_{tier}.txt"


def known_failures(tier: str, cases: Path = CASES) -> tuple[str, dict[str, str]]:
    """Read the known failures of a tier.

    Returns
    -------
    version : str
        Of the model; an empty string where nothing has been written yet.
    failures : dict of str to str
        Key of the case -> the case, to read.
    """
    path = failures_file(tier, cases)
    if not path.is_file():
        return "", {}
    head, *rest = path.read_text(encoding="utf-8").splitlines()
    return head.removeprefix("# "), dict(line.split("  ", 1) for line in rest)


def misses_file(tier: str, cases: Path = CASES) -> Path:
    """Return where it is kept how many of the past misses each version of the model gets right."""
    return cases / f"past_misses_{tier}.json"


def golden_file(model: str, cases: Path = CASES) -> Path:
    """Return where the probabilities of a version of the model are kept."""
    return cases / f"golden_{model}.json"


def read_json(path: Path) -> Json:
    """Read a JSON object; an empty one where there is no file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def digest(line: Json) -> str:
    """Return what the lock keeps of a past miss: every field of it counts."""
    said = json.dumps(line, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def locked(cases: Path = CASES) -> tuple[int, list[str]]:
    """Read the lock of the past misses: how many there were, and their digests."""
    path = cases / LOCK_FILE
    if not path.is_file():
        return 0, []
    count, *digests = path.read_text(encoding="utf-8").splitlines()
    return int(count), digests


def golden(scored: Scored, cases: Path = CASES) -> dict[str, list[list[object]]]:
    """Return what is kept of the golden statements: source, target, level, probabilities a row."""
    return {text: [_kept(row) for row in scored[text]] for text in golden_texts(cases)}


def _kept(row: Row) -> list[object]:
    return [row.source, row.target, row.level, [round(chance, 6) for chance in row.chances]]


def kernels() -> str:
    """Name what an encoder in int8 computes alike on: processor, its integer units, onnxruntime."""
    try:
        runtime = version("onnxruntime")
    except PackageNotFoundError:
        runtime = "none"
    info = Path("/proc/cpuinfo")
    flags = set(info.read_text(encoding="utf-8").split()) if info.is_file() else set()
    units = {"avx2", "avx512bw", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"} & flags
    return " ".join((platform.machine(), *sorted(units), "onnxruntime", runtime))


# --- writing ---


def write(
    scorer: Scorer, tier: str, scored: Scored, cases: Path = CASES, tell: Tell = lambda _: None
) -> None:
    """Write down what the tests of a released model compare it with, for one tier.

    Parameters
    ----------
    scorer : Scorer
        Of the model and tier.
    tier : str
        Its tier.
    scored : dict
        What it says to the cases (`score`).
    cases : Path, optional
        Folder of the cases, and of what is written.
    tell : callable, optional
        Called with a line for each case that fails now and held before, or the other way round.

    Raises
    ------
    CasesError
        If a past miss was taken out or changed; nothing is written then.
    """
    _write_misses(scorer, tier, scored, cases)  # first: it may refuse
    _write_failures(scorer, tier, scored, cases, tell)
    _write_golden(scorer, tier, scored, cases)


def _write_failures(scorer: Scorer, tier: str, scored: Scored, folder: Path, tell: Tell) -> None:
    cases = {case.key: case for case in (*pairs(folder), *levelled("codebook", folder))}
    good = {case.key for case in holding(cases.values(), scored, by=CLOSE)}
    _, before = known_failures(tier, folder)
    now = {key: str(case) for key, case in cases.items() if key not in good}
    for key, case in cases.items():
        if (key in now) != (key in before):
            tell(f"{'fails' if key in now else 'holds'} now {margin(case, scored):+.2f} {case}")
    text = [f"# {bare(scorer)}", *(f"{key}  {case}" for key, case in now.items())]
    failures_file(tier, folder).write_text("\n".join(text) + "\n", encoding="utf-8")


def _write_misses(scorer: Scorer, tier: str, scored: Scored, folder: Path) -> None:
    """Add new past misses to the lock, and write down how many are right now."""
    digests = [digest(line) for line in lines("past_misses", folder)]
    _, kept = locked(folder)
    if gone := set(kept) - set(digests):
        raise CasesError(
            f"past_misses.jsonl: expected all {len(kept)} misses of past_misses_lock.txt, found {len(gone)} "
            "taken out or changed. Put them back: the set only grows."
        )
    kept += [found for found in digests if found not in kept]
    (folder / LOCK_FILE).write_text("\n".join([str(len(kept)), *kept]) + "\n", encoding="utf-8")
    misses, path = levelled("past_misses", folder), misses_file(tier, folder)
    record = {"right": len(holding(misses, scored, by=CLOSE)), "of": len(misses)}
    said = read_json(path) | {bare(scorer): record}
    path.write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def _write_golden(scorer: Scorer, tier: str, scored: Scored, folder: Path) -> None:
    """Write down the probabilities, a statement a line, beside those of the other tier."""
    path = golden_file(bare(scorer), folder)
    content = read_json(path) | {tier: {"kernels": kernels(), "texts": golden(scored, folder)}}
    parts = []
    for name, said in sorted(content.items(), reverse=True):
        rows = [f"   {_json(text)}: {_json(row)}" for text, row in said["texts"].items()]
        head = f' {_json(name)}: {{\n  "kernels": {_json(said["kernels"])},\n  "texts": {{\n'
        parts.append(head + ",\n".join(rows) + "\n  }\n }")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
