"""The house style of figures, and the picture of the cube.

5.75 x 3.45 inches at 150 dpi, with text of 11 pt, which is 18 pt on a slide of 1280 x 720. Okabe and Ito's colours;
orange, green and blue are kept for the three axes.
"""

import io
import itertools
import textwrap
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from sutrolib.core.cube import COLOURS, QUESTIONS, RUNGS, A, Axis, B, Position, path_to_b

SIZE = (5.75, 3.45)
_INCHES_PER_LETTER = 0.0865  # of a title, on average
BLACK, GREY, RED, PURPLE = "#000000", "#666666", "#D55E00", "#CC79A7"  # Okabe and Ito, and a neutral grey

# Lines that differ in colour and dashes.
LINE_STYLES = [
    (colour, ("-", "--", ":", "-.")[(n + turn) % 4])
    for turn in range(3)
    for n, colour in enumerate((BLACK, RED, PURPLE, GREY))
]

# Okabe and Ito's colours are for marks. As text or thin lines on white most of them lack the contrast of WCAG 2.2 (4.5
# to 1 and 3 to 1); these are darker shades of the same hues.
TEXT_COLOURS = {Axis.PROCESS: "#8A5A00", Axis.METRIC: "#00704F", Axis.PROBLEM: "#005A8C"}
RED_TEXT = "#A84A00"

# One unit along each axis on paper: process to the right, metric up, problem into the page. In this direction no two
# of the 150 positions come close to each other, and a number has room to the right of its mark.
_DIRECTIONS = {Axis.PROCESS: (1.0, 0.0), Axis.METRIC: (0.0, 1.0), Axis.PROBLEM: (0.64, 0.4)}


def use_style() -> None:
    """Set matplotlib's defaults to the house style."""
    plt.style.use([Path(__file__).with_name("house.mplstyle"), {"figure.figsize": SIZE}])


def save_figure(figure: Figure, stem: Path, png: bytes = b"") -> None:
    """Save a figure as <stem>.png (``png``, if it has been drawn) and <stem>.svg. OSError if that cannot be written."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".png").write_bytes(png or png_bytes(figure))
    figure.set_layout_engine("none")  # everything has its place now
    figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})


def png_bytes(figure: Figure, dpi: int = 150) -> bytes:
    """A figure as PNG. The figure is closed."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dpi)
    plt.close(figure)
    return png.getvalue()


def wrap_figure_texts(figure: Figure) -> None:
    """Wrap titles and axis labels that would leave the figure; titles of panels are smaller than the figure's."""
    if heading := figure.get_suptitle():
        heading = wrap_lines(heading.replace("\n", " "), int(figure.get_figwidth() / _INCHES_PER_LETTER))
        figure.suptitle(heading, x=0.02, ha="left", fontsize="medium")
    titles = {ax: ax.set_title(ax.get_title("left"), loc="left", fontsize=9 if heading else None) for ax in figure.axes}
    for title in titles.values():
        title.set_visible(False)  # a title of one long line would leave the axes no room
    figure.draw_without_rendering()  # after this the axes have their place
    width, height = figure.get_size_inches()
    for ax, title in titles.items():
        title.set_visible(True)
        _wrap(title, (1 - ax.get_position().x0) * width)
    figure.draw_without_rendering()  # titles of several lines have moved the axes
    for ax in figure.axes:
        place = ax.get_position()
        middle = place.x0 + place.width / 2
        room = 2 * min(middle, 1 - middle)
        beside = any(other.get_position().x0 != place.x0 for other in figure.axes)
        _wrap(ax.xaxis.label, (min(room, 1.2 * place.width) if beside else room) * width)
        _wrap(ax.yaxis.label, place.height * height)


def _wrap(text: Text, inches: float) -> None:
    text.set_text(wrap_lines(text.get_text(), int(inches / _INCHES_PER_LETTER)))


def wrap_lines(text: str, width: int) -> str:
    """The text with each of its lines wrapped to this number of letters."""
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())


def _project(position: Position) -> tuple[float, float]:
    """The point of a position in the picture of the cube."""
    shares = [index / (len(RUNGS[axis]) - 1) for axis, index in zip(Axis, position.indices(), strict=True)]
    x, y = np.dot(shares, list(_DIRECTIONS.values()))
    return float(x), float(y)


def _points(positions: Iterable[Position]) -> tuple[Sequence[float], ...]:
    """The x and the y of all positions in the picture."""
    return tuple(zip(*map(_project, positions), strict=True))


def _annotate(ax: Axes, text: str, at: Position, offset: tuple[int, int], **style: Any) -> None:
    ax.annotate(text, _project(at), xytext=offset, textcoords="offset points", **style)


