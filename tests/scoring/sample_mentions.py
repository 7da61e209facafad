"""Draw mentions at random from the shared news, each in its sentence, to be judged by eye.

    python -m tests.scoring.sample_mentions SEED [HOW_MANY]

Reads `$TENSION_SHARED/news` (or `../shared/news`); writes one line a mention, the span in [[ ]].
"""

from __future__ import annotations

import datetime
import gzip
import json
import os
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from scoring.actors import Mention, find_mentions

SHARED = Path(os.environ.get("TENSION_SHARED", Path(__file__).parents[2].parent / "shared"))
_SENTENCE_END = re.compile(r"(?<=[.!?][\"”])\s+|(?<=[a-z0-9)][.!?])\s+(?=[A-Z\"“])|\n+")


def sentences(file: Path) -> Iterator[tuple[str, datetime.date | None]]:
    """Yield the sentences and titles of a file of articles, roughly cut, with their day."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            article = json.loads(line)
            day = article.get("published")
            when = datetime.date.fromisoformat(day[:10]) if day else None
            for part in (article.get("title"), article.get("text")):
                for sentence in _SENTENCE_END.split(part or ""):
                    yield sentence, when


def draw(seed: int, how_many: int, folder: Path = SHARED) -> list[tuple[str, Mention]]:
    """Draw sentences, as many from each news file, and one mention of each."""
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    news = [list(sentences(file)) for file in sorted((folder / "news").glob("*.jsonl.gz"))]
    drawn: list[tuple[str, Mention]] = []
    while len(drawn) < how_many:
        text, when = chance.choice(news[len(drawn) % len(news)])
        if mentions := find_mentions(text, when):
            drawn.append((text, chance.choice(mentions)))
    return drawn


def main() -> None:
    seed, how_many = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200
    for number, (text, mention) in enumerate(draw(seed, how_many), 1):
        before, span = text[: mention.start][-90:], text[mention.start : mention.end]
        line = (
            f"{number} {mention.code} {mention.kind}: {before}[[{span}]]{text[mention.end :][:70]}"
        )
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
