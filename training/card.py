"""The model card: rendered from a model folder's manifest and metrics, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from scoring.artifact import MANIFEST_FILE
from scoring.batch import whole_file
from scoring.errors import ArtifactMissing, ArtifactTampered, OutputError
from scoring.levels import LEVELS
from scoring.tiers import TIERS
from training.evaluate import BINS, REVIEW_CURVE, SLICES, Metrics

METRICS_FILE: Final = "metrics.json"
CARD_FILE: Final = "card.md"

MOST_SHOWN: Final = 24
"""Pools or strata that have a row of their own in the card; the smaller ones share one."""

Tiers = Mapping[str, Metrics]
"""Name of a tier, or of another method -> its metrics."""

_NOTHING: Final = "–"

_PARTS: Final = {
    "dev": "held-out statements, never used in fitting (but looked at to choose between variants)",
    "cv": "training statements by 5-fold cross-validation, near-duplicates kept together",
}
_METHODS: Final = {
    "tfidf": "TF-IDF + logistic regression",
    "vader": "VADER, cut into levels",
    "keywords": "a dozen keyword rules",
}
_HEADLINES: Final = {
    "macro_f1": "macro-F1, four levels",
    "any.f1": "F1, any level against none",
    "kappa": "quadratic kappa",
    "accuracy": "accuracy",
    "triples.f1": "F1, source, target and level",
    "ece": "calibration error (ECE, 10 bins)",
    "log_loss": "log-loss",
    "brier": "Brier score (0 to 2)",
}
_BASE_RATES: Final = {
    "threat.precision": "called threat: is threat",
    "threat.at_least_warning": "called threat: is warning or threat",
    "warning.precision": "called warning: is warning",
    "protest.precision": "called protest: is protest",
    "any.precision": "called any level: is of any level",
    "any.recall": "of any level: is called so",
    "any.base_rate": "share of all statements that is of any level",
    "review.share": "share of all statements that `review` marks",
    "review.errors_caught": "called a wrong level: marked by `review`",
}
_DYADS: Final = {
    "triples": "source, target and level",
    "pairs": "source and target",
}
_SLICES: Final = {
    "macro_f1": "macro-F1",
    "any.precision": "any level, precision",
    "any.f1": "any level, F1",
    "kappa": "kappa",
    "triples.f1": "dyads with level, F1",
}

_WHAT: Final = """\
Scores one English sentence or headline for escalation between states (none < protest < warning <
threat) and says who says it to whom. The fast tier is linear: classifiers over words and phrases
with the names of states masked, so that the score is the same whichever states they are. The levels
are those of the codebook (`docs/codebook.md`).
"""

_WHAT_ACCURATE: Final = """\
The accurate tier asks the fast one first, and wherever that leaves doubt an encoder besides, which
reads the sentence with its actors replaced by marks.
"""

_WHAT_SCOUT: Final = """\
There are two encoders: a small one is asked first, a large one where that still leaves doubt.
"""

_LIMITS: Final = """\
- English only. Text in other languages is marked as such and not scored.
- The labelled statements were drawn by cue words and by what earlier models found or doubted.
  Levels are far more frequent in them than in a feed: expect lower precision there. Strata named
  `random` or `r`, and the base rates where they were measured, come closest to what a feed holds.
- The labels come from language models that coded by the codebook, not from human experts.
  Agreement between such coders is no proof of agreement with people.
- State media (KCNA, RT) are part of the training data, and so are their wording and their choice
  of stories. A score says what a sentence reports a state as saying, not whether it is true or
  who is right.
- Single sentences are judged. What only the context tells (irony, a quotation refuted in the next
  sentence) is lost.
- Intervals are percentile bootstrap over statements, 95%: they hold for more statements of the
  same sort, not for other sources or years.
"""

_NOT_FOR: Final = """\
- Whoever acts on scores that nobody has read: no automated decisions, no ground for action against
  anyone. A score orders statements for a reader.
- Whoever wants to foresee conflict: it is no probability of conflict, and says nothing of deeds.
- Whoever ranks states by how often they threaten: what a source chooses to report decides the
  counts, and so do the errors above.
- Whoever targets or judges persons, or trades without a reader.
"""


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read ``metrics.json`` of a model folder.

    Returns
    -------
    dict
        ``cv`` and what else was measured: ``dev`` (fast tier, held out), ``dev.accurate``,
        ``baselines``, ``cross_pool``, ``ablation``, ``base_rates``, ``behaviour``, ``cost``.

    Raises
    ------
    scoring.errors.ArtifactMissing, scoring.errors.ArtifactTampered
        If there is none, or it is not JSON.
    """
    return _read(folder / METRICS_FILE)


