"""Pictures of scored statements, for notebooks and scripts: who escalates against whom, when, how high, and why.

Every function takes the table of scores as `scoring.scorer.Scorer.score_frame` or ``pd.read_parquet("out.parquet")``
gives it, and returns a matplotlib figure (``figure.savefig("out.png")``) or a table. Needs the extra ``notebooks``.

>>> from scoring import plots
>>> plots.ladder(records).savefig("ladder.png")  # doctest: +SKIP
"""

from __future__ import annotations

import html
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scoring.errors import ExtraMissing, UsageError
from scoring.levels import CODE, LEVELS, PROBABILITIES
from scoring.report import visible

try:
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch
    from matplotlib.ticker import FuncFormatter, MaxNLocator
except ImportError as error:
    raise ExtraMissing("notebooks", error.name) from error

if TYPE_CHECKING:
    from scoring.scorer import Scorer

COLOURS: Final[dict[str, str]] = {
    "none": "#c3c9d1",
    "protest": "#efb43c",
    "warning": "#d9572a",
    "threat": "#6d1149",
}
"""Level -> colour: the higher the darker, so that they are told apart in any kind of colour vision, and in print."""

MOST: Final = 12
"""Dyads, or sides, that a picture shows unless told otherwise: the most frequent."""

PERIODS: Final[dict[str, tuple[str, int]]] = {
    "day": ("D", 1),
    "week": ("W", 7),
    "month": ("M", 30),
    "quarter": ("Q", 91),
    "year": ("Y", 365),
}
"""Periods of time: pandas' letter, and days."""

Every = Literal["auto", "day", "week", "month", "quarter", "year"]

_BUBBLES: Final = 31  # periods that there is room for
_BARS: Final = 130
_SAID: Final = LEVELS[1:]
_RAMP: Final = LinearSegmentedColormap.from_list("ladder", [COLOURS[level] for level in _SAID])
_PRIOR: Final = 0.5  # Jeffreys' prior: articles of each level seen before any was
_DRAWS: Final = 4000
_LARGEST: Final = 560.0  # bubbles: squares of their diameters in points
_SMALLEST: Final = 60.0
_NUMBERED: Final = 170.0  # with a number in it
_LEAST_EFFECT: Final = 0.02  # of a phrase that is evidence
_INK: Final = "#222222"
_SOFT: Final = "#8a8f96"

Array = NDArray[np.float64]


