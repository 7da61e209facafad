"""Plays a coder for docs/guide.md: fills a sheet of `tension-train review export` with what is known of our statements.

``python tests/guide_coder.py NAME SHEET`` prints the filled sheet. Anna codes by the codebook; Ben calls a statement
that is marked as unsure one level lower.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

from scoring.levels import LEVELS

LABELLED = Path(__file__).parent / "training" / "statements.jsonl"


def main(coder: str, sheet: Path) -> None:
    lines = LABELLED.read_text(encoding="utf-8").splitlines()
    known = {row["id"]: row for row in map(json.loads, lines)}
    with sheet.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        writer = csv.DictWriter(sys.stdout, reader.fieldnames or (), lineterminator="\n")
        writer.writeheader()
        for row in reader:
            level, dyads = _answer(known[row["id"]], coder)
            writer.writerow(row | {"level": level, "dyads": dyads})


def _answer(row: dict[str, object], coder: str) -> tuple[str, str]:
    level = str(row["level"])
    if coder == "ben" and row["unsure"]:
        level = LEVELS[max(0, LEVELS.index(level) - 1)]
    dyads = row["dyads"] if level != "none" else []
    assert isinstance(dyads, list)
    return level, ", ".join(f"{source or '?'}>{target or '?'}" for source, target, _ in dyads)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