def render(folder: Path) -> str:
    """Render the card of a model folder.

    Parameters
    ----------
    folder : Path
        Holds ``manifest.json`` and ``metrics.json`` as `training.train.run` writes them.

    Returns
    -------
    str
        Markdown, the same for the same two files.

    Raises
    ------
    scoring.errors.ArtifactMissing, scoring.errors.ArtifactTampered
        If a file is missing, or is not what training writes.
    """
    manifest, metrics = _read(folder / MANIFEST_FILE), read_metrics(folder)
    try:
        return _card(manifest, metrics)
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactTampered(
            f"{folder}: expected the manifest and metrics that training writes, found them without "
            f"{error}. Train the model again."
        ) from error


def write(folder: Path) -> Path:
    """Render the card and write it as ``card.md`` into the folder; return its path.

    Raises
    ------
    scoring.errors.OutputError
        If it cannot be written; and as `render`.
    """
    path, text = folder / CARD_FILE, render(folder)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{path}: expected a file that can be written, found: {error.strerror}. "
            "Check the folder's permissions."
        ) from error
    return path


def put(folder: Path, **parts: Any) -> Path:
    """Put parts into a model's ``metrics.json`` and render its card again.

    Parameters
    ----------
    folder : Path
        Folder of the model.
    **parts
        Named as in `read_metrics`; each takes the place of the part that was there.

    Returns
    -------
    Path
        The card.

    Raises
    ------
    scoring.errors.ArtifactMissing, scoring.errors.ArtifactTampered, scoring.errors.OutputError
        As `read_metrics` and `write`.
    """
    text = json.dumps(read_metrics(folder) | parts, indent=1, allow_nan=False) + "\n"
    with whole_file(folder / METRICS_FILE) as file:
        file.write(text.encode())
    return write(folder)


def headlines(folder: Path) -> str:
    """Render the main table of the card by itself: both tiers and the baselines.

    Parameters
    ----------
    folder : Path
        Folder of a model.

    Returns
    -------
    str
        Markdown table.
    """
    metrics = read_metrics(folder)
    return _headlines(_tiers(metrics, _head(metrics)), metrics["baselines"])


def write_headlines(folder: Path, page: Path) -> Path:
    """Put tables of the card between the markers of a page.

    ``<!-- metrics -->`` to ``<!-- /metrics -->`` takes the main table; ``levels`` the figures by
    level and ``base-rates`` those of whole feeds, where the page has such markers.

    Raises
    ------
    OutputError
        If the page lacks the first, or one has no end; the page is then left as it was.
    """
    metrics = read_metrics(folder)
    tables = {
        "metrics": headlines(folder),
        "levels": _levels(_tiers(metrics, _head(metrics))),
        "base-rates": _base_rate_head(metrics.get("base_rates", {})),
    }
    text = page.read_text(encoding="utf-8")
    for name, table in tables.items():
        if name == "metrics" or f"<!-- {name} -->" in text:
            text = _between(text, name, table, page)
    page.write_text(text, encoding="utf-8")
    return page


def _between(text: str, name: str, table: str, page: Path) -> str:
    mark, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, found, rest = text.partition(mark)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise OutputError(f"{page}: expected the markers {mark} and {end}, found none. Add them.")
    return f"{before}{mark}\n{table}\n{end}{after}"


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ArtifactMissing(
            f"{path}: expected a file of a trained model, found none ({error.strerror}). "
            "Give the folder that tension-train run wrote."
        ) from error
    except (ValueError, TypeError) as error:
        raise ArtifactTampered(
            f"{path}: expected a JSON object, found none ({error}). Train the model again."
        ) from error