def draw_cube(
    points: Mapping[Position, int],
    here: Position | None = None,
    title: str = "",
    new: Mapping[Position, int] | None = None,
    walked: Container[Position] = (),
    turned_back: Collection[Position] = (),
    counted: str = "runs",
) -> Figure:
    """The cube with its rungs, the path from A to B, and the measured positions.

    Args:
        points: the number of measurements at each position.
        here: a position to circle.
        title: the title.
        new: how many of the measurements are new; positions with new ones have another marker.
        walked: positions that the walk has reached; the path is thick up to there.
        turned_back: positions at which the walk has turned back, to repeat the step before.
        counted: what ``points`` counts.
    """
    figure, ax = plt.subplots(figsize=(7, 5.6))
    ax.set_axis_off()
    ax.set_aspect("equal")
    _draw_edges(ax)
    _draw_rungs(ax)
    _draw_path(ax, walked)
    if turned_back:
        ax.plot(*_points(turned_back), "X", ms=12, mfc=RED, mec=BLACK, label="turned back here", zorder=2.6)
    _draw_points(ax, points, new, counted)
    if here is not None:
        ax.plot(*_project(here), "o", ms=16, mfc="none", mec=RED, mew=2, label="you are here", zorder=2.4)
    for corner, name, offset in ((A, "A", (-24, 9)), (B, "B", (8, 6))):
        _annotate(ax, name, corner, offset, fontsize=16, fontweight="bold")
    ax.set_title(title, loc="left")
    ax.set(xlim=(-0.57, 2.05), ylim=(-0.45, 1.5))
    columns = 2 if len(ax.get_legend_handles_labels()[1]) < 5 else 3  # two rows, so that a slide shows it as large
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=columns, fontsize=9)
    return figure


def _draw_path(ax: Axes, walked: Container[Position]) -> None:
    known = set()
    for step in path_to_b():
        done = step.end in walked
        label = "the path as walked" if done else "the path ahead"
        once = None if label in known else label
        style: dict[str, Any] = {"lw": 6, "ls": "-"} if done else {"lw": 1.8, "ls": ":"}
        ax.plot(*_points((step.start, step.end)), color=TEXT_COLOURS[step.axis], label=once, zorder=2, **style)
        known.add(label)


def _draw_points(ax: Axes, points: Mapping[Position, int], new: Mapping[Position, int] | None, counted: str) -> None:
    fresh, plain = new or {}, BLACK if new is None else "white"
    groups = (
        (f"measured (number of {counted})", [p for p in points if not fresh.get(p)], "o", 7, plain),
        (f"measured again (new {counted})", [p for p in points if 0 < fresh.get(p, 0) < points[p]], "D", 8, BLACK),
        (f"measured for the first time ({counted})", [p for p in points if fresh.get(p) == points[p]], "*", 12, RED),
    )
    for label, positions, marker, size, colour in groups:
        if positions:
            ax.plot(*_points(positions), marker, ms=size, mfc=colour, mec=BLACK, label=label, zorder=3)
    for position, count in points.items():
        # With its sign a number of three digits must still fit between two marks.
        found, letters = (f"+{fresh[position]}", 7.5) if fresh.get(position) else (f"{count}", 9.0)
        # The halo covers lines but no markers.
        halo = [patheffects.withStroke(linewidth=2.5, foreground="white")]
        _annotate(ax, found, position, (10, 0), va="center", fontsize=letters, zorder=2.5, path_effects=halo)


def _draw_edges(ax: Axes) -> None:
    ends = ((rungs[0].key, rungs[-1].key) for rungs in RUNGS.values())
    for corners in itertools.combinations((Position(*keys) for keys in itertools.product(*ends)), 2):
        moved = [axis for axis in Axis if getattr(corners[0], axis) != getattr(corners[1], axis)]
        if len(moved) == 1:
            main = A in corners  # thinner than the path, but dark enough to be seen
            colour = TEXT_COLOURS[moved[0]] if main else COLOURS[moved[0]]
            ax.plot(*_points(corners), color=colour, lw=1, alpha=1 if main else 0.45, zorder=0)


def _draw_rungs(ax: Axes) -> None:
    # Of each axis: where its labels start and stand, how they are set, and the place of its name. The labels of the
    # problem axis stand along the right edge, where there is room.
    right = replace(A, process=B.process)
    looks: dict[Axis, tuple[Position, tuple[int, int], dict[str, Any], tuple[float, float]]] = {
        Axis.PROCESS: (A, (-4, -8), {"ha": "right", "va": "top", "rotation": 30}, (0.5, -0.36)),
        Axis.METRIC: (A, (-8, 0), {"ha": "right", "va": "center"}, (-0.5, 0.5)),
        Axis.PROBLEM: (right, (7, -3), {"ha": "left", "va": "top"}, (1.5, -0.12)),
    }
    for axis, (start, offset, text, middle) in looks.items():
        colour = TEXT_COLOURS[axis]
        for rung in RUNGS[axis]:
            position = replace(start, **{axis: rung.key})
            ax.plot(*_project(position), "|" if axis is Axis.PROCESS else "_", color=colour, ms=9, mew=2)
            _annotate(ax, rung.key, position, offset, fontsize=9, **text)
        name, turn = f"{axis.value.upper()}\n{QUESTIONS[axis]}", 90 if axis is Axis.METRIC else 0
        ax.text(*middle, name, color=colour, ha="center", va="center", fontsize=10, fontweight="bold", rotation=turn)
