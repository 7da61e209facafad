"""What the shipped model says to the cases beside this file; what reads and scores them is `training.behaviour`.

At the release of a model ``tension-train promote`` writes down what the tests compare with. By hand, after a new past
miss, once for each tier:

    python -m tests.model.behaviour --tier fast --write [--model models/X.Y.Z]

Without ``--write`` it only prints the table and what fails. See README.md beside this file.
"""

# ruff: noqa: T201 - a script that prints its table

from __future__ import annotations

import argparse
from pathlib import Path

from scoring.errors import TensionError
from scoring.scorer import load
from scoring.tiers import TIERS
from training.behaviour import (
    CLOSE,
    FAR,
    HOW,
    Case,
    Row,
    Scored,
    bare,
    digest,
    directed,
    failures_file,
    golden,
    golden_file,
    golden_texts,
    holding,
    kernels,
    known_failures,
    levelled,
    lines,
    locked,
    margin,
    misses_file,
    pairs,
    read_json,
    score,
    table,
    write,
)

__all__ = [
    "CLOSE",
    "FAR",
    "HOW",
    "Case",
    "Row",
    "Scored",
    "bare",
    "digest",
    "directed",
    "failures_file",
    "golden",
    "golden_file",
    "golden_texts",
    "holding",
    "kernels",
    "known_failures",
    "levelled",
    "lines",
    "locked",
    "margin",
    "misses_file",
    "pairs",
    "read_json",
    "score",
    "table",
    "write",
]


def main() -> None:
    """Score the cases with one tier of a model, print the shares, and write the records if asked."""
    parser = argparse.ArgumentParser(prog="python -m tests.model.behaviour")
    parser.add_argument("--tier", choices=TIERS, default=TIERS[0])
    parser.add_argument("--model", type=Path, help="folder of a model; default: the shipped one")
    parser.add_argument("--write", action="store_true", help="write what the tests compare with")
    args = parser.parse_args()
    try:
        scorer = load(args.model, tier=args.tier)
        scored = score(scorer)
        if args.write:
            write(scorer, args.tier, scored, tell=print)
    except TensionError as error:
        raise SystemExit(str(error)) from error
    cases, codebook, misses = pairs(), levelled("codebook"), levelled("past_misses")
    if not args.write:
        for case in (*cases, *codebook):
            if (by := margin(case, scored)) <= CLOSE:
                print(f"{by:+.2f} {case}")
    print(f"\n{scorer.version}, pairs\n{table(cases, scored)}")
    print(f"\ncodebook and past misses\n{table(codebook, scored)}\n{table(misses, scored)}")


if __name__ == "__main__":
    main()
