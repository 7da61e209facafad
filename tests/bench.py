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
OWN = ROOT / "training" / "corpus" / "own.jsonl"
GOLD = SHARED / "gold" / "train.jsonl"
TENSION = (sys.executable, "-m", "scoring")  # what the console command runs
# One thread of linear algebra: otherwise "one process" would mean all cores, and CPU time waiting.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

SENTENCES = 20_000  # that the classifiers are compared on
ARTICLES = 5_000  # that the tiers are compared on
COPIES = 10  # of the news, to see whether memory grows and how fast it goes once it goes
ARCHIVE = 30  # copies for two processes: the scale that they are for, some 4 million sentences
PEERS = 3_000  # sentences that other software reads: some of it is slow
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Figure:
    """One measured figure: a line of the table."""

    what: str
    unit: str
    values: Sequence[float]
    bar: str = ""
    short: str = ""  # what the short table calls it; empty: it is not in that

    def short_line(self) -> str:
        """Render as a row of the short table."""
        mid = median(self.values)
        return f"| {self.short} | {mid:,.{0 if mid >= 100 else 2}f} {self.unit} |"

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
    [used] = side_by_side(command)
    return used


def side_by_side(*commands: Sequence[str]) -> list[Used]:
    """Run commands at the same time to their end."""
    begun = [(command, _begin(command)) for command in commands]
    return [_end(command, *parts) for command, parts in begun]


def _begin(command: Sequence[str]) -> tuple[subprocess.Popen[bytes], Any, float]:
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - read and closed at the end of the process
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said)
    return process, said, start


def _end(command: Sequence[str], process: subprocess.Popen[bytes], said: Any, start: float) -> Used:
    with said:
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
    return run(*scoring(news, out, jobs, tier, model))


