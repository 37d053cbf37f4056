"""The figure that compares the runs of a batch: how each quantity depends on the parameters that vary.

If a notebook was run with several sets of parameters, each of its quantities has a panel: its values against the
parameter that varies most, with the median of the repeats. If nothing varies, one panel shows which values lie where
they were expected, with all ranges scaled to the same length. The figure says what it leaves out.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sutrolib.batch.records import RunResult
from sutrolib.core.io import as_float
from sutrolib.plots.models import MODEL_STYLES
from sutrolib.plots.style import BLACK, GREY, RED, save_figure, use_style

MAX_PANELS, _MAX_ROWS = 12, 50  # the rows are of the figure of expectations
_MAX_NAMES, _MAX_NAME, _MAX_LEVEL = 20, 40, 36  # names along an axis, letters of one, and of all in one line
_LETTER = 0.075  # inches
_SEEDS = ("seed", "repeat", "repetition")  # parameters whose values mean nothing by themselves
_BAR: dict[str, Any] = {"ls": "", "marker": "_", "ms": 22, "mew": 2}  # a median that is on no line
_ROUNDING = 1e-9  # a smaller relative difference is none
_COLUMNS = ("run", "notebook", "quantity", "kind", "value", "low", "high", "parameters")


@dataclass(frozen=True)
class Panel:
    """One quantity of one notebook over the parameter ``x``; a series for each setting of the parameters ``by``.

    ``data`` has a row for each run: ``x``, ``series``, ``value``, and the range that it expected, ``low`` to ``high``.
    """

    notebook: str
    quantity: str
    x: str
    by: tuple[str, ...]
    data: pd.DataFrame

    @property
    def stated(self) -> bool:
        """Whether any run stated an expectation."""
        return bool(self.data["low"].notna().any())

    @property
    def kept(self) -> bool:
        """Whether every value lies in the range that its own run expected."""
        stated = self.data.dropna(subset="low")
        return bool(stated["value"].between(stated["low"], stated["high"]).all())

    @property
    def shade(self) -> tuple[float, float] | None:
        """The range that every run expected; None if they differ."""
        ranges = list(self.data[["low", "high"]].drop_duplicates().itertuples(index=False, name=None))
        return ranges[0] if self.stated and len(ranges) == 1 else None

    @property
    def spread(self) -> float:
        """The range of the values, relative to the largest."""
        values = self.data["value"]
        spread = float((values.max() - values.min()) / (values.abs().max() or 1.0))
        return spread if spread > _ROUNDING else 0.0


def draw_comparison(results: Sequence[RunResult], stem: Path) -> str:
    """Draw the figure as <stem>.png and .svg, and describe it; empty if there is nothing to compare."""
    passed = [result for result in results if result.passed]
    panels, expected = panels_of(passed), _table(passed).dropna(subset="low")
    if not panels and expected.empty:
        return ""
    use_style()
    runs, varied = len(results), any(panel.spread for panel in panels) or expected.empty
    figure, words = _draw_panels(panels, runs) if varied else _draw_expectations(expected, runs)
    save_figure(figure, stem)
    plt.close(figure)
    return words


def _table(results: Sequence[RunResult]) -> pd.DataFrame:
    """A row for each run and finite quantity, with the range that was expected; NaN where there was none."""
    rows = []
    for result in results:
        for quantity, found in result.results.items():
            if (value := as_float(found)) is not None:
                expected = result.expected_range(quantity) or (math.nan, math.nan)
                kind = result.kinds.get(quantity, "")
                rows.append((result.identity, result.notebook, quantity, kind, value, *expected, result.parameters))
    return pd.DataFrame(rows, columns=_COLUMNS)


def panels_of(results: Sequence[RunResult]) -> list[Panel]:
    """A panel for each quantity with at least two values, of each notebook whose parameters vary.

    Quantities with an expectation come first within their notebook.
    """
    panels: list[Panel] = []
    for notebook, rows in _table(results).groupby("notebook", sort=False):
        settings = pd.DataFrame(rows["parameters"].tolist())
        values = {str(name): settings[name].map(repr).nunique() for name in settings}
        varying = [name for name, count in values.items() if count > 1]
        if not varying:
            continue
        # Rather no seed, rather a number, rather one with many values.
        x = max(varying, key=lambda name: (name not in _SEEDS, settings[name].dtype.kind in "iuf", values[name]))
        by = tuple(name for name in varying if name != x and name not in _SEEDS)
        series = [", ".join(f"{name}={given.get(name)}" for name in by) for given in rows["parameters"]]
        rows = rows.assign(x=settings[x].to_numpy(), series=series)
        groups = rows.groupby("quantity", sort=False)
        found = [Panel(str(notebook), str(quantity), x, by, data) for quantity, data in groups if len(data) > 1]
        panels += sorted(found, key=lambda panel: not panel.stated)
    return panels


def title_of(panels: Sequence[Panel]) -> str:
    """The finding: which quantity changes most with the parameters, and how many expectations hold."""
    most = max(panels, key=lambda panel: panel.spread)
    values = most.data["value"]
    parameters = " and ".join(dict.fromkeys(name for panel in panels for name in (panel.x, *panel.by)))
    stated = [panel for panel in panels if panel.stated]
    changed = f"{most.quantity!r} ({most.notebook}) changes most, from {values.min():.3g} to {values.max():.3g}"
    held = f"; {sum(p.kept for p in stated)} of {len(stated)} expectations hold in every run" if stated else ""
    return f"Over {parameters}, {changed if most.spread else 'nothing changes'}{held}"


def choose_panels(panels: Sequence[Panel]) -> list[Panel]:
    """At most MAX_PANELS panels: the first of each notebook, then the second of each, and so on; in their order."""
    names = [panel.notebook for panel in panels]
    ranks = [names[:place].count(name) for place, name in enumerate(names)]
    chosen = sorted(range(len(panels)), key=ranks.__getitem__)[:MAX_PANELS]
    return [panels[place] for place in sorted(chosen)]


def _draw_panels(panels: Sequence[Panel], runs: int) -> tuple[Figure, str]:
    changing = [panel for panel in panels if panel.spread] or panels
    shown = choose_panels(changing)
    columns = min(3, len(shown))
    rows = math.ceil(len(shown) / columns)
    width, height = max(7.0, 3.3 * columns), max(4.0, 2.7 * rows + 0.7)
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    shared = _styles(dict.fromkeys(name for panel in shown for name in panel.data["series"]))
    handles: dict[str, Artist] = {}
    for ax, panel in zip(axes.flat, shown, strict=False):
        _draw_panel(ax, panel, shared or _styles(dict.fromkeys(panel.data["series"])))
        lines, names = ax.get_legend_handles_labels()
        handles |= dict(zip(names, lines, strict=True))
        if len(names) > 1 and not shared:
            ax.legend(fontsize=8)
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()
    upright = [len(name.get_text()) for ax in axes.flat for name in ax.get_xticklabels() if name.get_rotation()]
    figure.set_size_inches(width, height + rows * _LETTER * max(upright, default=0))
    same, more = len(panels) - len(changing), len(changing) - len(shown)
    notes = {
        "Shaded: as expected.": any(panel.shade for panel in shown),
        f"The same in every run: {same} quantities.": same,
        f"Only in results.csv: {more} more quantities.": more,
    }
    drawn = {run for panel in shown for run in panel.data["run"]}
    left = _set_notes(figure, notes, runs, len(drawn), handles if shared and len(handles) > 1 else {})
    named = "; ".join(f"{panel.quantity} of {panel.notebook} over {panel.x}" for panel in shown)
    return figure, f"{_set_title(figure, title_of(panels))}. Panels: {named}. {left}".strip()


def _styles(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """A marker and a colour for each series; none if there are more than can be told apart."""
    names = list(names)
    return dict(zip(names, MODEL_STYLES, strict=False)) if len(names) <= 5 else {}


def _draw_panel(ax: Axes, panel: Panel, styles: Mapping[str, tuple[str, str]]) -> None:
    """Draw the values of each series, and their median. Series without a style become repeats of one."""
    data, label = panel.data, panel.x
    over_seeds = panel.x in _SEEDS  # then each series has one place
    numeric = not over_seeds and data["x"].dtype.kind in "iuf"
    if over_seeds:
        label = f"{data['x'].nunique()} values of {panel.x}, the line is the median"
        data = data.assign(x=data["series"], series="")
    elif not styles:
        label += f"\n({data['series'].nunique()} settings of {' and '.join(panel.by)} as repeats)"
        data = data.assign(series="")
    if not numeric:
        places, names = pd.factorize(data["x"].astype(str))
        label = _set_names(ax, list(names), label)
        data = data.assign(x=places)
    for name, rows in data.groupby("series", sort=False):
        marker, color = styles.get(str(name), MODEL_STYLES[0])
        ax.plot(rows["x"], rows["value"], marker, color=color, alpha=0.6)
        medians = rows.groupby("x")["value"].median()
        line = {"lw": 1.2, "marker": marker} if numeric else _BAR
        ax.plot(medians.index, medians, color=color, label=textwrap.fill(_no_formula(str(name)), 40), **line)
    ax.margins(0.15)
    if panel.shade:
        limits = ax.get_ylim()  # the expected range may be far wider
        ax.axhspan(*panel.shade, color=GREY, alpha=0.15, lw=0)
        ax.set_ylim(limits)
    ax.set_title(textwrap.fill(_no_formula(f"{panel.notebook}: {_measure(data).iloc[0]}"), 37), fontsize=9.5)
    ax.set_xlabel(label, fontsize=10)
    if numeric and data["x"].min() > 0 and data["x"].max() / data["x"].min() >= 100:
        ax.set_xscale("log")
    ax.tick_params(labelsize=9)
    ax.ticklabel_format(axis="y", useOffset=False)


def _set_names(ax: Axes, names: Sequence[str], label: str) -> str:
    """Write the names at their places, upright if they are long; return the label of the axis."""
    longest = max(map(len, names))
    if longest > _MAX_NAME or len(names) > _MAX_NAMES:
        ax.set_xticks([0, len(names) - 1], ["first", "last"])  # of names that have no room
        return f"{label}: {len(names)} values,\nin the order of results.csv"
    upright = longest * len(names) > _MAX_LEVEL
    ax.set_xticks(range(len(names)), map(_no_formula, names), rotation=90 if upright else 0)
    return label


def _draw_expectations(table: pd.DataFrame, runs: int) -> tuple[Figure, str]:
    """A row for each quantity; if that is too many, one for all values of a notebook that are as expected."""
    held = table["value"].between(table["low"], table["high"])
    notebooks = table["notebook"].nunique()
    title = f"{held.sum()} of {len(table)} expectations hold, in {notebooks} notebook{'s' if notebooks > 1 else ''}"
    labels = table["notebook"].str.split("_").str[0] + ": " + _measure(table)
    if labels.nunique() > _MAX_ROWS:
        of_notebook = held.groupby(table["notebook"]).transform("sum").astype(str) + " as expected"
        labels = labels.where(~held, table["notebook"] + ": " + of_notebook)
    kept = labels[held.sort_values(kind="stable").index].unique()[:_MAX_ROWS]  # what was missed goes first
    shown = table[labels.isin(kept)]
    rows, names = pd.factorize(labels[shown.index])
    figure, ax = plt.subplots(figsize=(10, max(3.0, 0.3 * len(names) + 1.6)))
    ax.axvspan(0, 1, color=GREY, alpha=0.15, lw=0)
    low, high, value = shown["low"], shown["high"], shown["value"]
    place = ((value - low) / (high - low).where(high > low)).fillna(0.5 + (value > low) - 1.0 * (value < low))
    for marker, colour, which in (("o", BLACK, held[shown.index]), ("X", RED, ~held[shown.index])):
        ax.plot(place.clip(-0.5, 1.5)[which], rows[which], marker, color=colour, ms=7, alpha=0.7)
    ax.set_yticks(range(len(names)), [textwrap.fill(_no_formula(name), 72) for name in names], fontsize=8.5)
    ax.set_xticks([-0.5, 0, 1, 1.5], ["below", "low", "high", "above"])
    ax.set(xlim=(-0.6, 1.6), ylim=(len(names) - 0.5, -0.5))
    ax.set_xlabel("place of the value in the expected range (cross: outside)")
    notes = {f"Only in results.csv: {len(table) - len(shown)} more values.": len(table) - len(shown)}
    left = _set_notes(figure, notes, runs, table["run"].nunique(), {})
    outside = "; ".join(dict.fromkeys(_measure(table[~held]) + " of " + table["notebook"][~held]))
    words = f"{_set_title(figure, title)}. Dots are values in their expected ranges, crosses are outside. {left}"
    return figure, words.strip() + (f" Outside: {outside}." if outside else "")


def _measure(table: pd.DataFrame) -> "pd.Series[str]":
    """Each row's quantity with its kind."""
    return (table["quantity"] + " (" + table["kind"] + ")").str.removesuffix(" ()")


def _set_title(figure: Figure, title: str) -> str:
    """Set and return the title."""
    wrapped = textwrap.fill(_no_formula(title), int(figure.get_figwidth() / 0.1))
    figure.suptitle(wrapped, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return title


def _set_notes(figure: Figure, notes: Mapping[str, int], runs: int, drawn: int, handles: Mapping[str, Artist]) -> str:
    """Say below the axes what the figure leaves out, and what its series are; return the first of it."""
    left = f"Not drawn: {runs - drawn} of {runs} runs, which failed or have nothing to compare."
    text = " ".join(note for note, count in {**notes, left: runs - drawn}.items() if count)
    if text or handles:
        width = figure.get_figwidth()
        fit = max(1, int(width / (_LETTER * max(map(len, handles), default=0) + 0.6)))
        style: dict[str, Any] = {"fontsize": 8, "title_fontsize": 9, "alignment": "left", "loc": "outside lower left"}
        title = textwrap.fill(text, int(width / _LETTER))
        figure.legend(handles.values(), handles, ncols=fit, title=title, **style)
    return text


def _no_formula(text: str) -> str:
    """Escape dollar signs, which would begin a formula."""
    return text.replace("$", r"\$")
