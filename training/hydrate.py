"""Labels by id -> labelled statements: their texts are found in files that the user has."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from scoring.articles import Article, clean_text
from scoring.batch import whole_file
from scoring.errors import InputError, UsageError
from scoring.feeds import read_articles
from scoring.inputs import expand
from scoring.sentences import split_sentences
from training.dataset import FIELDS, LABEL_FIELDS, DataError, statement_id

CORPUS: Final = Path(__file__).parent / "corpus"
"""Folder of the labels: ``*.jsonl`` to train on, its subfolders for what is not."""

HELD_OUT: Final = "held_out"
"""Subfolder of the labels to measure on: reading the folder above does not read it."""

BASE_RATES: Final = "base_rates"
"""Subfolder of the labels kept apart to measure base rates: no fast tier learns from them, so they calibrate too."""

# The first labels, those of coder "gold", are of sentences that a simpler rule had cut: it lost the
# closing quotation mark. They are found only if the texts are cut like that once more.
_PARAGRAPH: Final = re.compile(r"\n\s*\n")
_SIMPLE_END: Final = re.compile(r"(?<=[.!?])[\"”’']?\s+(?=[A-Z\"“‘'(])")


@dataclass(frozen=True)
class Source:
    """Where the texts of a pool come from.

    Parameters
    ----------
    name, what : str
        What it is called, what is in it.
    where : str
        Address, and the files there.
    licence : str
        Its terms, or that they are to be looked up there.
    """

    name: str
    what: str
    where: str
    licence: str


def sources(corpus: Path = CORPUS) -> dict[str, Source]:
    """Return the source of each pool, from ``sources.toml``.

    Parameters
    ----------
    corpus : Path, optional
        Folder of the labels.

    Raises
    ------
    DataError
        If the file is not as it should be.
    """
    path = corpus / "sources.toml"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return {pool: Source(**table) for pool, table in tables.items()}
    except (OSError, ValueError, TypeError) as error:
        problem = f"expected a table of name, what, where, licence for each pool, found: {error}."
        raise DataError(str(path), problem, "Mend it.") from error


def hydrate(
    labels: pd.DataFrame,
    inputs: Sequence[str],
    on_problem: Callable[[InputError], None] = lambda error: None,
    on_bytes: Callable[[int], None] | None = None,
) -> pd.DataFrame:
    """Join labels with their texts, in one pass over files that may hold them.

    Parameters
    ----------
    labels : pandas.DataFrame
        From `training.dataset.labels`.
    inputs : sequence of str
        Files, folders, globs of any format that `scoring.feeds.read_articles` reads.
    on_problem, on_bytes : callable, optional
        As of `scoring.feeds.read_articles`; what cannot be read is a problem, the rest is read.

    Returns
    -------
    pandas.DataFrame
        The labels whose text was found, in order, index 0..n-1, with a column ``text``.
    """
    wanted = set(labels["id"])
    texts: dict[str, str] = {}
    for article in read_articles(inputs, on_problem=on_problem, on_bytes=on_bytes):
        for text in candidates(article):
            if (id_ := statement_id(text)) in wanted:
                texts[id_] = text
    found = labels[labels["id"].isin(texts)].reset_index(drop=True)
    return found.assign(text=[texts[id_] for id_ in found["id"]])


def candidates(article: Article) -> Iterator[str]:
    """Give every text of an article that may have been labelled, some of them twice.

    Parameters
    ----------
    article : Article
        As read.

    Yields
    ------
    str
        Title and text as read and cleaned, the sentences that the scorer makes of the text, and
        those that a simpler rule makes.
    """
    for part in filter(None, (article.title, article.text)):
        yield part
        yield clean_text(part).strip()
    text = clean_text(article.text or "").strip()
    yield from split_sentences(text)
    for paragraph in _PARAGRAPH.split(text):
        yield from _SIMPLE_END.split(" ".join(paragraph.split()))


def coverage(labels: pd.DataFrame, hydrated: pd.DataFrame) -> pd.DataFrame:
    """Count labels and texts found by pool.

    Returns
    -------
    pandas.DataFrame
        Index pool, sorted; columns ``labelled`` and ``found``.
    """
    counts = {
        name: part["pool"].value_counts()
        for name, part in (("labelled", labels), ("found", hydrated))
    }
    return pd.DataFrame(counts).fillna(0).astype(int).sort_index()


def write(outputs: Mapping[Path, pd.DataFrame]) -> None:
    """Write hydrated statements as JSONL that `training.dataset.read` reads, each file whole or not at all.

    Parameters
    ----------
    outputs : mapping of Path to pandas.DataFrame
        File and what is to be in it, from `hydrate`.

    Raises
    ------
    DataError
        If there is nothing for one of them; none is written.
    OutputError
        If a file cannot be written.
    """
    for path, statements in outputs.items():
        if statements.empty:
            problem = "expected texts of labelled statements in the inputs, found none."
            remedy = "Name the folders of the sources with --from: training/corpus/sources.toml."
            raise DataError(str(path), problem, remedy)
    for path, statements in outputs.items():
        names = [*FIELDS, *(name for name in LABEL_FIELDS if name not in FIELDS)]
        with whole_file(path) as file:
            for row in statements[names].to_dict("records"):
                file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def check_outputs(inputs: Sequence[str], outputs: Sequence[Path], corpus: Path = CORPUS) -> None:
    """Refuse outputs that would be written over an input, over each other, or be trained on by mistake.

    Parameters
    ----------
    inputs : sequence of str
        As of `hydrate`.
    outputs : sequence of Path
        The file to train on first, then those that are not.
    corpus : Path, optional
        Folder of the labels.

    Raises
    ------
    UsageError
        If one is refused.
    """
    read = {Path(source.name).resolve() for source in expand(inputs, lambda error: None)}
    written = [path.resolve() for path in outputs]
    for path in written:
        if path in read:
            raise UsageError(
                f"{path}: expected an output that is no input, found it named as both. "
                "Name another file, or other folders with --from."
            )
    if len(set(written)) < len(written):
        twice = next(path for path in outputs if written.count(path.resolve()) > 1)
        raise UsageError(f"expected two outputs, found {twice} twice. Name another.")
    for path in written[1:]:
        if path.parent == corpus.resolve():
            raise UsageError(
                f"{path}: expected held-out statements outside of the folder that is trained on, "
                "found them in it. Name another file with --held-out or --fresh."
            )
