"""The progress of a long cell, in one display that is updated in place.

It needs no widget, so that a run without a browser keeps the last state.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from html import escape
from itertools import accumulate
from typing import TYPE_CHECKING

from sutrolib.core.cube import COLOURS, Axis

if TYPE_CHECKING:
    from sutrolib.processes.study import Trial


def updated_display() -> Callable[[dict[str, str]], None]:
    """A new display; each call shows other content, by MIME type. Outside IPython nothing is shown."""
    from IPython.display import HTML, display

    handle = display(HTML(""), display_id=True)
    return lambda content: handle.update(content, raw=True) if handle is not None else None


class Progress:
    """A callback for every finished trial of a search, which shows a bar and the best cost so far.

    One display is updated in place and needs no widget, so that a run without a browser keeps its last state.
    ``total`` is the largest number of trials; None, and no bar, if the budget is in seconds or joules.
    """

    def __init__(self, title: str, total: int | None = None) -> None:
        if total is not None and total < 1:
            raise ValueError(f"total must be at least 1, or None if it is unknown (got {total!r})")
        self.title, self.total = title, total
        self._costs: list[float | None] = []
        self._update: Callable[[dict[str, str]], None] | None = None

    def __call__(self, trial: Trial) -> None:
        """Count a finished trial, and redraw."""
        self._costs.append(trial.cost)
        self._show()

    @property
    def text(self) -> str:
        """The state in words."""
        solved = [cost for cost in self._costs if cost is not None]
        best = f"best cost {min(solved):.4g}" if solved else "nothing solved yet"
        limit = "" if self.total is None else f" of at most {self.total}"
        return f"{self.title}: {len(self._costs)}{limit} trials, {len(solved)} solved, {best}"

    @property
    def html(self) -> str:
        """The state as a bar, its text, and the curve of the best cost on a logarithmic scale."""
        label = f'aria-label="{escape(self.title)}"'
        bar = f'<progress value="{len(self._costs)}" max="{self.total}" {label}></progress> ' if self.total else ""
        return f"<div>{bar}{escape(self.text)}</div>{self._curve()}"

    def _curve(self) -> str:
        best = accumulate((math.inf if cost is None else cost for cost in self._costs), min)
        steps = [(number, -math.log10(cost)) for number, cost in enumerate(best, start=1) if math.isfinite(cost)]
        if not steps:
            return ""
        top, bottom, width = steps[0][1], steps[-1][1], max(self.total or 1, len(self._costs))
        height = bottom - top or 1.0
        points = " ".join(f"{number},{y:.4f}" for number, y in steps)
        alt = f"Best cost so far, from {10**-top:.3g} down to {10**-bottom:.3g}, over {len(self._costs)} trials"
        return (
            f'<svg width="480" height="120" viewBox="0 {top - 0.05 * height} {width} {1.1 * height}" '
            f'preserveAspectRatio="none" role="img" aria-label="{alt}"><polyline points="{points}" fill="none" '
            f'stroke="{COLOURS[Axis.PROCESS]}" stroke-width="3" vector-effect="non-scaling-stroke"/></svg>'
        )

    def _show(self) -> None:
        self._update = self._update or updated_display()
        self._update({"text/html": self.html, "text/plain": self.text})
