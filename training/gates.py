"""Gates: limits that a model must reach, and margins by which it may be worse than the champion on the same rows.

The file that holds them, ``gates.toml``, says what `limit` and `margin` mean. Which way is better, the metric says.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from scoring.errors import TensionError
from scoring.levels import LEVELS
from scoring.tiers import TIERS

GATES_FILE: Final = Path(__file__).with_name("gates.toml")
SIZE: Final = "size"
"""The table of the sizes; the other tables are tiers."""

TIER: Final = "tier"
"""Metric of a tier that was lost."""

SPEED: Final = "speed"
BEHAVIOUR: Final = ("behaviour", "codebook", "past_misses", "plain_dyads")
"""Shares of the cases of ``tests/model/cases`` that hold (`training.behaviour`)."""

_ROWS: Final = "rows"
_SIZES: Final = ("model", "encoder")
_F1: Final = tuple(
    f"{what}.{figure}"
    for what in (*LEVELS, "any", "triples", "pairs")
    for figure in ("f1", "precision", "recall")
)
_HIGH: Final = ("macro_f1", "accuracy", "kappa", "review.errors_caught", "review.accuracy_rest")
_LOW: Final = ("ece", "log_loss", "brier", "review.share", "pairs.reversed")
_LEVEL_LOW: Final = tuple(f"{level}.ece" for level in LEVELS)

HIGH: Final = frozenset({*_HIGH, *_F1, *BEHAVIOUR, SPEED})
"""Metrics of a tier of which more is better."""

LOW: Final = frozenset({*_LOW, *_LEVEL_LOW})
"""Metrics of a tier of which less is better."""

Figures = Mapping[str, Mapping[str, float]]
"""Tier, or `SIZE` -> metric -> value."""


class GatesError(TensionError):
    """A file of gates is not as it should be; names file, line and key."""


class Gate(NamedTuple):
    """One metric of one tier, and what it must reach.

    Parameters
    ----------
    table : str
        Tier, or `SIZE`.
    metric : str
        Its name.
    limit : float or None
        Absolute bound.
    margin : float or None
        By how much it may be worse than the champion's; of `SPEED` and sizes a share of the champion's.
    """

    table: str
    metric: str
    limit: float | None
    margin: float | None

    @property
    def higher_is_better(self) -> bool:
        """Which way is better."""
        return self.table != SIZE and self.metric in HIGH

    @property
    def relative(self) -> bool:
        """Whether the margin is a share of the champion's value."""
        return self.table == SIZE or self.metric == SPEED


class Gates(NamedTuple):
    """What a file of gates holds.

    Parameters
    ----------
    least : int
        Rows that a comparison needs.
    least_of_a_level : int
        Rows of each level that it needs.
    gates : tuple of Gate
        In the order of the file.
    """

    least: int
    least_of_a_level: int
    gates: tuple[Gate, ...]

    def needs_behaviour(self) -> bool:
        """Tell whether a gate asks for the behaviour cases."""
        return any(gate.metric in BEHAVIOUR for gate in self.gates)


class Verdict(NamedTuple):
    """What a gate says.

    Parameters
    ----------
    gate : Gate
        The gate.
    value : float or None
        The challenger's; None where it has none.
    champion : float or None
        The champion's; None where it has none, or was not asked.
    bound : float or None
        What had to be reached; None where there is nothing to reach.
    by : str
        Where the bound comes from: ``limit`` or ``margin``.
    holds : bool
        Whether it was reached.
    """

    gate: Gate
    value: float | None
    champion: float | None
    bound: float | None
    by: str
    holds: bool

    def reason(self) -> str:
        """Say in one sentence why the gate does not hold."""
        name = f"{self.gate.table} {self.gate.metric}"
        if self.gate.metric == TIER:
            return f"{self.gate.table}: expected the tier that the champion has, found none."
        if self.value is None:
            has = "" if self.champion is None else f"; the champion has {number(self.champion)}"
            return f"{name}: expected a value, found none (not defined on these rows){has}."
        at = "at least" if self.gate.higher_is_better else "at most"
        why = "the limit" if self.by == "limit" else f"the champion's {number(self.champion)}"
        also = ""
        if (
            self.by == "limit"
            and self.champion is not None
            and _worse(self.gate, self.champion, self.bound)
        ):
            also = f"; the champion does not reach it either ({number(self.champion)})"
        return (
            f"{name}: expected {at} {number(self.bound)} ({why}), found {number(self.value)}{also}."
        )


def number(value: float | None) -> str:
    """Write a value the way a table shows it."""
    if value is None:
        return "–"
    return (
        f"{value:,.0f}"
        if abs(value) >= 1000
        else f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.3f}"
    )


