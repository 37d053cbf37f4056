"""The progress of a search in a notebook: a bar and the best cost so far, updated as trials end.

One display is updated in place and needs no widget, so that a run without a browser keeps its last state.
"""

from __future__ import annotations

import math
from html import escape
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from sutrolib.core.cube import COLOURS, Axis

if TYPE_CHECKING:
    from sutrolib.processes.study import Trial


class Progress:
    """A callback for every finished trial: ``on_trial=Progress("random search", 40)``.

    ``total`` is the largest number of trials; None, and no bar, if the budget is in seconds or joules.
    """

    def __init__(self, title: str, total: int | None = None) -> None:
        if total is not None and total < 1:
            raise ValueError(f"total must be at least 1, or None if it is unknown (got {total!r})")
        self.title, self.total = title, total
        self._costs: list[float | None] = []
        self._handle: Any = None
        self._show()

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
        top, bottom = -steps[-1][1], -steps[0][1]
        height = bottom - top or 1.0
        points = " ".join(f"{number},{(y + bottom) / height:.4f}" for number, y in steps)
        alt = escape(f"Best cost so far, from {10**bottom:.3g} down to {10**top:.3g}, over {len(self._costs)} trials")
        return (
            f'<svg width="480" height="120" viewBox="0 -0.05 {max(self.total or 1, len(self._costs))} 1.1" '
            f'preserveAspectRatio="none" role="img" aria-label="{alt}"><polyline points="{points}" fill="none" '
            f'stroke="{COLOURS[Axis.PROCESS]}" stroke-width="3" vector-effect="non-scaling-stroke"/></svg>'
        )

    def _show(self) -> None:
        from IPython.display import HTML, display

        if self._handle is None:
            self._handle = display(HTML(self.html), display_id=True)
        if self._handle is not None:  # there is no display outside IPython
            self._handle.update({"text/html": self.html, "text/plain": self.text}, raw=True)
