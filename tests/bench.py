"""Measure speed, start-up and memory in one run: ``make bench``. No part of the test suite.

Cores are often shared, so CPU seconds are given beside seconds of the clock; what is compared is
measured in turn in the same run, and the ratio is what to quote.
"""

# ruff: noqa: T201 - a script that prints its figures

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("TENSION_SHARED") or ROOT.parent / "shared")
NEWS = SHARED / "news" / "reuters_1987.jsonl.gz"
GOLD = SHARED / "gold" / "train.jsonl"
TENSION = (sys.executable, "-m", "scoring")  # what the console command runs
# One thread of linear algebra: otherwise "one process" would mean all cores, and CPU time waiting.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

SENTENCES = 20_000  # that the classifiers are compared on
ARTICLES = 1_500  # that the tiers are compared on
COPIES = 5  # of the news, to see whether memory grows
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Figure:
    """One measured figure: a line of the table."""

    what: str
    unit: str
    values: Sequence[float]
    bar: str = ""

    def line(self) -> str:
        """Render as a row of a Markdown table: median, and lowest to highest of the repeats."""
        digits = 0 if max(self.values) >= 100 else 2
        low, mid, high = (f(self.values) for f in (min, median, max))
        spread = f"{low:,.{digits}f} to {high:,.{digits}f}" if len(self.values) > 1 else ""
        return f"| {self.what} | {mid:,.{digits}f} {self.unit} | {spread} | {self.bar} |"


@dataclass(frozen=True)
class Used:
    """What one process used: seconds of the clock and of CPU, bytes of memory at most."""

    wall: float
    cpu: float
    peak: int
    said: str


