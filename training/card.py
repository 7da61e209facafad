"""The model card: rendered from a model folder's manifest and metrics, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from scoring.artifact import MANIFEST_FILE
from scoring.errors import ArtifactMissing, ArtifactTampered, OutputError
from scoring.levels import LEVELS
from training.evaluate import BINS, Metrics

METRICS_FILE: Final = "metrics.json"
CARD_FILE: Final = "card.md"

_MARK: Final = "<!-- metrics -->"
_END: Final = "<!-- /metrics -->"

_PARTS: Final = {
    "dev": "held-out statements, never used in fitting (but looked at to choose between variants)",
    "cv": "training statements by 5-fold cross-validation, near-duplicates kept together",
}
_METHODS: Final = {
    "keywords": "a dozen keyword rules",
    "tfidf": "TF-IDF + logistic regression",
}
_HEADLINES: Final = {
    "macro_f1": "macro-F1, four levels",
    "any.f1": "F1, any level against none",
    "kappa": "quadratic kappa",
    "accuracy": "accuracy",
    "ece": "calibration error (ECE, 10 bins)",
    "log_loss": "log-loss",
    "brier": "Brier score (0 to 2)",
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
threat) and says who says it to whom. Linear classifiers over words and phrases with the names of
states masked, so that the score is the same whichever states they are. The levels are those of
the codebook (`docs/codebook.md`).
"""

_LIMITS: Final = """\
- English only. Text in other languages is marked as such and not scored.
- The statements were drawn by cue words and by what earlier models found or doubted. Levels are
  far more frequent in them than in a feed: expect lower precision there. Strata named `random` or
  `r` come closest to what a feed holds.
- The labels come from language models that coded by the codebook, not from human experts.
  Agreement between such coders is no proof of agreement with people.
- State media (KCNA, RT) are part of the training data, and so are their wording and their choice
  of stories. A score says what a sentence reports a state as saying, not whether it is true or
  who is right.
- Single sentences are judged. What only the context tells (irony, a quotation refuted in the next
  sentence) is lost.
- Intervals are percentile bootstrap over statements, 95%: they hold for more statements of the
  same sort, not for other sources or years.
- Not for automated decisions. A score orders statements for a reader; it is no probability of
  conflict and no ground for action against anyone.
"""


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read ``metrics.json`` of a model folder: part -> metrics, and ``baselines``.

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