class Picture(Figure):
    """A matplotlib figure that a notebook shows without pyplot, which would keep every figure of the process."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=110)
        return file.getvalue()


# --- who, when ---


def timeline(records: pd.DataFrame, *, every: Every = "auto", most: int = MOST) -> Figure:
    """Draw when which dyads escalate: a row a dyad, a bubble a period.

    Parameters
    ----------
    records : pandas.DataFrame
        Records; those of level `none`, without a date or with a side not named are left out.
    every : str, optional
        ``day``, ``week``, ``month``, ``quarter`` or ``year``; by default what suits the time that they span.
    most : int, optional
        Dyads at most, those with most statements.

    Returns
    -------
    matplotlib.figure.Figure
        Area of a bubble: number of statements, which is written in it. Colour: the highest level.
    """
    said, left_out = _dated(*_named(records))
    if said.empty:
        return _empty(records, "no dated statement")
    period, name = _periods(said, every, _BUBBLES)
    said = said.assign(period=period)
    dyads, others = _most_frequent(said["dyad"], most)
    cells = said.groupby(["dyad", "period"])["code"].agg(["size", "max"]).reset_index()
    cells = cells[cells["dyad"].isin(dyads)]
    rows = {dyad: len(dyads) - 1 - k for k, dyad in enumerate(dyads)}
    figure, axes = _axes(9, 1.4 + 0.36 * len(dyads))
    y = cells["dyad"].map(rows).to_numpy(dtype=float)
    columns = (period.max() - period.min()).days / PERIODS[name][1] + 3
    room = (1.2 * 6.6 * 72 / columns) ** 2  # some 6.6 inches are left to the columns
    areas = _areas(cells["size"], largest=max(min(_LARGEST, room), _SMALLEST))
    numbered = (cells["size"].to_numpy() > 1) & (room >= _NUMBERED)
    areas = np.where(numbered, np.maximum(areas, _NUMBERED), areas)
    colours = [COLOURS[LEVELS[code]] for code in cells["max"]]
    axes.scatter(cells["period"], y, s=areas, c=colours, edgecolors="white", zorder=3)
    for when, at, size, code in (
        cells[["period", "size", "max"]]
        .assign(y=y)[numbered][["period", "y", "size", "max"]]
        .itertuples(index=False)
    ):
        _number(axes, when, at, size, LEVELS[code])
    axes.set_yticks(list(rows.values()), list(rows))
    axes.set_ylim(-0.7, len(dyads) - 0.3)
    axes.grid(axis="y", color="#e6e8eb", zorder=0)
    _date_axis(axes, said["period"], PERIODS[name][1])
    _level_legend(figure, "highest level")
    _title(axes, f"Who escalates against whom, by {name}")
    number = "number: statements, if more than one" if numbered.any() else "area: statements"
    _note(figure, [_not_shown(others, "dyad"), left_out, number])
    return figure


def dyad_over_time(
    records: pd.DataFrame,
    source: str,
    target: str,
    *,
    every: Every = "auto",
    measure: Literal["count", "score"] = "count",
) -> Figure:
    """Draw what two sides say to each other over time.

    Parameters
    ----------
    records : pandas.DataFrame
        Records; those of level `none` or without a date are left out.
    source, target : str
        Codes of the two sides, as in the columns of that name.
    every : str, optional
        As of `timeline`.
    measure : str, optional
        ``count``: statements by level, those of `source` upwards, those of `target` downwards. ``score``: their mean
        score, a line a direction, the markers larger where there are more statements.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if measure not in ("count", "score"):
        raise UsageError(f"expected measure to be count or score, found {measure!r}.")
    said, left_out = _dated(*_named(records))
    there = (said["source"] == source) & (said["target"] == target)
    back = (said["source"] == target) & (said["target"] == source)
    if not (there | back).any():
        return _empty(records, f"no dated statement between {source} and {target}")
    said = said[there | back].assign(back=back[there | back])
    period, name = _periods(said, every, _BARS)
    said = said.assign(period=period)
    figure, axes = _axes(9, 4)
    if measure == "count":
        _mirrored_bars(axes, said, PERIODS[name][1])
        axes.set_ylabel(f"statements a {name}")
        _level_legend(figure, "level")
    else:
        _score_lines(axes, said, (_arrow(source, target), _arrow(target, source)))
        axes.set_ylabel(f"mean score a {name}")
    if measure == "count":
        for label, at, where in ((source, 0.97, "top"), (target, 0.03, "bottom")):
            other = target if label == source else source
            axes.text(
                0.01, at, _arrow(label, other), transform=axes.transAxes, va=where, weight="bold"
            )
    _date_axis(axes, said["period"], PERIODS[name][1])
    _title(axes, f"{source} and {target}, by {name}")
    _note(figure, [left_out if "date" in left_out else ""])
    return figure


def _mirrored_bars(axes: Axes, said: pd.DataFrame, days: int) -> None:
    for back, sign in ((False, 1), (True, -1)):
        base = pd.Series(dtype=float)
        for level in _SAID:
            here = (said["back"] == back) & (said["level"] == level)
            height = said[here].groupby("period").size().astype(float)
            bottom = base.reindex(height.index, fill_value=0.0)
            axes.bar(
                height.index,
                sign * height,
                width=0.9 * days,
                bottom=sign * bottom,
                color=COLOURS[level],
                edgecolor="white",
                linewidth=0.5,
                align="edge" if days > 1 else "center",
                label=level,
            )
            base = base.add(height, fill_value=0.0)
    axes.axhline(0, color=_INK, linewidth=0.8)
    low, high = axes.get_ylim()
    most = 1.18 * max(abs(low), abs(high), 1)
    axes.set_ylim(-most, most)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):.0f}"))