def run(*command: str) -> Used:
    """Run a command to its end, with its own and only its own resources counted."""
    with tempfile.TemporaryFile("w+") as said:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)  # not RUSAGE_CHILDREN: that is all of them
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if process.returncode:
        sys.exit(f"bench: {' '.join(command)} failed ({process.returncode}): {text.strip()}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Used(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, text)


def score(news: Path, out: Path, jobs: int, tier: str = "fast", model: Path | None = None) -> Used:
    """Score news the whole way: read, split, actors, level, dyads, every sentence to Parquet."""
    options = ["--all", "--jobs", str(jobs), "--tier", tier]
    if model is not None:
        options += ["--model", str(model)]
    return run(*TENSION, "score", str(news), "-o", str(out), *options)


def sentences_of(used: Used) -> int:
    """Read from a run's summary how many sentences it scored."""
    return count_of(used, "sentences")


def count_of(used: Used, what: str) -> int:
    """Read from a run's summary how many there were."""
    found = re.search(rf"([\d,]+) {what}", used.said)
    if found is None:
        sys.exit(f"bench: expected a summary that counts {what}, found: {used.said.strip()}")
    return int(found[1].replace(",", ""))


def whole_way(folder: Path, repeats: int) -> list[Figure]:
    """Measure speed and memory on the news, with one process and two, and on five times as much.

    Linux counts the memory of the parent to a process that it starts, so this one stays small:
    it imports nothing that is large before the last of these measurements.
    """
    out = folder / "out.parquet"
    one, two = [], []
    for _ in range(repeats):
        one.append(score(NEWS, out, 1))
        two.append(score(NEWS, out, 2))
    sentences = sentences_of(one[0])
    more = score(copies(folder), out, 1)
    pairs = list(zip(one, two, strict=True))
    peak = median(used.peak for used in one)
    name = f"whole way, {sentences:,} sentences"
    return [
        Figure(
            f"{name}, one process, of CPU time",
            "sentences/s",
            [sentences / used.cpu for used in one],
            "at least 5,000",
        ),
        Figure(f"{name}, one process, by the clock", "sentences/s", speed(sentences, one)),
        Figure(f"{name}, `--jobs 2`, by the clock", "sentences/s", speed(sentences, two)),
        Figure(
            "`--jobs 2` against one process, speed by the clock",
            "times",
            [a.wall / b.wall for a, b in pairs],
        ),
        Figure(
            "`--jobs 2` against one process, CPU time spent",
            "times",
            [b.cpu / a.cpu for a, b in pairs],
        ),
        Figure(
            "peak memory, one process", "MB", [used.peak / MEGABYTE for used in one], "under 1,000"
        ),
        Figure(
            f"peak memory, {sentences_of(more):,} sentences",
            "MB",
            [more.peak / MEGABYTE],
            "under 1,000",
        ),
        Figure(
            f"peak memory, {COPIES} times the articles against once", "times", [more.peak / peak]
        ),
    ]


def tiers(folder: Path, repeats: int, model: Path | None) -> dict[str, Any]:
    """Measure what the accurate tier costs on whole articles, beside the fast tier on the same ones.

    The model is that of a folder, or the shipped one.

    Seconds are of CPU, and those of a start without any sentence are taken off: a few articles are
    enough to see the rest.
    """
    news, nothing, out = folder / "some.jsonl", folder / "none.jsonl", folder / "out.parquet"
    with gzip.open(NEWS, "rt", encoding="utf-8") as lines:
        news.write_text("".join(islice(lines, ARTICLES)), encoding="utf-8")
    nothing.write_text('{"title": "No actor"}\n', encoding="utf-8")
    names = ("fast", "accurate")
    used: dict[str, list[Used]] = {name: [] for name in names}
    start: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:  # in turn: what slows the machine slows both
            used[name].append(score(news, out, 1, name, model))
            begun = score(nothing, folder / "start.parquet", 1, name, model)
            start[name].append(begun.cpu)
    seconds = {name: median(u.cpu for u in used[name]) - median(start[name]) for name in names}
    sentences = sentences_of(used["fast"][0])
    return {
        "sentences": sentences,
        "sentences_per_second": {name: sentences / seconds[name] for name in names},
        "times_the_fast_tier": seconds["accurate"] / seconds["fast"],
        "seconds_to_start": {name: median(start[name]) for name in names},
        "memory_mb": {name: median(u.peak for u in used[name]) / MEGABYTE for name in names},
    }


def engines(folder: Path, repeats: int) -> list[str]:
    """Measure the engines on the news by the clock, with their start and without; lines of a Markdown table.

    The start is what a single article takes.
    """
    nothing = folder / "none.jsonl"
    nothing.write_text('{"title": "No actor"}\n', encoding="utf-8")
    ways = {
        "local": [],
        "local, `--jobs 2`": ["--jobs", "2"],
        "spark, `--master local[1]`": ["--engine", "spark", "--master", "local[1]"],
        "spark, `--master local[2]`": ["--engine", "spark", "--master", "local[2]"],
    }
    used: dict[str, list[Used]] = {name: [] for name in ways}
    start: dict[str, list[float]] = {name: [] for name in ways}
    out = folder / "out.parquet"
    for _ in range(repeats):
        for name, options in ways.items():  # in turn: what slows the machine slows all
            for news in (NEWS, nothing):
                shutil.rmtree(out, ignore_errors=True)  # Spark's; it writes over nothing
                out.unlink(missing_ok=True)
                done = run(*TENSION, "score", str(news), "-o", str(out), "--all", *options)
                if news is NEWS:
                    used[name].append(done)
                else:
                    start[name].append(done.wall)
    articles = count_of(used["local"][0], "articles")
    lines = [
        f"{articles:,} articles, {sentences_of(used['local'][0]):,} sentences.\n",
        "| engine | articles/s, start included | start | articles/s after it | times local after it |",
        "|---|---:|---:|---:|---:|",
    ]
    after = {name: median(u.wall for u in used[name]) - median(start[name]) for name in ways}
    for name in ways:
        whole = articles / median(u.wall for u in used[name])
        lines.append(
            f"| {name} | {whole:,.0f} | {median(start[name]):.1f} s | {articles / after[name]:,.0f} "
            f"| {after['local'] / after[name]:.2f} |"
        )
    fed = fed_by_one(out)
    most = fed * after["local"] / articles
    lines.append(
        f"\nWith `--jobs`, the process that reads and writes has CPU time for {fed:,.0f} articles/s: "
        f"it can feed {most:.1f} others."
    )
    return lines


def fed_by_one(out: Path) -> float:
    """Return for how many articles a second the process that reads and writes has CPU time."""
    from scoring.batch import Settings, open_output, score_inputs

    shutil.rmtree(out, ignore_errors=True)
    start = time.process_time()  # of this process alone
    with open_output(out, "parquet") as writer:
        settings = Settings(everything=True)
        summary = score_inputs([str(NEWS)], writer, settings, on_problem=sys.exit, jobs=2)
    return summary.articles / (time.process_time() - start)


def asked(folder: Path | None) -> dict[str, Any]:
    """Count the sentences of the same news that reach the encoder of a model, or of the shipped one."""
    from scoring.actors import find_mentions
    from scoring.artifact import ENCODER_FILE, load, shipped_folder
    from scoring.clauses import Clause
    from scoring.tiers import Fast

    folder = folder or shipped_folder()
    model = load(folder)
    sentences = [Clause(0, text, find_mentions(text)) for text in news_sentences()]
    likeliest = Fast(model).levels(sentences).max(axis=1)
    return {
        "share_encoded": float((likeliest < model.manifest["accurate"]["doubt_below"]).mean()),
        "encoder_bytes": model.manifest["encoder"][ENCODER_FILE]["bytes"],
    }


def speed(sentences: int, runs: Sequence[Used]) -> list[float]:
    """Return the sentences per second of the clock of every run."""
    return [sentences / used.wall for used in runs]


def copies(folder: Path) -> Path:
    """Write the news several times over, with titles changed so that no story is a duplicate."""
    path = folder / "copies.jsonl.gz"
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8") as out:
        for copy in range(COPIES):
            with gzip.open(NEWS, "rt", encoding="utf-8") as news:
                for number, line in enumerate(news):
                    article = json.loads(line)
                    article |= {"id": f"{copy}-{number}"}
                    article["title"] = f"{article.get('title') or ''} ({copy})"
                    out.write(json.dumps(article) + "\n")
    return path


def start_up(repeats: int) -> list[Figure]:
    """Measure how long it takes until something is seen."""
    bare, helped, first = [], [], []
    for _ in range(repeats):
        bare.append(run(sys.executable, "-c", "pass"))
        helped.append(run(*TENSION, "--help"))
        first.append(first_row())
    ratio = [a.cpu / b.cpu for a, b in zip(helped, bare, strict=True)]
    return [
        Figure("`tension --help`, by the clock", "s", [used.wall for used in helped], "under 0.5"),
        Figure("`tension --help`, CPU time", "s", [used.cpu for used in helped]),
        Figure("`tension --help` against `python -c pass`, CPU time", "times", ratio),
        Figure("first row of the sample feed, by the clock", "s", first),
    ]


def first_row() -> float:
    """Return the seconds from the start to the first row of the sample feed."""
    start = time.perf_counter()
    with subprocess.Popen(
        [*TENSION, "score", "--format", "jsonl"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        if not process.stdout.readline():
            sys.exit("bench: the sample feed gave no row. Try `tension score --format jsonl`.")
        seconds = time.perf_counter() - start
        process.stdout.read()
    return seconds


def classifier(repeats: int) -> list[Figure]:
    """Compare the level classifier with TF-IDF and logistic regression on the same sentences."""
    import pandas as pd

    import scoring
    from scoring.actors import find_mentions
    from scoring.artifact import load, shipped_folder
    from scoring.clauses import Clause
    from scoring.features import mask
    from scoring.levels import CODE
    from training.dataset import read
    from training.evaluate import tfidf_pipeline

    gold = read([GOLD])
    baseline = tfidf_pipeline().fit(list(gold["text"]), gold["level"].map(CODE).to_numpy())
    scorer = scoring.load()
    texts = news_sentences()
    masked = pd.DataFrame({"text": [mask(text, find_mentions(text)) for text in texts]})
    level = load(shipped_folder()).level
    tasks: dict[str, Callable[[], object]] = {
        "level": lambda: level.predict_proba(masked),
        "masked": lambda: scorer.expected_scores([Clause(0, t, find_mentions(t)) for t in texts]),
        "tfidf": lambda: baseline.predict_proba(texts),
    }
    cpu: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():  # in turn: what slows the machine slows all three
            start = time.process_time()
            task()
            cpu[name].append(time.process_time() - start)
    per_second = {name: [len(texts) / value for value in cpu[name]] for name in tasks}
    names = {
        "level": "level classifier, actors found and masked before",
        "masked": "finding and masking actors, and level classifier",
        "tfidf": "scikit-learn TF-IDF (words 1-2, char_wb 3-5) + logistic regression",
    }
    figures = [Figure(text, "sentences/s", per_second[name]) for name, text in names.items()]
    for name in ("level", "masked"):
        ratio = [theirs / ours for theirs, ours in zip(cpu["tfidf"], cpu[name], strict=True)]
        figures.append(Figure(f"{names[name]}, against TF-IDF", "times", ratio))
    return figures


def news_sentences() -> list[str]:
    """Return the first sentences of the news, as the scorer splits it."""
    from scoring.articles import clean_text
    from scoring.feeds import read_articles
    from scoring.sentences import split_sentences

    split = (
        sentence
        for article in read_articles([str(NEWS)])
        for sentence in split_sentences(clean_text(article.text or ""))
    )
    return list(islice(split, SENTENCES))


def main() -> None:
    """Measure and print a Markdown table, or JSON."""
    parser = argparse.ArgumentParser(description="Measure speed, start-up and memory.")
    parser.add_argument("--json", action="store_true", help="all values as JSON")
    parser.add_argument("--tiers", action="store_true", help="only what the accurate tier costs")
    parser.add_argument("--spark", action="store_true", help="only the engines beside each other")
    parser.add_argument("--into", type=Path, help="with --tiers: model to measure, and its card")
    parser.add_argument("--repeats", type=int, default=3, help="of every measurement; default 3")
    arguments = parser.parse_args()
    for path in (NEWS, GOLD):
        if not path.is_file():
            print(f"bench: nothing measured: no {path.name} in {path.parent} (set TENSION_SHARED).")
            return
    os.environ |= ONE_THREAD  # before NumPy is imported
    sys.path[0] = str(ROOT)  # the folder of this file holds a `scoring` of its own, with tests
    if arguments.tiers:
        with tempfile.TemporaryDirectory() as folder:
            cost = tiers(Path(folder), arguments.repeats, arguments.into) | asked(arguments.into)
        print(json.dumps(cost, indent=1))
        if arguments.into is not None:
            from training import card

            card.put(arguments.into, cost=cost)
        return
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, load average {load}.\n"
    if arguments.spark:
        with tempfile.TemporaryDirectory() as folder:
            print(machine, *engines(Path(folder), arguments.repeats), sep="\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = start_up(3 * arguments.repeats)
        figures += whole_way(Path(folder), arguments.repeats)
    figures += classifier(arguments.repeats)
    if arguments.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=1))
        return
    print(machine)
    print("| what | median | lowest to highest | bar |\n|---|---:|---:|---|")
    print("\n".join(figure.line() for figure in figures))


if __name__ == "__main__":
    main()
