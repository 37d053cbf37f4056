"""The figure that compares the runs of a batch: what each quantity did as the parameters varied.

Where a notebook was run with more than one set of parameters, each of its quantities has a panel: its values against
the parameter that varies most, with seeds as repeats around their median. Where nothing varies, one panel shows which
values lie where they were expected, all ranges brought to the same length.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from sutrolib.batch.records import Outcome
from sutrolib.batch.tables import expected, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = 12  # a figure of more is not read
DOTS = 40  # rows of the figure of expectations
REPEATS = ("seed", "repeat", "repetition")  # parameters whose values say nothing by themselves
MARKS = "osD^v"
ROUNDING = 1e-9  # what lies closer together is the same
WIDE = 3.3  # inches of a panel
LETTERS = 37  # of a panel's title in a line


@dataclass(frozen=True)
class Panel:
    """One quantity of one notebook over ``x``, a parameter; a series for each setting of those in ``by``."""

    notebook: str
    quantity: str
    kind: str
    x: str
    by: tuple[str, ...]
    points: tuple[tuple[Any, tuple[Any, ...], float], ...]  # the x, the setting, the value
    ranges: tuple[tuple[float, float] | None, ...] = ()  # what was expected of each point: it may depend on the run

    @property
    def stated(self) -> bool:
        """Whether anything was expected of any run."""
        return any(self.ranges)

    @property
    def kept(self) -> bool:
        """Whether every value lies where its own run expected it."""
        pairs = zip(self.points, self.ranges, strict=True)
        return all(span is None or span[0] <= value <= span[1] for (*_, value), span in pairs)

    @property
    def shade(self) -> tuple[float, float] | None:
        """The range that every run expected; None where they differ."""
        return self.ranges[0] if len(set(self.ranges)) == 1 else None

    @property
    def swing(self) -> float:
        """How far the values lie apart, as a share of the largest."""
        values = [value for *_, value in self.points]
        largest = max(map(abs, values))
        swing = (max(values) - min(values)) / largest if largest else 0.0
        return swing if swing > ROUNDING else 0.0


def compare(outcomes: Sequence[Outcome], stem: Path) -> str:
    """Draw the figure as <stem>.png and .svg, and say in words what it shows; empty where there is nothing to show."""
    passed = [outcome for outcome in outcomes if outcome.passed and outcome.results]
    panels, dots = panels_of(passed), _dots(passed)
    if panels and (any(panel.swing for panel in panels) or not dots):
        figure, words = _draw_panels(panels)
    elif dots:
        figure, words = _draw_dots(dots)
    else:
        return ""
    from matplotlib import pyplot as plt

    from sutrolib.plots.style import save

    save(figure, stem)
    plt.close(figure)
    return words


def panels_of(outcomes: Iterable[Outcome]) -> list[Panel]:
    """A panel for each quantity that has a value in two runs or more of a notebook with parameters that vary.

    Those with an expectation come first within their notebook.
    """
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.notebook, []).append(outcome)
    panels = []
    for notebook, runs in groups.items():
        names = [name for name in runs[0].parameters if len({repr(r.parameters.get(name)) for r in runs}) > 1]
        if not names:
            continue
        x = max(names, key=lambda name: _worth(name, runs))
        by = tuple(name for name in names if name != x and name not in REPEATS)
        quantities = list(dict.fromkeys(quantity for run in runs for quantity in run.results))
        for quantity in sorted(quantities, key=lambda quantity: not any(expected(run, quantity) for run in runs)):
            there = [
                (run, value)
                for run in runs
                if (value := number(run.results.get(quantity))) is not None and math.isfinite(value)
            ]
            points = tuple(
                (run.parameters.get(x), tuple(run.parameters.get(name) for name in by), value) for run, value in there
            )
            if len(points) > 1:
                ranges = tuple(expected(run, quantity) for run, _ in there)
                kind = next((run.kinds[quantity] for run in runs if quantity in run.kinds), "")
                panels.append(Panel(notebook, quantity, kind, x, by, points, ranges))
    return panels


def _worth(name: str, runs: Sequence[Outcome]) -> tuple[bool, bool, int]:
    """How well a parameter serves as the x axis: better no seed, better a number, better of many values."""
    values = {run.parameters.get(name) for run in runs}
    return name not in REPEATS, all(map(_is_number, values)), len(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _draw_panels(panels: Sequence[Panel]) -> tuple[Figure, str]:
    from matplotlib import pyplot as plt

    from sutrolib.plots.style import use_style

    use_style()
    moving = [panel for panel in panels if panel.swing] or panels  # a level line needs no panel
    shown = _shared_out(moving)
    columns = min(3, len(shown))
    rows = math.ceil(len(shown) / columns)
    size = (max(7.0, WIDE * columns), max(4.0, 2.7 * rows + 0.7))
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax, panel in zip(axes.flat, shown, strict=False):
        _draw_panel(ax, panel)
    for ax in axes.flat[len(shown) :]:
        ax.set_axis_off()
    title = title_of(panels)
    figure.suptitle(_wrapped(title, int(size[0] / 0.1)), x=0.01, ha="left", fontsize=11, fontweight="bold")
    shaded = any(panel.shade for panel in shown)
    if shaded:
        figure.supxlabel("shaded: as expected", fontsize=9, color="#666666")
    names = "; ".join(f"{p.quantity} of {p.notebook} over {p.x}" for p in shown)
    level = f" The same in every run: {len(panels) - len(moving)} quantities." if len(panels) > len(moving) else ""
    more = f" Only in results.csv: {len(moving) - len(shown)} more." if len(moving) > len(shown) else ""
    told = ", with the expected range shaded where it is the same for every run" if shaded else ""
    return figure, f"{title}. Panels{told}: {names}.{level}{more}"


def _shared_out(panels: Sequence[Panel]) -> list[Panel]:
    """The panels that are shown: each notebook's first, then each one's second, up to the limit; in their order."""
    ranks: dict[str, int] = {}
    ranked = []
    for position, panel in enumerate(panels):
        ranks[panel.notebook] = ranks.get(panel.notebook, 0) + 1
        ranked.append((ranks[panel.notebook], position))
    chosen = sorted(position for _, position in sorted(ranked)[:PANELS])
    return [panels[position] for position in chosen]


def title_of(panels: Sequence[Panel]) -> str:
    """What the panels show: which quantity moves most with what, and how many keep within what was expected."""
    most = max(panels, key=lambda panel: panel.swing)
    values = [value for *_, value in most.points]
    parameters = " and ".join(dict.fromkeys(name for panel in panels for name in (panel.x, *panel.by)))
    stated = [panel for panel in panels if panel.stated]
    kept = sum(panel.kept for panel in stated)
    if most.swing:
        range_ = f"from {min(values):.3g} to {max(values):.3g}"
        moved = f"{most.quantity!r} ({most.notebook}) moves most, {range_}"
    else:
        moved = "nothing moves"
    held = f"; {kept} of {len(stated)} expectations hold in every run" if stated else ""
    return f"Over {parameters}, {moved}{held}"


def _draw_panel(ax: Axes, panel: Panel) -> None:
    from sutrolib.plots.style import BLACK, GREY, PURPLE, RED

    colours = (BLACK, RED, PURPLE, GREY)
    values = [value for *_, value in panel.points]
    room = 0.25 * (max(values) - min(values)) or 0.1 * abs(values[0]) or 1.0
    if panel.shade:
        ax.axhspan(*panel.shade, color=GREY, alpha=0.15, lw=0)
    ax.set_ylim(min(values) - room, max(values) + room)  # by the values: what was expected may be far wider
    settings = list(dict.fromkeys(setting for _, setting, _ in panel.points))
    if len(settings) > len(MARKS):  # more series than can be told apart: they become repeats
        settings = [()]
    places = list(dict.fromkeys(x for x, *_ in panel.points))
    numeric = all(map(_is_number, places)) and panel.x not in REPEATS
    for number_, setting in enumerate(settings):
        style: dict[str, Any] = {"color": colours[number_ % len(colours)], "marker": MARKS[number_]}
        style["ms"] = 8 - number_  # where series lie on one another, all are seen
        label = _shortened(", ".join(f"{n}={v}" for n, v in zip(panel.by, setting, strict=False)), 30)
        mine = [(x, value) for x, other, value in panel.points if setting in ((), other)]
        if panel.x in REPEATS:
            _draw_repeats(ax, [value for _, value in mine], number_, label, style)
            continue
        at = {x: [value for other, value in mine if other == x] for x in places}
        at = {x: values for x, values in at.items() if values}
        xs = [x if numeric else places.index(x) for x in at]
        for x, values in zip(xs, at.values(), strict=True):
            ax.plot([x] * len(values), values, ls="", alpha=0.6, **style)
        order = sorted(range(len(xs)), key=xs.__getitem__)
        middles = [median(values) for values in at.values()]
        ax.plot([xs[i] for i in order], [middles[i] for i in order], lw=1.2 if numeric else 0, label=label, **style)
    _label(ax, panel, places, settings, numeric)


def _draw_repeats(ax: Axes, values: Sequence[float], place: int, label: str, style: dict[str, Any]) -> None:
    """Values side by side, in their order, with their median as a line."""
    spread = [place + 0.3 * (2 * (i + 0.5) / len(values) - 1) for i in range(len(values))]
    ax.plot(spread, values, ls="", alpha=0.75, **style)
    ax.hlines(median(values), place - 0.4, place + 0.4, color=style["color"], lw=2, label=label)


def _label(ax: Axes, panel: Panel, places: Sequence[Any], settings: Sequence[Any], numeric: bool) -> None:
    name = f"{panel.quantity} ({panel.kind})" if panel.kind else panel.quantity
    ax.set_title(_wrapped(f"{panel.notebook}: {name}", LETTERS), fontsize=9.5)
    ax.set_xlabel(panel.x, fontsize=10)
    if panel.x in REPEATS:
        count = len({x for x, *_ in panel.points})
        ax.set_xlabel(f"{count} values of {panel.x}, median as a line", fontsize=10)
        ax.set_xticks([])
        ax.set_xlim(-0.7, len(settings) - 0.3)
    elif not numeric:
        ax.set_xticks(range(len(places)), [_shortened(str(place)) for place in places], fontsize=9)
        ax.margins(x=0.2)
    elif min(places) > 0 and max(places) / min(places) >= 100:
        ax.set_xscale("log")
    elif len(places) <= 5:
        ax.set_xticks(sorted(places))
    if panel.by and len(settings) > 1:
        ax.legend(fontsize=8)
    ax.tick_params(labelsize=9)
    ax.yaxis.get_offset_text().set_fontsize(9)
    ax.ticklabel_format(axis="y", useOffset=False)


def _dots(outcomes: Iterable[Outcome]) -> list[tuple[str, str, float]]:
    """Notebook, quantity with its kind, and value of every expectation: its share of the way through the range."""
    found = []
    for outcome in outcomes:
        for quantity in outcome.expected:
            value, span = number(outcome.results.get(quantity)), expected(outcome, quantity)
            if value is not None and span is not None and math.isfinite(value):
                low, high = span
                wide = high - low
                share = (value - low) / wide if wide else 0.5 + (value > low) - (value < low)
                kind = outcome.kinds.get(quantity)
                found.append((outcome.notebook, f"{quantity} ({kind})" if kind else quantity, share))
    return found


def _draw_dots(dots: Sequence[tuple[str, str, float]]) -> tuple[Figure, str]:
    from matplotlib import pyplot as plt

    from sutrolib.plots.style import BLACK, GREY, RED, use_style

    use_style()
    held = sum(0 <= share <= 1 for *_, share in dots)
    notebooks = len({notebook for notebook, *_ in dots})
    title = f"{held} of {len(dots)} expectations hold, in {notebooks} notebook{'s' if notebooks > 1 else ''}"
    shown = sorted(dots, key=lambda dot: 0 <= dot[2] <= 1)[:DOTS]  # those that failed are not among those left out
    shown = [dot for dot in dots if dot in shown][:DOTS]
    figure, ax = plt.subplots(figsize=(9, max(3.0, 0.27 * len(shown) + 1.4)))
    ax.axvspan(0, 1, color=GREY, alpha=0.15, lw=0)
    for row, (_, _, share) in enumerate(shown):
        inside = 0 <= share <= 1
        ax.plot(min(max(share, -0.5), 1.5), row, "o" if inside else "X", color=BLACK if inside else RED, ms=7)
    names = [_shortened(f"{notebook.split('_')[0]}: {quantity}", 64) for notebook, quantity, _ in shown]
    ax.set_yticks(range(len(shown)), names, fontsize=8.5)
    ax.invert_yaxis()
    ax.set_xticks([-0.5, 0, 1, 1.5], ["below", "low", "high", "above"])
    ax.set(xlim=(-0.6, 1.6), xlabel="where the value lies in the range that was expected (cross: outside)")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    missed = dict.fromkeys(f"{quantity} of {notebook}" for notebook, quantity, share in dots if not 0 <= share <= 1)
    words = f" Outside their range: {'; '.join(missed)}." if missed else ""
    return figure, f"{title}. Dots of values in their expected ranges, crosses outside.{words}"


def _wrapped(text: str, letters: int) -> str:
    import textwrap

    return textwrap.fill(text.replace("$", r"\$"), letters)  # a dollar would begin a formula


def _shortened(text: str, letters: int = 14) -> str:
    text = text if len(text) <= letters else text[: letters - 1] + "…"
    return text.replace("$", r"\$")
