"""How a search gets on, in a notebook: a bar and the best cost so far, redrawn as trials end.

One display is updated in place, so that a headless run ends up with its last state and needs no widget.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

from sutrolib.core.cube import COLOURS, Axis

if TYPE_CHECKING:
    from sutrolib.processes.study import Trial

WIDTH, HEIGHT, MARGIN = 480, 120, 6


class Progress:
    """Told of every trial (``on_trial=Progress("random search", 40)``); ``total`` is how many there may be.

    Where nobody knows, as the budget is in seconds or joules, it is None, and there is no bar.
    """

    def __init__(self, title: str, total: int | None = None) -> None:
        if total is not None and total < 1:
            raise ValueError(f"total={total!r}, accepted are 1 and above, and None where it is not known")
        self.title, self.total = title, total
        self.costs: list[float | None] = []
        self._handle: Any = None
        self._show()

    def __call__(self, trial: Trial) -> None:
        """Count a trial that has ended, and draw anew."""
        self.costs.append(trial.cost)
        self._show()

    @property
    def text(self) -> str:
        """The state in words."""
        solved = [cost for cost in self.costs if cost is not None]
        best = f"best cost {min(solved):.4g}" if solved else "nothing solved yet"
        limit = "" if self.total is None else f" of at most {self.total}"
        return f"{self.title}: {len(self.costs)}{limit} trials, {len(solved)} solved, {best}"

    @property
    def html(self) -> str:
        """The state as a bar with its text, and the curve of the best cost, by its logarithm."""
        label = escape(self.title)
        bar = f'<progress value="{len(self.costs)}" max="{self.total}" aria-label="{label}"></progress> '
        return f"<div>{bar if self.total else ''}{escape(self.text)}</div>{self._curve()}"

    def _curve(self) -> str:
        best, steps = math.inf, []
        for number, cost in enumerate(self.costs, start=1):
            best = min(best, math.inf if cost is None else cost)
            if math.isfinite(best):
                steps.append((number, math.log10(best)))
        if not steps:
            return ""
        low, high = min(y for _, y in steps), max(y for _, y in steps)
        points = []
        for number, y in steps:
            across = MARGIN + (WIDTH - 2 * MARGIN) * number / max(self.total or 1, len(self.costs))
            down = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (y - low) / ((high - low) or 1.0)
            points.append(f"{across:.1f},{down:.1f}")
        line = f'<polyline points="{" ".join(points)}" fill="none" stroke="{COLOURS[Axis.PROCESS]}" stroke-width="3"/>'
        alt = escape(f"Best cost so far, from {10**high:.3g} down to {10**low:.3g}, over {len(self.costs)} trials")
        return f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{alt}">{line}</svg>'

    def _show(self) -> None:
        from IPython.display import HTML, display

        shown = {"text/html": self.html, "text/plain": self.text}
        if self._handle is None:
            self._handle = display(HTML(self.html), display_id=True)
        if self._handle is not None:  # None outside of IPython: nobody looks
            self._handle.update(shown, raw=True)