def _score_lines(axes: Axes, said: pd.DataFrame, labels: tuple[str, str]) -> None:
    styles = (("#0072b2", "-", "o"), ("#d55e00", "--", "s"))
    means = said.groupby(["back", "period"])["score"].agg(["mean", "size"])
    areas = pd.Series(_areas(means["size"], largest=160, smallest=25), means.index)
    for back, label, (colour, line, marker) in zip((False, True), labels, styles, strict=True):
        if back not in means.index.get_level_values("back"):
            continue
        part = means.loc[back]
        axes.plot(part.index, part["mean"], line, color=colour, linewidth=1.4, zorder=2)
        axes.scatter(
            part.index,
            part["mean"],
            s=areas.loc[back],
            color=colour,
            marker=marker,
            edgecolors="white",
            zorder=3,
            label=label,
        )
    for code in range(1, len(LEVELS)):
        height = code / (len(LEVELS) - 1)
        axes.axhline(height, color=COLOURS[LEVELS[code]], linewidth=0.8, linestyle=":")
        axes.annotate(
            LEVELS[code],
            (1, height),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=_SOFT,
        )
    axes.set_ylim(0, 1.05)
    axes.legend(loc="lower left", frameon=False, ncols=2, bbox_to_anchor=(0, 0.0))


# --- how high ---