def headlines(folder: Path) -> str:
    """Render the main table of the card by itself: for the README.

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
    head = next(part for part in _PARTS if part in metrics)
    return _headlines(metrics[head], metrics["baselines"])


def write_headlines(folder: Path, page: Path) -> Path:
    """Put the main table of the card between the markers ``<!-- metrics -->`` of a page.

    Raises
    ------
    OutputError
        If the page has no such markers.
    """
    text = page.read_text(encoding="utf-8")
    before, mark, rest = text.partition(_MARK)
    _, end, after = rest.partition(_END)
    if not (mark and end):
        raise OutputError(f"{page}: expected the markers {_MARK} and {_END}, found none. Add them.")
    page.write_text(f"{before}{mark}\n{headlines(folder)}\n{end}{after}", encoding="utf-8")
    return page


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
    head = "dev" if "dev" in metrics else "cv"
    parts = {part: metrics[part] for part in dict.fromkeys((head, "cv"))}
    sections = [
        f"# Model {manifest['version']}",
        _WHAT.strip(),
        "This page is rendered from `manifest.json` and `metrics.json` (`tension-train card`).",
        _facts(manifest),
        "## Training data",
        *_data(manifest["train"]),
        "## How well it does",
        _headlines(parts[head], metrics["baselines"]),
        f"Measured on {parts[head]['rows']:,.0f} {_PARTS[head]}, all methods on the same rows; "
        "in brackets the interval.",
    ]
    if near := manifest.get(head, {}).get("near_train"):
        sections.append(
            f"{near} of them share eight words in a row with a training statement, mostly formulas."
        )
    for part, values in parts.items():
        sections += [f"## In detail: {part}", f"On {values['rows']:,.0f} {_PARTS[part]}."]
        if part != head:
            sections.append(_headlines(values, {}))
        sections += _details(values)
    return "\n\n".join([*sections, "## Limits", _LIMITS.strip()]) + "\n"


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
        align="---",
    )


def _data(described: Mapping[str, Any]) -> list[str]:
    rows, unsure = described["rows"], described["unsure"]
    out = [f"{rows:,} labelled statements; the coder was unsure of {unsure:,}."]
    for by in ("pool", "stratum"):
        lines = [
            (name, *(counts.get(level, 0) for level in LEVELS), sum(counts.values()))
            for name, counts in described[by].items()
        ]
        out.append(_table((by, *LEVELS, "all"), lines))
    return out


def _headlines(metrics: Metrics, baselines: Mapping[str, Metrics]) -> str:
    methods = [metrics, *(baselines[name] for name in _METHODS if name in baselines)]
    names = ["this model", *(text for name, text in _METHODS.items() if name in baselines)]
    rows = [
        (text, *(_value(values, name) for values in methods)) for name, text in _HEADLINES.items()
    ]
    return _table(("", *names), rows)


def _details(metrics: Metrics) -> list[str]:
    measures = ("precision", "recall", "f1", "ece")
    return [
        "### Levels",
        _table(
            ("level", "precision", "recall", "F1", "calibration error", "statements"),
            [
                (
                    level,
                    *(_value(metrics, f"{level}.{m}") for m in measures),
                    _count(metrics, f"{level}.support"),
                )
                for level in LEVELS
            ],
        ),
        "Rows: labelled; columns: predicted.",
        _table(
            ("", *LEVELS),
            [
                (gold, *(_count(metrics, f"confusion.{gold}.{level}") for level in LEVELS))
                for gold in LEVELS
            ],
        ),
        "### Who to whom",
        *_dyads(metrics),
        "### Calibration",
        _table(
            ("probability of the predicted level", "statements", "mean", "right"),
            [
                (
                    f"{k / BINS:.1f} to {(k + 1) / BINS:.1f}",
                    _count(metrics, f"bin.{k}.rows"),
                    *(_value(metrics, f"bin.{k}.{name}") for name in ("confidence", "accuracy")),
                )
                for k in range(BINS)
                if metrics.get(f"bin.{k}.rows")
            ],
        ),
        f"Marked for review: {_value(metrics, 'review.share')} of the statements, with "
        f"{_value(metrics, 'review.errors_caught')} of the errors; of the rest "
        f"{_value(metrics, 'review.accuracy_rest')} are right.",
        "### Pools and strata",
        *(_slices(metrics, by) for by in ("pool", "stratum")),
    ]


def _dyads(metrics: Metrics) -> list[str]:
    table = _table(
        ("", "precision", "recall", "F1", "predicted", "labelled"),
        [
            (
                text,
                *(_value(metrics, f"{kind}.{m}") for m in ("precision", "recall", "f1")),
                *(_count(metrics, f"{kind}.{m}") for m in ("predicted", "gold")),
            )
            for kind, text in _DYADS.items()
        ],
    )
    note = (
        "Only dyads with both sides named are compared. Predicted the wrong way round: "
        f"{_count(metrics, 'pairs.reversed.count')}."
    )
    return [table, note]


def _slices(metrics: Metrics, by: str) -> str:
    ending = ".rows"
    names = [
        name.removeprefix(f"{by}.").removesuffix(ending)
        for name in metrics
        if name.startswith(f"{by}.") and name.endswith(ending)
    ]
    rows = [
        (
            name,
            _count(metrics, f"{by}.{name}.rows"),
            *(_value(metrics, f"{by}.{name}.{m}") for m in _SLICES),
        )
        for name in sorted(names)
    ]
    return _table((by, "statements", *_SLICES.values()), rows)


def _value(metrics: Metrics, name: str) -> str:
    """Show a figure with its interval, or a dash where it is undefined."""
    if name not in metrics:
        return "–"
    if f"{name}.low" not in metrics:
        return f"{metrics[name]:.3f}"
    return f"{metrics[name]:.3f} ({metrics[f'{name}.low']:.3f}–{metrics[f'{name}.high']:.3f})"


def _count(metrics: Metrics, name: str) -> str:
    return f"{metrics[name]:,.0f}" if name in metrics else "–"


def _table(header: Sequence[object], rows: Iterable[Sequence[object]], align: str = "---:") -> str:
    lines = [header, ["---", *[align] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