def read(path: Path | None = None) -> Gates:
    """Read and check a file of gates.

    Parameters
    ----------
    path : Path, optional
        TOML; the package's by default.

    Returns
    -------
    Gates

    Raises
    ------
    GatesError
        If there is no such file, it is no TOML, a metric is unknown, or a value is no number; names the line.
    """
    path = GATES_FILE if path is None else path
    try:
        text = path.read_text(encoding="utf-8")
        found = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise GatesError(
            f"{path}: expected a readable file of gates, found none ({error}). "
            "Give another with --gates, or none for the package's."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise GatesError(f"{path}: expected TOML, found none: {error}. Mend the file.") from error
    reader = _Reader(path, text)
    rows = reader.rows(found.pop(_ROWS, {}))
    gates = tuple(gate for table, metrics in found.items() for gate in reader.gates(table, metrics))
    if not gates:
        raise GatesError(
            f"{path}: expected at least one gate, found none. Add one, such as those of {GATES_FILE.name}."
        )
    return Gates(*rows, gates)


class _Reader:
    """Reads the tables of one file, and says where in it something is wrong."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._lines = path, text.splitlines()

    def wrong(self, table: str, key: str, problem: str) -> GatesError:
        at = self._line(table, key)
        place = f"{self._path}, line {at}" if at else str(self._path)
        name = f"[{table}] {key}".strip()
        return GatesError(f"{place}: {name}: {problem} Mend the line.")

    def _line(self, table: str, key: str) -> int | None:
        """Find the line of a key; of the table where there is no such line."""
        inside, head = False, None
        for at, line in enumerate(self._lines, start=1):
            if header := re.match(
                r"\s*\[\s*[\"']?([^\]\"'.]+)[\"']?(?:\.[\"']?([^\]]+?)[\"']?)?\s*\]", line
            ):
                inside = header[1].strip() == table
                head = at if inside and head is None else head
                if inside and key and header[2] == key:
                    return at
            elif inside and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]", line):
                return at
        return head

    def rows(self, found: Any) -> tuple[int, int]:
        names = ("least", "least_of_a_level")
        if not isinstance(found, dict):
            raise self.wrong(
                _ROWS, "", f"expected a table of {' and '.join(names)}, found {found!r}."
            )
        for key, value in found.items():
            if key not in names:
                raise self.wrong(_ROWS, key, f"expected {' or '.join(names)}, found {key!r}.")
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise self.wrong(_ROWS, key, f"expected a whole number from 1, found {value!r}.")
        return found.get(names[0], 1), found.get(names[1], 1)

    def gates(self, table: str, metrics: Any) -> Iterator[Gate]:
        if table not in (*TIERS, SIZE) or not isinstance(metrics, dict):
            expected = ", ".join(f"[{name}]" for name in (_ROWS, *TIERS, SIZE))
            raise self.wrong(table, "", f"expected the tables {expected}, found {table!r}.")
        known = _SIZES if table == SIZE else (*sorted(HIGH), *sorted(LOW))
        for metric, bounds in _flat(metrics):
            if metric not in known:
                problem = f"expected one of {', '.join(known)}, found {metric!r}."
                raise self.wrong(table, metric, problem)
            yield self._gate(table, metric, bounds)

    def _gate(self, table: str, metric: str, bounds: Any) -> Gate:
        names = ("margin",) if metric == SPEED else ("limit", "margin")
        if not isinstance(bounds, dict) or not bounds or set(bounds) - set(names):
            example = ", ".join(f"{name} = 0.1" for name in names)
            raise self.wrong(table, metric, f"expected {{ {example} }}, found {bounds!r}.")
        for name, value in bounds.items():
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not math.isfinite(value)
            ):
                raise self.wrong(table, metric, f"expected {name} to be a number, found {value!r}.")
        return Gate(table, metric, bounds.get("limit"), bounds.get("margin"))


def _flat(metrics: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Name every metric of a table: ``any.f1 = ...`` without quotes is a table in it."""
    for key, value in metrics.items():
        nested = isinstance(value, dict) and value and not set(value) & {"limit", "margin"}
        if nested and all(isinstance(part, dict) for part in value.values()):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def judge(gates: Gates, challenger: Figures, champion: Figures | None) -> list[Verdict]:
    """Hold a challenger against the gates.

    Parameters
    ----------
    gates : Gates
        From `read`.
    challenger, champion : mapping of str to mapping of str to float
        Figures on the same rows, of the tiers that each has; without a champion only limits count.

    Returns
    -------
    list of Verdict
        One a gate, in the order of the gates; those of a tier or an encoder that the challenger lacks are left out,
        and so are, without a champion, those without a limit. A tier that the champion has and the challenger
        lacks is one more, named `TIER`, that does not hold.
    """
    verdicts, lost = [], [tier for tier in champion or () if tier not in challenger]
    for gate in gates.gates:
        if gate.table in lost:
            continue
        ours = challenger.get(gate.table)
        theirs = None if champion is None else champion.get(gate.table)
        if gate.table == SIZE:  # not every model has an encoder
            ours = ours if ours and gate.metric in ours else None
            theirs = theirs if theirs and gate.metric in theirs else None
        if ours is None or (gate.limit is None and theirs is None):
            continue
        champions = None if theirs is None else theirs.get(gate.metric)
        verdicts.append(_verdict(gate, ours.get(gate.metric), champions))
    return verdicts + [
        Verdict(Gate(tier, TIER, None, None), None, None, None, "margin", False) for tier in lost
    ]


def _verdict(gate: Gate, value: float | None, champion: float | None) -> Verdict:
    bounds = {}
    if gate.limit is not None:
        bounds["limit"] = gate.limit
    if gate.margin is not None and champion is not None:
        slack = gate.margin * (champion if gate.relative else 1)
        bounds["margin"] = champion - slack if gate.higher_is_better else champion + slack
    if not bounds:  # a margin, and the champion has no such figure on these rows
        return Verdict(gate, value, champion, None, "margin", value is not None)
    strict = max if gate.higher_is_better else min
    by = strict(bounds, key=lambda name: bounds[name])
    holds = value is not None and not _worse(gate, value, bounds[by])
    return Verdict(gate, value, champion, bounds[by], by, holds)


def _worse(gate: Gate, value: float, bound: float | None) -> bool:
    if bound is None:
        return False
    slip = 1e-9 * max(1.0, abs(bound))  # 0.7 - 0.01 is not 0.69 to the last bit
    return value < bound - slip if gate.higher_is_better else value > bound + slip
