"""The progress of a long cell, in one display that is updated in place.

It needs no widget, so that a run without a browser keeps the last state.
"""

from html import escape

from IPython.display import DisplayHandle, display

from sutrolib.processes.study import Trial


class Progress:
    """A callback for every finished trial of a search, which shows a bar and the best cost so far.

    ``total`` is the largest number of trials; None, and no bar, if the budget is in seconds or joules.
    """

    def __init__(self, title: str, total: int | None = None) -> None:
        if total is not None and total < 1:
            raise ValueError(f"total must be at least 1, or None if it is unknown (got {total!r})")
        self.title, self.total = title, total
        self._costs: list[float | None] = []
        self._shown: DisplayHandle | None = None

    def __call__(self, trial: Trial) -> None:
        """Count a finished trial, and redraw."""
        self._costs.append(trial.cost)
        content = {"text/html": self.html, "text/plain": self.text}
        if self._shown is None:
            self._shown = display(content, raw=True, display_id=True)
        else:
            self._shown.update(content, raw=True)

    @property
    def text(self) -> str:
        """The state in words."""
        solved = [cost for cost in self._costs if cost is not None]
        best = f"best cost {min(solved):.4g}" if solved else "nothing solved yet"
        limit = "" if self.total is None else f" of at most {self.total}"
        return f"{self.title}: {len(self._costs)}{limit} trials, {len(solved)} solved, {best}"

    @property
    def html(self) -> str:
        """The state as a bar and its text."""
        label = f'aria-label="{escape(self.title)}"'
        bar = f'<progress value="{len(self._costs)}" max="{self.total}" {label}></progress> ' if self.total else ""
        return f"<div>{bar}{escape(self.text)}</div>"
