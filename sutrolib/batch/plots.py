"""The figure that compares the runs of a batch: how each quantity depends on the parameters that vary.

If a notebook was run with several sets of parameters, each of its quantities has a panel: its values against the
parameter that varies most, with the median of the repeats. If nothing varies, one panel shows which values lie where
they were expected, with all ranges scaled to the same length.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from sutrolib.batch.records import RunResult, as_float

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANELS = 12
_MAX_ROWS = 40  # of the figure of expectations
_SEEDS = ("seed", "repeat", "repetition")  # parameters whose values mean nothing by themselves
_MARKERS = "osD^v"
_ROUNDING = 1e-9  # a smaller relative difference is none


@dataclass(frozen=True)
class Point:
    """One value of a panel: its place on the x axis, its series, and the range that its run expected."""

    x: Any
    series: str
    value: float
    expected: tuple[float, float] | None = None


@dataclass(frozen=True)
class Panel:
    """One quantity of one notebook over the parameter ``x``; a series for each setting of the parameters ``by``."""

    notebook: str
    quantity: str
    kind: str
    x: str
    by: tuple[str, ...]
    points: tuple[Point, ...]

    @property
    def stated(self) -> bool:
        """Whether any run stated an expectation."""
        return any(point.expected for point in self.points)

    @property
    def kept(self) -> bool:
        """Whether every value lies in the range that its own run expected."""
        return all(p.expected is None or p.expected[0] <= p.value <= p.expected[1] for p in self.points)

    @property
    def shade(self) -> tuple[float, float] | None:
        """The range that every run expected; None if they differ."""
        return self.points[0].expected if len({point.expected for point in self.points}) == 1 else None

    @property
    def spread(self) -> float:
        """The range of the values, relative to the largest."""
        values = [point.value for point in self.points]
        largest = max(map(abs, values))
        spread = (max(values) - min(values)) / largest if largest else 0.0
        return spread if spread > _ROUNDING else 0.0


def draw_comparison(results: Sequence[RunResult], stem: Path) -> str:
    """Draw the figure as <stem>.png and .svg, and describe it; empty if there is nothing to compare."""
    passed = [result for result in results if result.passed and result.results]
    panels, expectations = panels_of(passed), _expectations(passed)
    if not panels and not expectations:
        return ""
    from matplotlib import pyplot as plt

    from sutrolib.plots.style import save_figure, use_style

    use_style()
    if panels and (any(panel.spread for panel in panels) or not expectations):
        figure, words = _draw_panels(panels)
    else:
        figure, words = _draw_expectations(expectations)
    save_figure(figure, stem)
    plt.close(figure)
    return words


def panels_of(results: Iterable[RunResult]) -> list[Panel]:
    """A panel for each quantity with at least two values, of each notebook whose parameters vary.

    Quantities with an expectation come first within their notebook.
    """
    groups: dict[str, list[RunResult]] = {}
    for result in results:
        groups.setdefault(result.notebook, []).append(result)
    panels = []
    for notebook, runs in groups.items():
        names = [name for name in runs[0].parameters if len({repr(r.parameters.get(name)) for r in runs}) > 1]
        if not names:
            continue
        x = max(names, key=lambda name: _rank_as_x(name, runs))
        by = tuple(name for name in names if name != x and name not in _SEEDS)
        quantities = dict.fromkeys(quantity for run in runs for quantity in run.results)
        for quantity in sorted(quantities, key=lambda quantity: not any(r.expected_range(quantity) for r in runs)):
            points = tuple(
                Point(run.parameters.get(x), _series(run, by), value, run.expected_range(quantity))
                for run in runs
                if (value := as_float(run.results.get(quantity))) is not None and math.isfinite(value)
            )
            if len(points) > 1:
                kind = next((run.kinds[quantity] for run in runs if quantity in run.kinds), "")
                panels.append(Panel(notebook, quantity, kind, x, by, points))
    return panels


def _series(run: RunResult, by: Sequence[str]) -> str:
    return ", ".join(f"{name}={run.parameters.get(name)}" for name in by)


def _rank_as_x(name: str, runs: Sequence[RunResult]) -> tuple[bool, bool, int]:
    """How well a parameter serves as the x axis: rather no seed, rather a number, rather one with many values."""
    values = {run.parameters.get(name) for run in runs}
    return name not in _SEEDS, all(map(_is_number, values)), len(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def title_of(panels: Sequence[Panel]) -> str:
    """The finding: which quantity changes most with the parameters, and how many expectations hold."""
    most = max(panels, key=lambda panel: panel.spread)
    values = [point.value for point in most.points]
    parameters = " and ".join(dict.fromkeys(name for panel in panels for name in (panel.x, *panel.by)))
    stated = [panel for panel in panels if panel.stated]
    changed = f"{most.quantity!r} ({most.notebook}) changes most, from {min(values):.3g} to {max(values):.3g}"
    held = f"; {sum(p.kept for p in stated)} of {len(stated)} expectations hold in every run" if stated else ""
    return f"Over {parameters}, {changed if most.spread else 'nothing changes'}{held}"


def choose_panels(panels: Sequence[Panel]) -> list[Panel]:
    """At most MAX_PANELS panels: the first of each notebook, then the second of each, and so on; in their order."""
    seen: Counter[str] = Counter()
    ranked = []
    for position, panel in enumerate(panels):
        seen[panel.notebook] += 1
        ranked.append((seen[panel.notebook], position))
    return [panels[position] for position in sorted(position for _, position in sorted(ranked)[:MAX_PANELS])]


def _draw_panels(panels: Sequence[Panel]) -> tuple[Figure, str]:
    from matplotlib import pyplot as plt

    changing = [panel for panel in panels if panel.spread] or panels
    shown = choose_panels(changing)
    columns = min(3, len(shown))
    rows = math.ceil(len(shown) / columns)
    width = max(7.0, 3.3 * columns)
    figure, axes = plt.subplots(rows, columns, figsize=(width, max(4.0, 2.7 * rows + 0.7)), squeeze=False)
    for ax, panel in zip(axes.flat, shown, strict=False):
        _draw_panel(ax, panel)
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()
    title = title_of(panels)
    _set_title(figure, title, width)
    shaded = any(panel.shade for panel in shown)
    if shaded:
        figure.supxlabel("shaded: as expected", fontsize=9, color="#666666")
    words = f"{title}. Panels{', with the expected range shaded' if shaded else ''}: "
    words += "; ".join(f"{panel.quantity} of {panel.notebook} over {panel.x}" for panel in shown) + "."
    if len(panels) > len(changing):
        words += f" The same in every run: {len(panels) - len(changing)} quantities."
    if len(changing) > len(shown):
        words += f" Only in results.csv: {len(changing) - len(shown)} more."
    return figure, words


def _draw_panel(ax: Axes, panel: Panel) -> None:
    from sutrolib.plots.style import BLACK, GREY, PURPLE, RED

    values = [point.value for point in panel.points]
    room = 0.25 * (max(values) - min(values)) or 0.1 * abs(values[0]) or 1.0
    if panel.shade:
        ax.axhspan(*panel.shade, color=GREY, alpha=0.15, lw=0)
    ax.set_ylim(min(values) - room, max(values) + room)  # the expected range may be far wider
    series = list(dict.fromkeys(point.series for point in panel.points))
    split = len(series) <= len(_MARKERS)  # more cannot be told apart: they become repeats of one
    over_seeds = panel.x in _SEEDS  # then each series has one place
    places: list[Any] = (
        (series if split else [""]) if over_seeds else list(dict.fromkeys(point.x for point in panel.points))
    )
    numeric = not over_seeds and all(map(_is_number, places))
    for index, name in enumerate(series if split else [""]):
        mine = [point for point in panel.points if not split or point.series == name]
        at: dict[float, list[float]] = {}
        for point in mine:
            at.setdefault(point.x if numeric else index if over_seeds else places.index(point.x), []).append(
                point.value
            )
        style: dict[str, Any] = {
            "color": (BLACK, RED, PURPLE, GREY)[index % 4],
            "marker": _MARKERS[index],
            "ms": 8 - index,
        }
        for x, repeats in at.items():
            ax.plot([x] * len(repeats), repeats, ls="", alpha=0.6, **style)
        medians = [(x, median(at[x])) for x in sorted(at)]
        style |= {} if numeric else {"marker": "_", "ms": 22, "mew": 2, "ls": ""}
        ax.plot(*zip(*medians, strict=True), lw=1.2, label=_shorten(name, 30), **style)
    quantity = f"{panel.quantity} ({panel.kind})" if panel.kind else panel.quantity
    ax.set_title(textwrap.fill(_no_formula(f"{panel.notebook}: {quantity}"), 37), fontsize=9.5)
    seeds = len({point.x for point in panel.points})
    ax.set_xlabel(f"{seeds} values of {panel.x}, the line is the median" if over_seeds else panel.x, fontsize=10)
    if not numeric:
        ax.set_xticks(range(len(places)), [_shorten(str(place)) for place in places], fontsize=9)
        ax.set_xlim(-0.7, len(places) - 0.3)
    elif min(places) > 0 and max(places) / min(places) >= 100:
        ax.set_xscale("log")
    elif len(places) <= 5:
        ax.set_xticks(sorted(places))
    if split and len(series) > 1 and not over_seeds:
        ax.legend(fontsize=8)
    ax.tick_params(labelsize=9)
    ax.ticklabel_format(axis="y", useOffset=False)


@dataclass(frozen=True)
class _Expectation:
    """A value and its place in the range that was expected: 0 is the low end, 1 the high end."""

    notebook: str
    quantity: str
    place: float

    @property
    def held(self) -> bool:
        return 0 <= self.place <= 1


def _expectations(results: Iterable[RunResult]) -> list[_Expectation]:
    found = []
    for result in results:
        for quantity in result.expected:
            value, expected = as_float(result.results.get(quantity)), result.expected_range(quantity)
            if value is not None and expected is not None and math.isfinite(value):
                low, high = expected
                place = (value - low) / (high - low) if high > low else 0.5 + (value > low) - (value < low)
                kind = result.kinds.get(quantity)
                found.append(_Expectation(result.notebook, f"{quantity} ({kind})" if kind else quantity, place))
    return found


def _draw_expectations(expectations: Sequence[_Expectation]) -> tuple[Figure, str]:
    from matplotlib import pyplot as plt

    from sutrolib.plots.style import BLACK, GREY, RED

    missed = [one for one in expectations if not one.held]
    notebooks = len({one.notebook for one in expectations})
    title = f"{len(expectations) - len(missed)} of {len(expectations)} expectations hold,"
    title += f" in {notebooks} notebook{'s' if notebooks > 1 else ''}"
    kept = [one for one in expectations if one.held][: max(0, _MAX_ROWS - len(missed))]
    shown = [one for one in expectations if one in missed or one in kept][:_MAX_ROWS]
    figure, ax = plt.subplots(figsize=(9, max(3.0, 0.27 * len(shown) + 1.4)))
    ax.axvspan(0, 1, color=GREY, alpha=0.15, lw=0)
    for row, one in enumerate(shown):
        ax.plot(min(max(one.place, -0.5), 1.5), row, "o" if one.held else "X", color=BLACK if one.held else RED, ms=7)
    names = [_shorten(f"{one.notebook.split('_')[0]}: {one.quantity}", 64) for one in shown]
    ax.set_yticks(range(len(shown)), names, fontsize=8.5)
    ax.invert_yaxis()
    ax.set_xticks([-0.5, 0, 1, 1.5], ["below", "low", "high", "above"])
    ax.set(xlim=(-0.6, 1.6), xlabel="place of the value in the expected range (cross: outside)")
    _set_title(figure, title, 9)
    outside = "; ".join(dict.fromkeys(f"{one.quantity} of {one.notebook}" for one in missed))
    words = f"{title}. Dots are values in their expected ranges, crosses are outside."
    return figure, words + (f" Outside: {outside}." if outside else "")


def _set_title(figure: Figure, title: str, width: float) -> None:
    title = textwrap.fill(_no_formula(title), int(width / 0.1))
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")


def _shorten(text: str, length: int = 14) -> str:
    return _no_formula(text if len(text) <= length else text[: length - 1] + "…")


def _no_formula(text: str) -> str:
    """Escape dollar signs, which would begin a formula."""
    return text.replace("$", r"\$")