def _card(manifest: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    head = _head(metrics)
    tiers = _tiers(metrics, head)
    rows = next(iter(tiers.values()))["rows"]
    what = [_WHAT, *([_WHAT_ACCURATE] * (len(tiers) > 1)), *([_WHAT_SCOUT] * ("scout" in manifest))]
    sections = [
        f"# Model {manifest['version']}",
        "".join(what).strip(),
        "This page is rendered from `manifest.json` and `metrics.json` (`tension-train card`).",
        _facts(manifest),
        "## Training data",
        *_data(manifest["train"]),
        *_more_data(manifest),
        "## How well it does",
        _headlines(tiers, metrics["baselines"]),
        f"Measured on {rows:,.0f} {_PARTS[head]}, all methods on the same rows; "
        "in brackets the interval.",
    ]
    if near := manifest.get(head, {}).get("near_train"):
        sections.append(
            f"{near} of them share eight words in a row with a training statement, mostly formulas."
        )
    for part in dict.fromkeys((head, "cv")):
        sections += _details(part, _tiers(metrics, part), headline=part != head)
    for name, section in _SECTIONS.items():
        if metrics.get(name):
            sections += section(metrics)
    sections += ["## Limits", _LIMITS.strip(), "## Who should not use it", _NOT_FOR.strip()]
    return "\n\n".join(sections) + "\n"


def _head(metrics: Mapping[str, Any]) -> str:
    """Name the part that the headlines are of: held out, else cross-validated."""
    return next(part for part in _PARTS if part in metrics or part == "cv")


def _tiers(metrics: Mapping[str, Any], part: str) -> Tiers:
    """Return the metrics of a part by tier, those that there are."""
    first, *others = TIERS
    return {first: metrics[part]} | {
        tier: metrics[f"{part}.{tier}"] for tier in others if f"{part}.{tier}" in metrics
    }


def _facts(manifest: Mapping[str, Any]) -> str:
    commit = manifest["git"]["commit"] or "not known"
    clean = "" if manifest["git"]["clean"] else " (with changes that were not committed)"
    libraries = ", ".join(f"{name} {number}" for name, number in manifest["libraries"].items())
    parameters = ", ".join(f"{name} {value}" for name, value in manifest["params"].items())
    return _table(
        ("", ""),
        [
            ("package", f"tension-escalation {manifest['package']}"),
            ("codebook", f"version {manifest['codebook']}"),
            ("statements", f"digest `{manifest['train']['digest'][:16]}`"),
            ("parameters", f"{parameters}, seed {manifest['seed']}"),
            ("MLflow run", f"`{manifest['mlflow_run']}`"),
            ("git commit", f"`{commit}`{clean}"),
            ("saved under", libraries),
            ("model file", f"{manifest['bytes']:,} bytes, SHA-256 `{manifest['sha256']}`"),
        ],
        text=2,
    )


def _data(described: Mapping[str, Any]) -> list[str]:
    rows, unsure = described["rows"], described["unsure"]
    out = [f"{rows:,} labelled statements; the coder was unsure of {unsure:,}."]
    for by in ("pool", "stratum"):
        lines = [
            (name, *(counts.get(level, 0) for level in LEVELS), sum(counts.values()))
            for name, counts in _gathered(described[by]).items()
        ]
        out.append(_table((by, *LEVELS, "all"), lines))
    return out


def _more_data(manifest: Mapping[str, Any]) -> list[str]:
    """Say what else is in the model: labels of a teacher, and what it is calibrated on."""
    out = []
    if "soft" in manifest:
        out.append(f"Beside these, {manifest['soft']:,} sentences that a teacher labelled.")
    if "calibrate" in manifest:
        pools = ", ".join(manifest["calibrate"]["pool"])
        out.append(
            f"Calibrated on {manifest['calibrate']['rows']:,} other statements, of {pools}, that no classifier "
            "learned from, the heads of the encoders on such that no encoder learned from either: one number for "
            "the fast tier, and one for each encoder. Where base rates are given below, these statements are among "
            "those that they are of; precision and recall of the fast tier do not depend on that number."
        )
    return out


def _gathered(parts: Mapping[str, Mapping[str, int]]) -> dict[str, Mapping[str, int]]:
    """Put the small parts of the data into one: our own statements have hundreds of themes."""
    if len(parts) <= MOST_SHOWN:
        return dict(parts)
    small = sorted(parts, key=lambda name: -sum(parts[name].values()))[MOST_SHOWN:]
    rest = {level: sum(parts[name].get(level, 0) for name in small) for level in LEVELS}
    shown = {name: counts for name, counts in parts.items() if name not in small}
    return shown | {f"{len(small)} smaller": rest}


def _headlines(tiers: Tiers, baselines: Tiers) -> str:
    methods = {f"{tier} tier": values for tier, values in tiers.items()} | {
        text: baselines[name] for name, text in _METHODS.items() if name in baselines
    }
    rows = [
        (text, *(_value(values, name) for values in methods.values()))
        for name, text in _HEADLINES.items()
    ]
    return _table(("", *methods), rows)


def _details(part: str, tiers: Tiers, headline: bool) -> list[str]:
    rows = next(iter(tiers.values()))["rows"]
    return [
        f"## In detail: {part}",
        f"On {rows:,.0f} {_PARTS[part]}.",
        *([_headlines(tiers, {})] if headline else []),
        "### Levels",
        _levels(tiers),
        "Rows: labelled; columns: predicted.",
        _confusions(tiers),
        "### Who to whom",
        *_dyads(tiers),
        "### Calibration",
        *_calibration(tiers),
        "### Review",
        *_review(tiers),
        "### Pools and strata",
        *(_slices(tiers, by) for by in SLICES),
    ]


def _levels(tiers: Tiers) -> str:
    measures = ("precision", "recall", "f1", "ece")
    return _table(
        ("level", "tier", "precision", "recall", "F1", "calibration error", "statements"),
        [
            (
                level,
                tier,
                *(_value(metrics, f"{level}.{m}") for m in measures),
                _count(metrics, f"{level}.support"),
            )
            for level in LEVELS
            for tier, metrics in tiers.items()
        ],
        text=2,
    )


def _confusions(tiers: Tiers) -> str:
    return _table(
        ("labelled", "tier", *LEVELS),
        [
            (gold, tier, *(_count(metrics, f"confusion.{gold}.{level}") for level in LEVELS))
            for gold in LEVELS
            for tier, metrics in tiers.items()
        ],
        text=2,
    )


def _dyads(tiers: Tiers) -> list[str]:
    found = _table(
        ("", "tier", "precision", "recall", "F1", "predicted", "labelled"),
        [
            (
                text,
                tier,
                *(_value(metrics, f"{kind}.{m}") for m in ("precision", "recall", "f1")),
                *(_count(metrics, f"{kind}.{m}") for m in ("predicted", "gold")),
            )
            for kind, text in _DYADS.items()
            for tier, metrics in tiers.items()
        ],
        text=2,
    )
    reversed_ = _table(
        ("tier", "the wrong way round", "share of the pairs predicted"),
        [
            (tier, _count(metrics, "pairs.reversed.count"), _value(metrics, "pairs.reversed"))
            for tier, metrics in tiers.items()
        ],
    )
    note = "Only dyads with both sides named are compared."
    return [note, found, "Pairs predicted as target to source:", reversed_]


def _calibration(tiers: Tiers) -> list[str]:
    """Tables of reliability: of the predicted level, then of the probability of each level."""
    out = [
        _table(
            ("probability of the predicted level", "tier", "statements", "mean", "right"),
            [
                (
                    _bin(k),
                    tier,
                    _count(metrics, f"bin.{k}.rows"),
                    *(_value(metrics, f"bin.{k}.{name}") for name in ("confidence", "accuracy")),
                )
                for k in range(BINS)
                for tier, metrics in tiers.items()
                if metrics.get(f"bin.{k}.rows")
            ],
            text=2,
        )
    ]
    for tier, metrics in tiers.items():
        filled = [k for k in range(BINS) if any(_filled(metrics, level, k) for level in LEVELS)]
        if filled:
            out += [
                f"By level, {tier} tier: mean probability → share that is of the level "
                "(statements).",
                _table(
                    ("probability of the level", *LEVELS),
                    [(_bin(k), *(_reliability(metrics, x, k) for x in LEVELS)) for k in filled],
                ),
            ]
    return out


def _bin(k: int) -> str:
    return f"{k / BINS:.1f} to {(k + 1) / BINS:.1f}"


def _filled(metrics: Metrics, level: str, k: int) -> bool:
    return metrics.get(f"{level}.bin.{k}.rows", 0) > 0


def _reliability(metrics: Metrics, level: str, k: int) -> str:
    if not _filled(metrics, level, k):
        return _NOTHING
    name = f"{level}.bin.{k}"
    mean, true = metrics[f"{name}.confidence"], metrics[f"{name}.accuracy"]
    return f"{mean:.3f} → {true:.3f} ({_count(metrics, f'{name}.rows')})"


def _review(tiers: Tiers) -> list[str]:
    """Tables of what is gained by reading the least sure statements again."""
    marked = _table(
        ("tier", "marked for review", "errors among them", "right among the rest"),
        [
            (
                tier,
                *(
                    _value(metrics, f"review.{name}")
                    for name in ("share", "errors_caught", "accuracy_rest")
                ),
            )
            for tier, metrics in tiers.items()
        ],
    )
    percents = [k for k in REVIEW_CURVE if any(f"review.curve.{k}" in m for m in tiers.values())]
    if not percents:
        return [marked]
    curve = _table(
        ("least sure statements", *(f"share of the errors, {tier} tier" for tier in tiers)),
        [
            (f"{k}%", *(_value(metrics, f"review.curve.{k}") for metrics in tiers.values()))
            for k in percents
        ],
    )
    return [marked, "Errors among the statements with the least probable predicted level:", curve]


def _slices(tiers: Tiers, by: str) -> str:
    names = sorted({name for metrics in tiers.values() for name in _parts(metrics, by)})
    return _table(
        (by, "tier", "statements", *_SLICES.values()),
        [
            (
                name,
                tier,
                _count(metrics, f"{by}.{name}.rows"),
                *(_value(metrics, f"{by}.{name}.{m}") for m in _SLICES),
            )
            for name in names
            for tier, metrics in tiers.items()
        ],
        text=2,
    )


def _parts(metrics: Metrics, by: str, ending: str = "rows") -> list[str]:
    """Name the pools, strata or publishers that figures are given of."""
    found = (re.fullmatch(rf"{by}\.(.*)\.{ending}", name) for name in metrics)
    return sorted(match[1] for match in found if match)


def _cross_pool(metrics: Mapping[str, Any]) -> list[str]:
    within: Metrics = metrics["cv"]
    header = ("pool", "statements", *_SLICES.values(), "macro-F1 with the pool in training")
    return [
        "## On a source that it was not trained on",
        "Fast tier, trained without the pool and tested on it; in the last column cross-validated "
        "with the pool's other statements in training.",
        _table(
            header,
            [
                (
                    pool,
                    _count(figures, "rows"),
                    *(_value(figures, m) for m in _SLICES),
                    _value(within, f"pool.{pool}.macro_f1"),
                )
                for pool, figures in sorted(metrics["cross_pool"].items())
            ],
        ),
    ]


def _ablation(metrics: Mapping[str, Any]) -> list[str]:
    columns = {
        "macro_f1": "macro-F1",
        "any.f1": "any level, F1",
        "triples.f1": "dyads with level, F1",
    }
    return [
        "## What the parts of the training data give",
        "Fast tier, trained on what is named, on the held-out statements.",
        _table(
            ("", "trained on", "statements", *columns.values()),
            [
                (
                    name,
                    tried.get("what", ""),
                    _count(tried, "rows"),
                    *(_value(tried.get("dev", {}), figure) for figure in columns),
                )
                for name, tried in metrics["ablation"].items()
            ],
            text=2,
        ),
    ]


def _base_rates(metrics: Mapping[str, Any]) -> list[str]:
    measured: Tiers = metrics["base_rates"]
    drawn = ", ".join(
        f"{tier} tier by {m['model']}" for tier, m in measured.items() if "model" in m
    )
    cells = [
        (at, tier) for tier in measured for at in _parts(measured[tier], "publisher", "unsure")
    ]
    of = {(at, tier): _publisher(measured[tier], at) for at, tier in cells}
    figures = _measured_base_rates(measured)
    return [
        "## In whole feeds",
        "Statements of whole feeds were drawn at random among those called each level and coded by "
        "the codebook before their score was seen. Figures are weighted to the whole feeds"
        f"{f'; scored: {drawn}' if drawn else ''}.{_left_out(measured)}",
        _base_rate_head(measured),
        "Statements drawn; rows: called, columns: coded. The intervals know only what was drawn: "
        "what 0 of 300 have can still be 1% of all.",
        _table(
            ("called", "tier", "in the feeds", *LEVELS),
            [
                (
                    called,
                    tier,
                    _count(values, f"{called}.population"),
                    *(_count(values, f"called.{called}.{level}") for level in LEVELS),
                )
                for called in LEVELS
                for tier, values in measured.items()
            ],
            text=2,
        ),
        "By publisher:",
        _table(
            ("publisher", "tier", "coded", "in the feed", *figures.values()),
            [
                (
                    at,
                    tier,
                    *(_count(values, name) for name in ("rows", "population")),
                    *(_value(values, name) for name in figures),
                )
                for (at, tier), values in sorted(of.items())
            ],
            text=2,
        ),
        "Share of all statements that is of each level:",
        _table(
            ("publisher", "tier", *LEVELS),
            [
                (at, tier, *(_percent(values, f"{level}.base_rate") for level in LEVELS))
                for (at, tier), values in (
                    *((("all", tier), values) for tier, values in measured.items()),
                    *sorted(of.items()),
                )
            ],
            text=2,
        ),
    ]


def _left_out(measured: Tiers) -> str:
    most = max(values.get("left_out", 0) for values in measured.values())
    if not most:
        return ""
    return (
        f" {most:,.0f} statements that were labelled before are left out. They had been drawn for "
        "their levels, so that what is left holds fewer of these than the feeds do."
    )


def _measured_base_rates(measured: Tiers) -> dict[str, str]:
    """Leave out what was not measured for any tier: 0.3.0 and before have nothing of `review`."""
    found = {name for values in measured.values() for name in values}
    return {name: text for name, text in _BASE_RATES.items() if name in found}


def _base_rate_head(measured: Tiers) -> str:
    if not measured:
        return "Not measured for this model."
    header = ("in whole feeds", *(f"{tier} tier" for tier in measured))
    rows = [
        (text, *(_value(values, name) for values in measured.values()))
        for name, text in _measured_base_rates(measured).items()
    ]
    coded = ("statements coded, of all", *map(_coded, measured.values()))
    return _table(header, [*rows, coded])


def _coded(values: Metrics) -> str:
    return f"{_count(values, 'rows')} of {_count(values, 'population')}"


def _publisher(metrics: Metrics, name: str) -> Metrics:
    prefix = f"publisher.{name}."
    return {k.removeprefix(prefix): v for k, v in metrics.items() if k.startswith(prefix)}


def _behaviour(metrics: Mapping[str, Any]) -> list[str]:
    shares: Tiers = metrics["behaviour"]
    kinds = dict.fromkeys(kind for by_kind in shares.values() for kind in by_kind)
    return [
        "## Behaviour",
        "Share of pairs of our own sentences that are scored in the right order, or alike where "
        "they say the same (`tests/model/`).",
        _table(
            ("pairs", *(f"{tier} tier" for tier in shares)),
            [
                (kind.replace("_", " "), *(_value(values, kind) for values in shares.values()))
                for kind in kinds
            ],
        ),
    ]


def _cost(metrics: Mapping[str, Any]) -> list[str]:
    return [
        "## Cost",
        "Seconds, and sentences per second, are of the CPU time of one process.",
        _table(("", ""), list(_flat(metrics["cost"]))),
    ]


def _flat(costs: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Name every number of a nest of mappings."""
    for key, value in costs.items():
        name = before + key.replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}, ")
        else:
            yield name, _number(value)


def _number(value: object) -> str:
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


_SECTIONS: Final[dict[str, Callable[[Mapping[str, Any]], list[str]]]] = {
    "cross_pool": _cross_pool,
    "ablation": _ablation,
    "base_rates": _base_rates,
    "behaviour": _behaviour,
    "cost": _cost,
}
"""Parts of ``metrics.json`` that a model may have, and what renders them."""


def _value(metrics: Metrics, name: str) -> str:
    """Show a figure with its interval, or a dash where it is undefined."""
    if name not in metrics:
        return _NOTHING
    if f"{name}.low" not in metrics:
        return f"{metrics[name]:.3f}"
    return f"{metrics[name]:.3f} ({metrics[f'{name}.low']:.3f}–{metrics[f'{name}.high']:.3f})"


def _percent(metrics: Metrics, name: str) -> str:
    """Show a small share with its interval as percent, or a dash where it is undefined."""
    if name not in metrics:
        return _NOTHING
    if f"{name}.low" not in metrics:
        return f"{metrics[name]:.2%}"
    return f"{metrics[name]:.2%} ({metrics[f'{name}.low']:.2%}–{metrics[f'{name}.high']:.2%})"


def _count(metrics: Metrics, name: str) -> str:
    return f"{metrics[name]:,.0f}" if name in metrics else _NOTHING


def _table(header: Sequence[object], rows: Iterable[Sequence[object]], text: int = 1) -> str:
    """Write a table; the first `text` columns hold words and stand left, the others numbers."""
    rule = ["---"] * text + ["---:"] * (len(header) - text)
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in (header, rule, *rows))


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