def standing(
    records: pd.DataFrame, by: Literal["dyad", "source", "target"] = "dyad"
) -> pd.DataFrame:
    """Tell how high on the ladder each dyad, source or target stands in what escalates.

    Articles are the unit, for the sentences of one story say the same thing: each counts once, shared out over the
    levels of its statements. The mean step and its interval are those of a Dirichlet distribution with Jeffreys' prior
    over protest, warning and threat, so that one threat in one article does not stand above sixty in a hundred.

    Parameters
    ----------
    records : pandas.DataFrame
        Records; those of level `none` are left out, and those with a side not named that is asked for.
    by : str, optional
        Of what: ``dyad``, ``source`` or ``target``.

    Returns
    -------
    pandas.DataFrame
        Index: the code, or ``RUS → KOR``. Columns ``protest``, ``warning``, ``threat`` (statements), ``statements``,
        ``articles`` (int), ``step`` (float, 1 = protest to 3 = threat), ``low`` and ``high`` (interval of 95%); the
        highest step first.
    """
    if by not in ("dyad", "source", "target"):
        raise UsageError(f"expected by to be dyad, source or target, found {by!r}.")
    said, _ = _named(records, sides=("source", "target") if by == "dyad" else (by,))
    counts = said.groupby([by, "level"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=list(_SAID), fill_value=0)
    shares = said.groupby([by, "article_id", "level"]).size().unstack(fill_value=0)
    shares = shares.reindex(columns=list(_SAID), fill_value=0)
    shares = shares.div(shares.sum(axis=1), axis=0).groupby(level=0).sum().reindex(counts.index)
    out = counts.assign(
        statements=counts.sum(axis=1), articles=said.groupby(by)["article_id"].nunique()
    )
    steps = np.array([_step(row) for row in shares.to_numpy(dtype=float)]).reshape(-1, 3)
    out[["step", "low", "high"]] = steps
    out.columns.name = None
    order = ["step", "statements"]
    return out.sort_index().sort_values(order, ascending=False, kind="stable")


def _step(articles: Array) -> tuple[float, float, float]:
    """Return mean and interval of the step from the articles of each level."""
    weights, codes = articles + _PRIOR, np.arange(1, len(LEVELS))
    drawn = np.random.default_rng(0).dirichlet(weights, _DRAWS) @ codes
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(weights @ codes / weights.sum()), float(low), float(high)


def ladder(
    records: pd.DataFrame,
    *,
    by: Literal["dyad", "source", "target"] = "dyad",
    most: int = MOST,
) -> Figure:
    """Draw who stands how high on the ladder, against whom.

    Parameters
    ----------
    records : pandas.DataFrame
        Records, as `standing` takes them.
    by : str, optional
        A row a ``dyad``, ``source`` or ``target``.
    most : int, optional
        Rows at most, those with most statements; the highest standing on top.

    Returns
    -------
    matplotlib.figure.Figure
        A bubble for the statements of each level, with their number; below it the mean step with its interval of 95%,
        as `standing` gives them.
    """
    table = standing(records, by)
    if table.empty:
        return _empty(records, "no statement")
    names, others = _most_frequent(table["statements"], most)
    table = table[table.index.isin(names)]
    rows = np.arange(len(table))[::-1].astype(float)
    figure, axes = _axes(8, 1.6 + 0.56 * len(table))
    for code, level in enumerate(LEVELS):
        axes.axvspan(code - 0.5, code + 0.5, color=COLOURS[level], alpha=0.10, linewidth=0)
    areas = _areas(table[list(_SAID)].to_numpy(dtype=float), smallest=_NUMBERED)
    for code, level in enumerate(_SAID, 1):
        some = (table[level] > 0).to_numpy()
        axes.scatter(
            np.full(some.sum(), float(code)),
            rows[some] + 0.12,
            s=areas[some, code - 1],
            color=COLOURS[level],
            edgecolors="white",
            label=level,
            zorder=3,
        )
        for at, number in zip(rows[some], table[level].to_numpy()[some], strict=True):
            _number(axes, code, at + 0.12, number, level)
    axes.hlines(rows - 0.3, table["low"], table["high"], color=_INK, linewidth=1.6, zorder=4)
    axes.plot(table["step"], rows - 0.3, "D", color=_INK, markersize=4.5, zorder=5, label="mean")
    axes.set_yticks(rows, list(table.index))
    axes.set_ylim(-0.6, len(table) - 0.4)
    axes.set_xlim(-0.35, len(LEVELS) - 0.5)
    axes.set_xticks(range(len(LEVELS)), LEVELS)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for at, row in zip(rows, table.itertuples(), strict=True):
        text = f"{row.statements:,} in {row.articles:,}"
        axes.text(len(LEVELS) - 0.45, at, text, va="center", color=_SOFT)
    axes.text(
        len(LEVELS) - 0.45, len(table) - 0.4, "statements\nin articles", va="bottom", color=_SOFT
    )
    title = {"dyad": "Who stands how high, against whom", "source": "Who stands how high"}
    _title(axes, title.get(by, "Against whom others stand how high"))
    sides = ("source", "target") if by == "dyad" else (by,)
    more = _not_shown(others, by)
    _note(figure, [more, _named(records, sides)[1], "◆ mean step, with interval of 95%"])
    return figure


# --- who with whom ---


def network(
    records: pd.DataFrame,
    *,
    most: int = 30,
    colour: Literal["highest", "mean"] = "highest",
) -> Figure:
    """Draw who speaks to whom as a network of arrows.

    Parameters
    ----------
    records : pandas.DataFrame
        Records; those of level `none` and those with a side not named are left out.
    most : int, optional
        Dyads at most, those with most statements.
    colour : str, optional
        An arrow has the colour of its ``highest`` level, or of the ``mean`` of its levels.

    Returns
    -------
    matplotlib.figure.Figure
        Width of an arrow, and the number at it: statements. The same records give the same picture.
    """
    try:
        import networkx as nx
    except ImportError as error:
        raise ExtraMissing("notebooks", error.name) from error

    if colour not in ("highest", "mean"):
        raise UsageError(f"expected colour to be highest or mean, found {colour!r}.")
    said, left_out = _named(records)
    if said.empty:
        return _empty(records, "no statement between two named sides")
    dyads, others = _most_frequent(said["dyad"], most)
    said = said[said["dyad"].isin(dyads)]
    edges = said.groupby(["source", "target"])["code"].agg(["size", "max", "mean"]).reset_index()
    graph = nx.DiGraph()
    for source, target, size, highest, mean in edges.itertuples(index=False):
        step = highest if colour == "highest" else mean
        graph.add_edge(source, target, size=size, colour=_RAMP((step - 1) / (len(LEVELS) - 2)))
    places, width, height = _places(nx, graph)
    scale = min(1.0, 10 / max(width, height))
    figure, axes = _axes(max(4.0, scale * width) + 1.2, max(1.8, scale * height) + 0.7)
    sizes = [graph.edges[edge]["size"] for edge in graph.edges]
    arrows = nx.draw_networkx_edges(
        graph,
        places,
        ax=axes,
        node_size=820,
        width=[1.2 + 4.8 * np.sqrt(size / max(sizes)) for size in sizes],
        edge_color=[graph.edges[edge]["colour"] for edge in graph.edges],
        arrowsize=16,
        connectionstyle="arc3,rad=0.16",
    )
    for (source, target), arrow in zip(graph.edges, arrows, strict=True):
        arrow.set_gid(f"{source}>{target}")  # for SVG, and for whoever asks which is which
    nx.draw_networkx_nodes(
        graph, places, ax=axes, node_size=820, node_color="white", edgecolors=_INK, linewidths=1
    )
    nx.draw_networkx_labels(graph, places, ax=axes, font_size=8.5, font_weight="bold")
    nx.draw_networkx_edge_labels(
        graph,
        places,
        {edge: graph.edges[edge]["size"] for edge in graph.edges if graph.edges[edge]["size"] > 1},
        ax=axes,
        font_size=8,
        rotate=False,
        bbox={"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.85},
        connectionstyle="arc3,rad=0.16",
    )
    axes.set_axis_off()
    axes.set_aspect("equal")
    axes.set_xlim(-0.1, width + 0.1)
    axes.set_ylim(-0.1, height + 0.1)
    _level_legend(figure, f"{colour} level")
    _title(axes, "Who speaks to whom")
    _note(figure, [_not_shown(others, "dyad"), left_out, "number: statements, if more than one"])
    return figure


def _places(nx: Any, graph: Any) -> tuple[dict[str, Array], float, float]:
    """Lay out every connected part by itself, and the parts in rows: places, width and height of all."""
    parts = sorted(nx.weakly_connected_components(graph), key=lambda part: (-len(part), min(part)))
    sides = [(1.9, 1.0) if len(part) == 2 else _square(len(part)) for part in parts]
    widest = max(sides[0][0], 1.5 * np.sqrt(sum(wide * tall for wide, tall in sides)))
    places: dict[str, Array] = {}
    left = top = shelf = 0.0  # of the column that is being filled, and the height of its row
    below = column = width = 0.0  # how far it is filled, and its width
    for part, (wide, tall) in zip(parts, sides, strict=True):
        if below + tall > shelf or wide > column:  # a new column
            left, below, column = left + column, 0.0, wide
            if left + wide > widest + 0.01 or not shelf:  # in a new row
                left, top, shelf = 0.0, top + shelf, tall
        centre = np.array([left + wide / 2, top + below + tall / 2])
        room = np.array([wide, tall]) / 2 - 0.45
        for node, place in _layout(nx, graph, sorted(part)).items():
            places[node] = centre + place * room
        below, width = below + tall, max(width, left + wide)
    height = top + shelf
    return {node: np.array([at[0], height - at[1]]) for node, at in places.items()}, width, height


def _square(nodes: int) -> tuple[float, float]:
    side = 1.5 * float(np.sqrt(nodes)) + 0.9
    return side, side


def _layout(nx: Any, graph: Any, part: Sequence[str]) -> dict[str, Array]:
    """Lay out one connected part within the circle of radius 1."""
    if len(part) == 2:
        return {part[0]: np.array([-1.0, 0.0]), part[1]: np.array([1.0, 0.0])}
    alike = nx.Graph()  # nodes in a fixed order, and no weights: every arrow is as long as it needs
    alike.add_nodes_from(part)
    alike.add_edges_from(graph.subgraph(part).edges)
    rough = nx.kamada_kawai_layout(
        alike
    )  # then neighbours are pushed apart, for the arrows between them
    push = 2.5 / np.sqrt(len(part))
    found: dict[str, Array] = nx.spring_layout(alike, pos=rough, k=push, iterations=80, seed=0)
    places = np.array([found[node] for node in part])
    places = places - (places.max(axis=0) + places.min(axis=0)) / 2
    places = places / np.maximum(np.abs(places).max(axis=0), 1e-9)
    return dict(zip(part, places, strict=True))


# --- why ---


def strongest(
    records: pd.DataFrame, scorer: Scorer | None = None, *, most: int = 10, phrases: int = 3
) -> pd.DataFrame:
    """List the statements with the highest scores, and what in them raised the score.

    Parameters
    ----------
    records : pandas.DataFrame
        Records; those of level `none` are left out. A text that is in several is listed once.
    scorer : Scorer, optional
        Asked for the evidence, best the one that made the records; without it there is none.
    most : int, optional
        Statements at most.
    phrases : int, optional
        Phrases at most that are named as evidence of each: those that raise the score most, none in another.

    Returns
    -------
    pandas.DataFrame
        Columns ``published``, ``source``, ``target``, ``level``, ``score``, ``text``, ``evidence`` (str: phrases with
        what they add to the score) and ``spans`` (list of start, end in the text), the highest score first, of equal
        ones the latest. `show` makes a table of it that is safe to look at.
    """
    said = _said(records)
    said = said.sort_values(
        ["score", "published", "text"], ascending=[False, False, True], kind="stable"
    )
    said = said.drop_duplicates("text").head(most)
    columns = ["published", "source", "target", "level", "score", "text"]
    found = [_evidence(scorer, text, phrases) for text in said["text"]]
    out = said[columns].reset_index(drop=True)
    out["evidence"] = [
        ", ".join(f"{phrase} {effect:+.2f}" for phrase, _, effect in part) for part in found
    ]
    out["spans"] = pd.Series([[span for _, span, _ in part] for part in found], dtype=object)
    return out


Phrase = tuple[str, tuple[int, int], float]


def _evidence(scorer: Scorer | None, text: str, most: int) -> list[Phrase]:
    """Name the phrases that raise a score most, none within another."""
    out: list[Phrase] = []
    if scorer is None:
        return out
    for phrase, start, end, effect in scorer.explain(text).itertuples(index=False):
        apart = all(end <= s or e <= start for _, (s, e), _ in out)
        if effect >= _LEAST_EFFECT and apart and len(out) < most:
            out.append((phrase, (int(start), int(end)), float(effect)))
    return out


class Shown:
    """A table as HTML: notebooks show it, ``str()`` gives it."""

    def __init__(self, markup: str) -> None:
        self._markup = markup

    def _repr_html_(self) -> str:
        return self._markup

    def __str__(self) -> str:
        return self._markup


def show(table: pd.DataFrame) -> Shown:
    """Make HTML of the table of `strongest`: texts escaped, the evidence marked in them.

    Parameters
    ----------
    table : pandas.DataFrame
        From `strongest`.

    Returns
    -------
    Shown
        Nothing of a text can act as markup, and none of its invisible characters is kept.
    """
    heads = ("date", "dyad", "level", "score", "statement (marked: what raised the score)")
    rows = ["".join(f"<th style='text-align:left'>{head}</th>" for head in heads)]
    for row in table.to_dict("records"):
        when = pd.Timestamp(row["published"])
        level = str(row["level"])
        colour = COLOURS[level]
        ink = "white" if level != "protest" else "black"
        chip = f"background:{colour};color:{ink};padding:1px 6px;border-radius:3px"
        cells = (
            "" if pd.isna(when) else f"{when:%Y-%m-%d}",
            html.escape(_arrow(_side(row["source"]), _side(row["target"]))),
            f"<span style='{chip}'>{level}</span>",
            f"{row['score']:.2f}",
            _marked(row["text"], row["spans"]),
        )
        rows.append(
            "".join(f"<td style='text-align:left;vertical-align:top'>{cell}</td>" for cell in cells)
        )
    if len(rows) == 1:
        return Shown("<p>No statement of level protest or higher.</p>")
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return Shown(f"<table>{body}</table>")


def _marked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """Escape a text, and mark the stretches given."""
    out, at = "", 0
    for start, end in sorted(spans):
        before, inside = html.escape(_clean(text[at:start])), html.escape(_clean(text[start:end]))
        out += f"{before}<mark>{inside}</mark>"
        at = end
    return out + html.escape(_clean(text[at:]))


def _clean(part: str) -> str:
    """Leave out what is invisible, and keep the blanks at the ends."""
    left = " " if part[:1].isspace() else ""
    right = " " if part[-1:].isspace() and part.strip() else ""
    return left + visible(part) + right


# --- how sure, how right ---


def calibration(records: pd.DataFrame, gold: Sequence[str | None], bins: int = 10) -> pd.DataFrame:
    """Hold how sure the model was of each statement to how often it was right.

    Parameters
    ----------
    records : pandas.DataFrame
        Records, one a statement; those not scored are left out.
    gold : sequence of str or None
        The level by the labels, of each row; None where there is no label.
    bins : int, optional
        Bins of equal width of the probability of the level that was called.

    Returns
    -------
    pandas.DataFrame
        One row a bin that holds any: ``rows`` (int), ``confidence`` (mean probability), ``accuracy`` (share that is
        right), both float.
    """
    _check(records)
    if len(gold) != len(records):
        raise UsageError(f"expected {len(records)} labels, one a record, found {len(gold)}.")
    labels = pd.Series(list(gold), index=records.index, dtype=object)
    if unknown := sorted(set(labels.dropna()) - set(LEVELS)):
        raise UsageError(f"expected levels ({', '.join(LEVELS)}), found {unknown[0]!r}.")
    held = labels.notna() & records["level"].notna()
    sure = records.loc[held, list(PROBABILITIES)].max(axis=1).astype(float)
    right = (records.loc[held, "level"] == labels[held]).astype(float)
    place = np.clip((sure * bins).astype(int), 0, bins - 1)
    by = pd.DataFrame({"rows": 1, "confidence": sure, "accuracy": right}).groupby(place)
    out = by.agg({"rows": "sum", "confidence": "mean", "accuracy": "mean"})
    return out.reset_index(drop=True)


def reliability(bins: pd.DataFrame) -> Figure:
    """Draw how often the model is right against how sure it was.

    Parameters
    ----------
    bins : pandas.DataFrame
        As `calibration` gives them.

    Returns
    -------
    matplotlib.figure.Figure
        A point a bin, with Wilson's interval of 95% and the number of statements; on the line, as right as sure.
    """
    bins = bins[bins["rows"] > 0]
    if bins.empty:
        return _empty(bins, "no labelled statement")
    figure, axes = _axes(5.2, 5.2)
    x, y = bins["confidence"].to_numpy(dtype=float), bins["accuracy"].to_numpy(dtype=float)
    low, high = _wilson(y, bins["rows"].to_numpy(dtype=float))
    axes.plot([0, 1], [0, 1], color=_SOFT, linestyle=":", label="as right as sure")
    axes.vlines(x, low, high, color="#0072b2", linewidth=1.6)
    axes.plot(x, y, "o-", color="#0072b2", linewidth=1, label="share that is right")
    for at, bottom, number in zip(x, low, bins["rows"], strict=True):
        axes.annotate(
            f"{number:,.0f}",
            (at, bottom),
            xytext=(0, -3),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8,
            color=_SOFT,
        )
    axes.set(xlim=(0.2, 1.02), ylim=(0, 1.08), aspect="auto")
    axes.set_xlabel("how sure: probability of the level called")
    axes.set_ylabel("how right: share of them so labelled")
    axes.legend(loc="lower right", frameon=False)
    _title(axes, f"Reliability on {bins['rows'].sum():,.0f} labelled statements")
    return figure


def _wilson(share: Array, n: Array, z: float = 1.96) -> tuple[Array, Array]:
    """Return the interval of 95% of a share (Wilson 1927)."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return centre - half, centre + half


# --- what all of them need ---

_NEEDED: Final = ("article_id", "published", "text", "source", "target", "level", "score")


def _check(records: pd.DataFrame) -> None:
    if missing := [name for name in _NEEDED if name not in records.columns]:
        raise UsageError(
            f"expected records with the columns {', '.join(_NEEDED)}, missing: {', '.join(missing)}. "
            "Give what scorer.score_frame or pd.read_parquet of a table of scores returns."
        )


def _said(records: pd.DataFrame) -> pd.DataFrame:
    """Give the records that escalate, with the code of their level, dates as moments."""
    _check(records)
    said = records[records["level"].isin(_SAID)]
    when = pd.to_datetime(said["published"], utc=True, errors="coerce", format="ISO8601")
    return said.assign(code=said["level"].map(CODE).astype(int), published=when)


def _named(
    records: pd.DataFrame, sides: Sequence[str] = ("source", "target")
) -> tuple[pd.DataFrame, str]:
    """Give the records that escalate and name the sides, with their dyad; and say how many do not."""
    said = _said(records)
    named = said[list(sides)].notna().all(axis=1)
    out = said[named]
    dyad = [_arrow(*pair) for pair in zip(out["source"], out["target"], strict=True)]
    left_out = int((~named).sum())
    what = "a side" if len(sides) > 1 else f"the {sides[0]}"
    note = f"{left_out:,} statements with {what} not named left out" if left_out else ""
    return out.assign(dyad=pd.Series(dyad, out.index, dtype=object)), note


def _dated(said: pd.DataFrame, note: str) -> tuple[pd.DataFrame, str]:
    """Give the records with a date, and add to the note how many have none."""
    dated = said["published"].notna()
    missing = int((~dated).sum())
    undated = f"{missing:,} without a date left out" if missing else ""
    return said[dated], "; ".join(filter(None, [note, undated]))


def _periods(said: pd.DataFrame, every: Every, most: int) -> tuple[pd.Series, str]:
    """Give the beginning of the period of each record, and its name: of `auto`, so that there are at most so many."""
    if every not in ("auto", *PERIODS):
        raise UsageError(f"expected every to be auto, {', '.join(PERIODS)}, found {every!r}.")
    span = (said["published"].max() - said["published"].min()).days
    fitting = (name for name, (_, days) in PERIODS.items() if span <= most * days)
    name = next(fitting, "year") if every == "auto" else every
    period = said["published"].dt.tz_localize(None).dt.to_period(PERIODS[name][0])
    return period.dt.start_time, name


def _most_frequent(values: pd.Series, most: int) -> tuple[list[str], int]:
    """Give the most frequent values (or the largest of counts), and how many others there are."""
    if most < 1:
        raise UsageError(f"expected most to be at least 1, found {most}.")
    counts = values if pd.api.types.is_numeric_dtype(values) else values.value_counts()
    order = sorted(counts.index, key=lambda name: (-counts[name], name))
    return order[:most], len(order[most:])


def _arrow(source: object, target: object) -> str:
    return f"{_side(source)} → {_side(target)}"


def _side(code: object) -> str:
    return code if isinstance(code, str) else "?"


def _not_shown(others: int, what: str) -> str:
    return f"{others:,} more {what}{'' if others == 1 else 's'} not shown" if others else ""


def _areas(counts: Any, largest: float = _LARGEST, smallest: float = _SMALLEST) -> Array:
    """Give the areas of bubbles: in proportion to the counts, but none too small to see."""
    values = np.asarray(counts, dtype=float)
    return np.asarray(np.maximum(values / max(values.max(initial=1), 4) * largest, smallest))


def _number(axes: Axes, x: Any, y: Any, number: int, level: str) -> None:
    text = f"{number:,}" if number < 10_000 else f"{number / 1000:,.0f}k"
    size = 8 if len(text) < 4 else 6.5
    colour = "black" if level == "protest" else "white"
    axes.annotate(
        text, (x, y), ha="center", va="center", fontsize=size, color=colour, zorder=6, clip_on=True
    )


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Picture(width, height)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", weight="bold", fontsize=11)


def _date_axis(axes: Axes, period: pd.Series, days: int) -> None:
    """Give the periods room at both ends, for a single one too, and dates below."""
    more = pd.Timedelta(days=3 * days) if period.nunique() < 4 else pd.Timedelta(days=1.2 * days)
    axes.set_xlim(period.min() - more, period.max() + more + pd.Timedelta(days=days) * 0.5)
    locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _level_legend(figure: Figure, title: str) -> None:
    handles: Iterator[Patch | Line2D] = (
        Patch(color=COLOURS[level], label=level) for level in _SAID
    )
    figure.legend(
        handles=list(handles), title=title, loc="outside right upper", frameon=False, fontsize=9
    )


def _note(figure: Figure, parts: Sequence[str]) -> None:
    if text := "; ".join(filter(None, parts)):
        figure.supxlabel(f"{text}.", fontsize=8, color=_SOFT, x=0.01, ha="left")


def _empty(records: pd.DataFrame, what: str) -> Figure:
    """Draw nothing but a note that says why."""
    figure, axes = _axes(6, 2)
    axes.set_axis_off()
    text = f"Nothing to draw: {what}\nin {len(records):,} records."
    axes.text(0.5, 0.5, text, ha="center", va="center", color=_SOFT, transform=axes.transAxes)
    return figure
