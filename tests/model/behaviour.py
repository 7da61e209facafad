"""Cases of our own, what a model says to them, and the records of what the shipped model got wrong.

At the release of a model, once for each of its tiers:

    python -m tests.model.behaviour --tier fast --write [--model models/X.Y.Z]

Without ``--write`` it only prints the table and what fails. See README.md beside this file.
"""

# ruff: noqa: T201 - a script that prints its table

from __future__ import annotations

import argparse
import hashlib
import json
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from scoring.errors import TensionError
from scoring.levels import LEVELS, PROBABILITIES
from scoring.scorer import Scorer, load
from scoring.tiers import TIERS

CASES = Path(__file__).parent / "cases"
LOCK = CASES / "past_misses_lock.txt"
HOW = "python -m tests.model.behaviour --tier {tier} --write"

CLOSE = 0.02
"""What holds by no more than this is written down as a failure: another processor may turn it over."""

FAR = {"fast": CLOSE, "accurate": 0.1}
"""What is written down as a failure and holds by more than this, has been mended."""

Json = dict[str, Any]


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


def lines(name: str) -> list[Json]:
    """Read a file of JSON lines in `CASES`."""
    text = (CASES / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def pairs() -> list[Case]:
    """Read the minimal pairs: lower and higher, or two that must get the same level or score."""
    found = []
    for line in lines("pairs"):
        what = line.pop("what")
        if set(line) == {"lower", "higher"}:
            found.append(Case(what, "rises", (line["lower"], line["higher"])))
        else:
            ((test, texts),) = line.items()
            found.append(Case(what, test, tuple(texts)))
    return found


def levelled(name: str) -> list[Case]:
    """Read statements with the level that each must get: ``codebook``, ``past_misses``."""
    return [
        Case(line.get("what", name), "level", (line["text"],), line["level"])
        for line in lines(name)
    ]


def golden_texts() -> list[str]:
    """Read the statements whose exact probabilities are kept."""
    return [line["text"] for line in lines("golden_texts")]


# --- scoring ---


def score(scorer: Scorer) -> Scored:
    """Score every statement of `CASES` once: text -> its rows, the highest score first."""
    cases = [*pairs(), *levelled("codebook"), *levelled("past_misses")]
    texts = list(dict.fromkeys([*(t for case in cases for t in case.texts), *golden_texts()]))
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
    much more probable the level is than the next one.
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
    raise ValueError(f"{case}: expected rises, same, equal or level, found {case.test!r}.")


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


def failures_file(tier: str) -> Path:
    """Return where the known failures of a tier are kept: the version, then a key and a case a line."""
    return CASES / f"known_failures_{tier}.txt"


def known_failures(tier: str) -> tuple[str, dict[str, str]]:
    """Read the known failures of a tier.

    Returns
    -------
    version : str
        Of the model; an empty string where nothing has been written yet.
    failures : dict of str to str
        Key of the case -> the case, to read.
    """
    path = failures_file(tier)
    if not path.is_file():
        return "", {}
    head, *rest = path.read_text(encoding="utf-8").splitlines()
    return head.removeprefix("# "), dict(line.split("  ", 1) for line in rest)


def misses_file(tier: str) -> Path:
    """Return where it is kept how many of the past misses each version of the model gets right."""
    return CASES / f"past_misses_{tier}.json"


def golden_file(model: str) -> Path:
    """Return where the probabilities of a version of the model are kept."""
    return CASES / f"golden_{model}.json"


def read_json(path: Path) -> Json:
    """Read a JSON object; an empty one where there is no file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def digest(line: Json) -> str:
    """Return what the lock keeps of a past miss: every field of it counts."""
    said = json.dumps(line, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def locked() -> tuple[int, list[str]]:
    """Read the lock of the past misses: how many there were, and their digests."""
    if not LOCK.is_file():
        return 0, []
    count, *digests = LOCK.read_text(encoding="utf-8").splitlines()
    return int(count), digests


def golden(scored: Scored) -> dict[str, list[list[object]]]:
    """Return what is kept of the golden statements: source, target, level, probabilities a row."""
    return {text: [_kept(row) for row in scored[text]] for text in golden_texts()}


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


def write_failures(scorer: Scorer, tier: str, scored: Scored) -> None:
    """Write down which cases fail, and print what has changed."""
    cases = {case.key: case for case in (*pairs(), *levelled("codebook"))}
    good = {case.key for case in holding(cases.values(), scored, by=CLOSE)}
    _, before = known_failures(tier)
    now = {key: str(case) for key, case in cases.items() if key not in good}
    for key, case in cases.items():
        if (key in now) != (key in before):
            print(f"{'fails' if key in now else 'holds'} now {margin(case, scored):+.2f} {case}")
    text = [f"# {bare(scorer)}", *(f"{key}  {case}" for key, case in now.items())]
    failures_file(tier).write_text("\n".join(text) + "\n", encoding="utf-8")


def write_misses(scorer: Scorer, tier: str, scored: Scored) -> None:
    """Add new past misses to the lock, and write down how many are right now."""
    digests = [digest(line) for line in lines("past_misses")]
    _, kept = locked()
    if gone := set(kept) - set(digests):
        raise SystemExit(
            f"past_misses.jsonl: expected all {len(kept)} misses of past_misses_lock.txt, found {len(gone)} "
            "taken out or changed. Put them back: the set only grows."
        )
    kept += [found for found in digests if found not in kept]
    LOCK.write_text("\n".join([str(len(kept)), *kept]) + "\n", encoding="utf-8")
    misses = levelled("past_misses")
    record = {"right": len(holding(misses, scored, by=CLOSE)), "of": len(misses)}
    said = read_json(misses_file(tier)) | {bare(scorer): record}
    misses_file(tier).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def write_golden(scorer: Scorer, tier: str, scored: Scored) -> None:
    """Write down the probabilities, a statement a line, beside those of the other tier."""
    path = golden_file(bare(scorer))
    content = read_json(path) | {tier: {"kernels": kernels(), "texts": golden(scored)}}
    parts = []
    for name, said in sorted(content.items(), reverse=True):
        rows = [f"   {_json(text)}: {_json(row)}" for text, row in said["texts"].items()]
        head = f' {_json(name)}: {{\n  "kernels": {_json(said["kernels"])},\n  "texts": {{\n'
        parts.append(head + ",\n".join(rows) + "\n  }\n }")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


WRITERS: tuple[Callable[[Scorer, str, Scored], None], ...] = (
    write_misses,  # first: it may refuse
    write_failures,
    write_golden,
)


def main() -> None:
    """Score the cases with one tier of a model, print the shares, and write the records if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.model.behaviour")
    parser.add_argument("--tier", choices=TIERS, default=TIERS[0])
    parser.add_argument("--model", type=Path, help="folder of a model; default: the shipped one")
    parser.add_argument("--write", action="store_true", help="write what the tests compare with")
    args = parser.parse_args()
    try:
        scorer = load(args.model, tier=args.tier)
    except TensionError as error:
        raise SystemExit(str(error)) from error
    scored = score(scorer)
    cases, codebook, misses = pairs(), levelled("codebook"), levelled("past_misses")
    if args.write:
        for write in WRITERS:
            write(scorer, args.tier, scored)
    else:
        for case in (*cases, *codebook):
            if (by := margin(case, scored)) <= CLOSE:
                print(f"{by:+.2f} {case}")
    print(f"\n{scorer.version}, pairs\n{table(cases, scored)}")
    print(f"\ncodebook and past misses\n{table(codebook, scored)}\n{table(misses, scored)}")


if __name__ == "__main__":
    main()
