"""Show where the time of the whole way goes, stage by stage: ``make profile``. No part of the test suite.

Every stage is a function; each is wrapped in a clock that stops while another stage, called from it, is running. So the
times add up to the whole, and the clocks cost little. One process, records of every sentence, Parquet in memory.
"""

# ruff: noqa: T201 - a script that prints its figures

from __future__ import annotations

import argparse
import functools
import io
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("TENSION_SHARED") or ROOT.parent / "shared")
NEWS = SHARED / "news" / "reuters_1987.jsonl.gz"


class Clock:
    """Adds up the seconds of stages, each without those that it calls."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[tuple[str, float]] = []

    def run(self, stage: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function of a stage."""
        self._pause()
        self._open.append((stage, time.perf_counter()))
        try:
            return function(*args, **kwargs)
        finally:
            self._pause()
            self._open.pop()
            if self._open:
                self._open[-1] = (self._open[-1][0], time.perf_counter())

    def _pause(self) -> None:
        if self._open:
            stage, since = self._open[-1]
            self.seconds[stage] += time.perf_counter() - since

    def watch(self, stage: str, owner: Any, *names: str) -> None:
        """Let functions of a module, or methods of a class, count for a stage."""
        for name in names:
            setattr(owner, name, self._watched(stage, getattr(owner, name)))

    def _watched(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            return self.run(stage, function, *args, **kwargs)

        return timed

    def each(self, stage: str, items: Iterable[Any]) -> Iterator[Any]:
        """Go through what a stage gives one by one."""
        iterator = iter(items)
        done = object()
        while (item := self.run(stage, next, iterator, done)) is not done:
            yield item


def watch_all(clock: Clock) -> None:
    """Name the stages."""
    from scoring import batch, compiled, scorer, tiers

    clock.watch("clean and split into sentences", scorer, "clean_text", "split_sentences")
    clock.watch("is it English", scorer, "not_english")
    clock.watch("screen for actors", compiled.Screen, "may_name")
    clock.watch("find actors", scorer, "find_mentions")
    clock.watch("mask actors", tiers, "mask")
    clock.watch("words to numbers", compiled._Words, "read")
    clock.watch("features and logits", compiled.k, "logits")
    clock.watch("the level classifier, before it is compiled", tiers.Fast, "levels")
    clock.watch("probabilities", compiled.Compiled, "probabilities")
    clock.watch("dyads", scorer, "candidates", "find_dyads", "two_clauses")
    clock.watch("dyads", tiers.Fast, "roles")
    clock.watch("statements, and what else the scorer does", scorer.Scorer, "score_articles")
    clock.watch("table of records", scorer.Scorer, "_table")
    clock.watch("table of records", batch, "score_batch", "arrow_table")
    clock.watch("write Parquet", batch.ParquetWriter, "put", "close")


def measure(clock: Clock, articles: int | None) -> int:
    """Score the news the whole way; give the number of sentences."""
    from scoring import batch
    from scoring.articles import unique
    from scoring.feeds import read_articles

    settings = batch.Settings(everything=True)
    writer = batch.ParquetWriter(io.BytesIO(), ())
    read = clock.each("read, drop duplicates", unique(islice(read_articles([str(NEWS)]), articles)))
    sentences = 0
    for group in batch.batches(read):
        frame, summary = batch.score_batch(group, settings)
        writer.put(writer.form(frame))
        sentences += summary.sentences
    writer.close()
    return sentences


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description="Show where the time goes.")
    parser.add_argument("--articles", type=int, help="how many; all by default")
    parser.add_argument("--page", type=Path, action="append", help="put the table into this page")
    arguments = parser.parse_args()
    if not NEWS.is_file():
        print(f"profile: nothing measured: no {NEWS.name} in {NEWS.parent} (set TENSION_SHARED).")
        return
    sys.path[0] = str(ROOT)
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    from scoring.garbage import collect_seldom
    from tests.bench import put

    collect_seldom()
    clock = Clock()
    watch_all(clock)
    measure(clock, 3_000)  # loads, compiles, meets the commonest words
    clock.seconds.clear()
    sentences = measure(clock, arguments.articles)
    whole = sum(clock.seconds.values())
    lines = [
        f"{sentences:,} sentences, {whole / sentences * 1e6:.1f} µs each.\n",
        "| stage | µs a sentence | share |\n|---|---:|---:|",
    ]
    for stage, seconds in sorted(clock.seconds.items(), key=lambda item: -item[1]):
        lines.append(f"| {stage} | {seconds / sentences * 1e6:.2f} | {seconds / whole:.0%} |")
    table = "\n".join(lines)
    print(table)
    for page in arguments.page or ():
        put(page, table, "profile")


if __name__ == "__main__":
    main()