def scoring(
    news: Path, out: Path, jobs: int = 1, tier: str = "fast", model: Path | None = None
) -> list[str]:
    """Name the command of `score`."""
    options = ["--all", "--jobs", str(jobs), "--tier", tier]
    if model is not None:
        options += ["--model", str(model)]
    return [*TENSION, "score", str(news), "-o", str(out), *options]


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
    """Measure speed and memory of one process on the news and ten times over, of two against one on an archive.

    Both are also set against each other on the news ten times over, where starting twice counts for more.
    Linux counts the memory of the parent to a process that it starts, so this one stays small:
    it imports nothing that is large before the last of these measurements.
    """
    out, tenfold, archive = folder / "out.parquet", copies(folder), copies(folder, ARCHIVE)
    half, other = copies(folder, ARCHIVE // 2), folder / "other.parquet"
    once, one, two, long, long_two, long_halves = [], [], [], [], [], []
    for _ in range(repeats):
        once.append(score(NEWS, out, 1))
        one.append(score(tenfold, out, 1))
        two.append(score(tenfold, out, 2))
        long.append(score(archive, out, 1))
        long_two.append(score(archive, out, 2))
        halves = side_by_side(scoring(half, out), scoring(half, other))
        long_halves.append(max(halves, key=lambda used: used.wall))
    few, sentences, many = (sentences_of(runs[0]) for runs in (once, one, long))
    name = f"whole way, {sentences:,} sentences, start included"
    archive_name = f"whole way, {many:,} sentences, start included"
    peaks = [used.peak / MEGABYTE for used in one]
    return [
        Figure(
            f"{name}, one process, of CPU time",
            "sentences/s",
            [sentences / used.cpu for used in one],
            "at least 25,000",
            "JSONL.gz articles to Parquet, a row for every sentence, one core",
        ),
        Figure(f"{name}, one process, by the clock", "sentences/s", speed(sentences, one)),
        Figure(f"{archive_name}, one process, by the clock", "sentences/s", speed(many, long)),
        Figure(f"{archive_name}, `--jobs 2`, by the clock", "sentences/s", speed(many, long_two)),
        Figure(
            f"`--jobs 2` against one process, {many:,} sentences, by the clock",
            "times",
            ratios(long, long_two),
            "at least 1.7",
            f"the same with `--jobs 2`, against one process, by the clock, {many:,} sentences",
        ),
        Figure(
            f"the same on {sentences:,} sentences",
            "times",
            ratios(one, two),
            "",
            f"the same, {sentences:,} sentences",
        ),
        Figure(
            f"two commands side by side, on half of the {many:,} sentences each, against one, by the clock",
            "times",
            ratios(long, long_halves),
        ),
        Figure(
            f"whole way, {few:,} sentences, start included, one process, of CPU time",
            "sentences/s",
            [few / used.cpu for used in once],
        ),
        Figure(f"peak memory, {sentences:,} sentences", "MB", peaks, "under 700", "peak memory"),
        Figure(
            f"peak memory, {COPIES} times the articles against once",
            "times",
            [a.peak / b.peak for a, b in zip(one, once, strict=True)],
            "at most 1.10",
            f"peak memory on {COPIES} times the articles, against once",
        ),
    ]


WITHOUT_NUMBA = (
    sys.executable,
    "-c",
    "from scoring import lazy; lazy.find_spec = lambda name: None; from scoring.cli import main; main()",
)


def without_numba(folder: Path) -> str:
    """Measure what the extra `speed` gains on the news ten times over; a line of text."""
    archive, out = copies(folder), folder / "out.parquet"
    with_it = score(archive, out, 1)
    options = ["score", str(archive), "-o", str(out), "--all"]
    without = run(*WITHOUT_NUMBA, *options)
    sentences = sentences_of(with_it)
    return (
        f"{sentences:,} sentences, start included, CPU time of one process: {sentences / with_it.cpu:,.0f} sentences/s "
        f"with numba, {sentences / without.cpu:,.0f} without, {without.cpu / with_it.cpu:.2f} times."
    )


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
    """Measure the engines on the news ten times over, with their start and without; lines of a Markdown table.

    The start is what a single article takes.
    """
    archive, nothing = copies(folder), folder / "none.jsonl"
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
            for news in (archive, nothing):
                shutil.rmtree(out, ignore_errors=True)  # Spark's; it writes over nothing
                out.unlink(missing_ok=True)
                done = run(*TENSION, "score", str(news), "-o", str(out), "--all", *options)
                if news is archive:
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
    fed = fed_by_one(archive, out)
    most = fed * after["local"] / articles
    lines.append(
        f"\nWith `--jobs`, the process that reads and writes has CPU time for {fed:,.0f} articles/s: "
        f"it can feed {most:.1f} others."
    )
    return lines


def fed_by_one(archive: Path, out: Path) -> float:
    """Return for how many articles a second the process that reads and writes has CPU time."""
    from scoring.batch import Settings, open_output, score_inputs

    shutil.rmtree(out, ignore_errors=True)
    start = time.process_time()  # of this process alone
    with open_output(out, "parquet") as writer:
        settings = Settings(everything=True)
        summary = score_inputs([str(archive)], writer, settings, on_problem=sys.exit, jobs=2)
    return summary.articles / (time.process_time() - start)


def asked(folder: Path | None) -> dict[str, Any]:
    """Count the sentences of the same news that the encoders of a model, or of the shipped one, read."""
    from scoring import load

    scorer = load(folder, tier="accurate")
    texts = news_sentences()
    scorer.score_lines(texts)
    read = [stage.readings / len(texts) for stage in scorer._tier.stages]
    files = {name: heads.encoder for name, heads in scorer._model.encoders.items()}
    return {
        "share_encoded": read[0],
        **({"share_encoded_large": read[1]} if len(read) > 1 else {}),
        "encoder_bytes": {name: path.stat().st_size for name, path in files.items()},
    }


def speed(sentences: int, runs: Sequence[Used]) -> list[float]:
    """Return the sentences per second of the clock of every run."""
    return [sentences / used.wall for used in runs]


def ratios(one: Sequence[Used], two: Sequence[Used]) -> list[float]:
    """Return how many times as fast by the clock the second of each pair of runs was."""
    return [a.wall / b.wall for a, b in zip(one, two, strict=True)]


def copies(folder: Path, times: int = COPIES) -> Path:
    """Write the news several times over, with titles changed so that no story is a duplicate."""
    path = folder / f"{times}-copies.jsonl.gz"
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8") as out:
        for copy in range(times):
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
        Figure(
            "first row of the sample feed, by the clock",
            "s",
            first,
            "under 1.5",
            "start to first row",
        ),
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


def in_turn(tasks: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Run tasks in turn, so that what slows the machine slows all; give the CPU seconds of each."""
    cpu: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            cpu[name].append(time.process_time() - start)
    return cpu


def classifier(repeats: int) -> list[Figure]:
    """Compare the level classifier with TF-IDF and logistic regression, and with splitting into words alone."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc

    from scoring.actors import find_mentions
    from scoring.artifact import load, shipped_folder
    from scoring.compiled import Compiled
    from scoring.features import mask
    from scoring.levels import CODE
    from training.dataset import read
    from training.evaluate import tfidf_pipeline

    pa.set_cpu_count(1)
    gold = read([GOLD])
    baseline = tfidf_pipeline().fit(list(gold["text"]), gold["level"].map(CODE).to_numpy())
    texts = news_sentences()
    masked = [mask(text, find_mentions(text)) for text in texts]
    frame = pd.DataFrame({"text": masked})
    level = load(shipped_folder()).level
    compiled = Compiled(level)
    compiled.probabilities(
        masked
    )  # compiles; what it meets here for the first time is measured too
    column = pa.array(texts)
    tasks: dict[str, Callable[[], object]] = {
        "first": lambda: Compiled(level).probabilities(masked),
        "compiled": lambda: compiled.probabilities(masked),
        "reference": lambda: level.pipeline.predict_proba(frame),
        "tfidf": lambda: baseline.predict_proba(texts),
        "blanks": lambda: pc.utf8_split_whitespace(column),
        "words": lambda: pc.split_pattern_regex(column, pattern="[^A-Za-z0-9]+"),
    }
    cpu = in_turn(tasks, repeats)
    names = {
        "compiled": "level classifier, actors found and masked before",
        "first": "the same with all words new to it",
        "reference": "the same by scikit-learn",
        "tfidf": "scikit-learn TF-IDF (words 1-2, char_wb 3-5) + logistic regression",
        "blanks": "Arrow splits the sentences at blanks, nothing else",
        "words": "Arrow splits the sentences into words (at what is no letter or digit)",
    }
    figures = [
        Figure(text, "sentences/s", [len(texts) / value for value in cpu[name]])
        for name, text in names.items()
    ]

    def ratio(one: str, other: str) -> list[float]:
        return [a / b for a, b in zip(cpu[one], cpu[other], strict=True)]

    return [
        *figures,
        Figure(
            "level classifier against TF-IDF",
            "times",
            ratio("tfidf", "compiled"),
            "at least 20",
            "the level classifier alone, against scikit-learn's TF-IDF + logistic regression",
        ),
        Figure(
            "time of the level classifier, of Arrow at blanks",
            "times",
            ratio("compiled", "blanks"),
            "at most 4",
        ),
        Figure(
            "time of the level classifier, of Arrow into words",
            "times",
            ratio("compiled", "words"),
            "at most 4",
        ),
    ]


def peers(repeats: int) -> list[Figure]:
    """Compare the whole scorer with VADER, and with spaCy finding sentences and entities, on the same text."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    import scoring

    texts = news_sentences()[:PEERS]
    scorer, vader = scoring.load(), SentimentIntensityAnalyzer()
    scorer.score_lines(news_sentences())  # enough to be compiled
    tasks: dict[str, Callable[[], object]] = {
        "this": lambda: scorer.score_lines(texts),
        "VADER (a mood, no level and no actors)": lambda: [vader.polarity_scores(t) for t in texts],
    }
    if (spacy := spacy_pipeline()) is not None:
        tasks["spaCy (sentences and entities, no level)"] = lambda: list(spacy.pipe(texts))
    cpu = in_turn(tasks, repeats)
    this = cpu.pop("this")
    return [
        Figure(
            "scorer in memory: actors, level, dyads",
            "sentences/s",
            [len(texts) / t for t in this],
            short="statements in memory: actors, level, dyads",
        ),
        *(
            Figure(name, "sentences/s", [len(texts) / t for t in cpu[name]], short=name)
            for name in cpu
        ),
        *(
            Figure(
                f"scorer against {name.split(' (')[0]}",
                "times",
                [a / b for a, b in zip(cpu[name], this, strict=True)],
            )
            for name in cpu
        ),
    ]


def spacy_pipeline() -> Any:
    """Make a spaCy pipeline that finds sentences and entities, as its small English model does; None without spaCy.

    No package index has that model's weights. Speed depends on the shape of the network, which is the same here, so
    it is trained for a moment on our own statements, with our actors as entities.
    """
    try:
        import spacy
        from spacy.training import Example
    except ImportError:
        print("bench: no spaCy here, so it is left out (pip install spacy).", file=sys.stderr)
        return None
    from scoring.actors import find_mentions

    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("ner")
    texts = [json.loads(line)["text"] for line in OWN.read_text(encoding="utf-8").splitlines()]
    examples = []
    for text in texts[:500]:
        entities = [(m.start, m.end, "GPE") for m in find_mentions(text)]
        document = nlp.make_doc(text)
        kept = [e for e in entities if document.char_span(*e[:2]) is not None]
        examples.append(Example.from_dict(document, {"entities": kept}))
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(3):
        for start in range(0, len(examples), 50):
            nlp.update(examples[start : start + 50], sgd=optimizer)
    return nlp


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
    parser.add_argument("--numba", action="store_true", help="only what the extra speed gains")
    parser.add_argument("--into", type=Path, help="with --tiers: model to measure, and its card")
    parser.add_argument(
        "--page",
        type=Path,
        action="append",
        help="page for the table; short in README.md",
    )
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
    if arguments.numba:
        with tempfile.TemporaryDirectory() as folder:
            print(without_numba(Path(folder)))
        return
    if arguments.spark:
        with tempfile.TemporaryDirectory() as folder:
            table = "\n".join([machine, *engines(Path(folder), arguments.repeats)])
        print(table)
        for page in arguments.page or ():
            put(page, table, "engines")
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = start_up(3 * arguments.repeats)
        figures += whole_way(Path(folder), arguments.repeats)
        figures.append(accurate(Path(folder), arguments.repeats))
    figures += classifier(2 * arguments.repeats + 1)
    figures += peers(arguments.repeats)
    if arguments.json:
        print(json.dumps([asdict(figure) for figure in figures], indent=1))
        return
    lines = [machine, "| what | median | lowest to highest | bar |", "|---|---:|---:|---|"]
    table = "\n".join([*lines, *(figure.line() for figure in figures)])
    print(table)
    short = ["| what | |", "|---|---:|", *(f.short_line() for f in figures if f.short)]
    for page in arguments.page or ():
        put(page, "\n".join(short) if page.name == "README.md" else table)


def accurate(folder: Path, repeats: int) -> Figure:
    """Compare the time of the accurate tier with that of the fast one."""
    cost = tiers(folder, repeats, None)
    return Figure(
        "time of the accurate tier, of the fast one, whole articles",
        "times",
        [cost["times_the_fast_tier"]],
        "at most 3",
    )


def put(page: Path, table: str, mark: str = "bench") -> None:
    """Replace what stands between the marks of a page."""
    first, last = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(first)
    _, after = rest.split(last)
    page.write_text(f"{before}{first}\n{table}\n{last}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
