"""A notebook's session: checked parameters, expectations, measurements, figures, conclusion.

    nb = start("10_baseline")

``start`` reads the parameters that the notebook declares from the cells that have run, so it works in JupyterLab, under
papermill and in a copied or renamed notebook. An unknown parameter or one of a wrong type stops the run there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sutrolib.batch.parameters import Parameter, ParameterError, assigned_in, check_names, declared_in, listing
from sutrolib.core import paths
from sutrolib.core.cube import COLOURS, Axis
from sutrolib.core.markdown import FINDING_TYPE, markdown_table
from sutrolib.core.provenance import now
from sutrolib.core.types import Model, Problem
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement, measure
from sutrolib.meters.base import Kind, Meter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sutrolib.processes.study import Study, Trial

_INJECTED = "# Parameters"  # the first line of the cell in which papermill passes parameters


@dataclass(frozen=True)
class Expectation:
    """A prediction made before the run: a quantity, its expected range, and the reason."""

    quantity: str
    low: float
    high: float
    because: str

    def holds(self, value: float | None) -> bool | None:
        """Whether ``value`` lies in the expected range; None if it was not measured."""
        return None if value is None else self.low <= value <= self.high

    @property
    def range(self) -> str:
        """The expected range as text."""
        return f"{self.low:g} to {self.high:g}"


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
        from IPython.display import HTML, display

        if self._handle is None:
            self._handle = display(HTML(self.html), display_id=True)
        if self._handle is not None:  # there is no display outside IPython
            self._handle.update({"text/html": self.html, "text/plain": self.text}, raw=True)


@dataclass
class Session:
    """One run of one notebook."""

    name: str
    parameters: SimpleNamespace
    ledger: Ledger
    figures: Path
    expectations: list[Expectation] = field(default_factory=list)
    quantity_kinds: dict[str, Kind] = field(default_factory=dict)  # that of all other quantities under ""
    shown: list[str] = field(default_factory=list)  # the labels of the figures

    @property
    def quick(self) -> bool:
        """Whether this run has the quick profile."""
        return bool(getattr(self.parameters, "profile", "quick") == "quick")

    def expect(self, quantity: str, low: float, high: float, because: str) -> None:
        """Predict, before the run, that a quantity lies from ``low`` to ``high``."""
        if not low <= high:
            raise ValueError(f"low must be at most high={high!r} (got {low!r} for {quantity!r})")
        self.expectations.append(Expectation(quantity, low, high, because))

    def kinds(self, rest: str, **others: Sequence[str]) -> None:
        """State the kind of every quantity: ``rest``, except for those listed under another kind.

        Example: ``nb.kinds("counted", measured=["seconds", "joules"])``.
        """
        try:
            self.quantity_kinds = {"": Kind(rest)}
            self.quantity_kinds |= {name: Kind(kind) for kind, quantities in others.items() for name in quantities}
        except ValueError as error:
            raise ValueError(f"kind must be {', '.join(Kind)} ({error})") from None

    def kind_of(self, quantity: str) -> Kind:
        """The kind of a quantity. ValueError before :meth:`kinds` was called, as every number must have a kind."""
        if not self.quantity_kinds:
            raise ValueError(f"{quantity!r} has no kind: call nb.kinds(...) with {', '.join(Kind)}")
        return self.quantity_kinds.get(quantity, self.quantity_kinds[""])

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Display a table."""
        show_markdown(markdown_table(header, rows))

    def show_expectations(self) -> None:
        """Display the predictions so far."""
        rows = [(e.quantity, self.kind_of(e.quantity), e.range, e.because) for e in self.expectations]
        self.table(("quantity", "kind", "expected", "because"), rows)

    def measure(
        self, problem: Problem, model: Model, meters: Sequence[Meter], seeds: Iterable[int], **options: Any
    ) -> list[Measurement]:
        """Measure one run on each seed and add it to the ledger; the options are those of ``measure``."""
        runs = []
        for seed in seeds:
            runs.append(measure(problem, model, meters, seed, **options))
            self.keep(runs[-1])
        return runs

    def keep(self, measurement: Measurement) -> None:
        """Add a measurement to the ledger."""
        self.ledger.add(measurement)

    def keep_study(self, study: Study) -> None:
        """Add a search, its result and its cost to the ledger."""
        self.ledger.add_study(study.to_dict())

    progress = staticmethod(Progress)

    def show(self, figure: Figure, label: str, alt: str) -> None:
        """Display a figure and save it as <notebook>_<label>.png and .svg; ``alt`` describes it in words."""
        from IPython.display import display
        from matplotlib import pyplot as plt

        from sutrolib.plots.style import save_figure, wrap_figure_texts

        stem = f"{self.name}_{label}"
        if not re.fullmatch(r"[\w-]+", stem):
            raise ValueError(f"the label of a figure must be of letters, digits, '_' and '-' (got {label!r})")
        wrap_figure_texts(figure)
        try:
            save_figure(figure, self.figures / stem)
        except OSError as error:
            print(f"The figure is shown but not saved: {error}")
        display(figure, metadata={"image/png": {"alt": alt, "label": label}})
        self.shown.append(label)
        plt.close(figure)

    def conclude(self, finding: str, results: Mapping[str, float | None], then: str, figure: str | None = None) -> None:
        """Show expectations against results, the sign of life and the next step, and record them in the notebook.

        Args:
            finding: what was found, in one or two sentences.
            results: the value of each quantity, None for one that was not measured; every expectation needs one.
            then: the next step.
            figure: the label of the figure that shows the finding (default: the first).
        """
        from IPython.display import display

        if figure is not None and figure not in self.shown:
            raise ValueError(f"figure must be one that was shown: {', '.join(self.shown) or 'none'} (got {figure!r})")
        if missing := [e.quantity for e in self.expectations if e.quantity not in results]:
            raise ValueError(f"results must hold every expectation ({', '.join(missing)} missing)")
        expected = {e.quantity: e for e in self.expectations}
        held = [e.holds(results[quantity]) for quantity, e in expected.items()]
        rows = []
        for quantity, value in results.items():
            saw, prediction = "not measured" if value is None else f"{value:.4g}", expected.get(quantity)
            answer = {True: "yes", False: "no", None: ""}[prediction.holds(value) if prediction else None]
            rows.append((quantity, self.kind_of(quantity), prediction.range if prediction else "", saw, answer))
        sign = sign_of_life(held)
        count = f"{held.count(True)} of {len(held)} expectations held"
        unmeasured = f", {held.count(None)} not measured" if None in held else ""
        table = markdown_table(("quantity", "kind", "expected", "saw", "held"), rows)
        text = f"**{finding}**\n\n{table}\n\nSign of life: **{sign}** ({count}{unmeasured}). {then}"
        payload = {
            "finding": finding,
            "sign": sign,
            "results": {k: None if v is None else float(v) for k, v in results.items()},
            "then": then,
            "figure": figure,
            "when": now(),
            "parameters": vars(self.parameters),
            "kinds": {quantity: self.kind_of(quantity) for quantity in results},
            "expected": {e.quantity: [e.low, e.high, e.because] for e in self.expectations},
        }
        display({"text/markdown": text, FINDING_TYPE: json.loads(json.dumps(payload, allow_nan=False))}, raw=True)


def sign_of_life(held: Sequence[bool | None]) -> str:
    """The sign of life: continue if all expectations held, turn back a step if only some did, stop if none did.

    What was not measured (None) is ignored; if nothing was measured, the sign is "not measured".
    """
    measured = [answer for answer in held if answer is not None]
    if held and not measured:
        return "not measured"
    if all(measured):
        return "continue"
    return "turn back" if any(measured) else "stop"


def start(name: str) -> Session:
    """Check the parameters of the calling notebook, and return its session.

    Raises:
        ParameterError: a parameter is not declared, or its value is not valid.
    """
    from IPython import get_ipython

    from sutrolib.plots.style import use_style

    shell = get_ipython()
    if shell is None:
        raise RuntimeError("start() must run in a notebook's set-up cell (no notebook is running)")
    declared, passed = _declared_and_passed(shell.user_ns["In"])
    check_names(passed, declared, name)
    try:
        values = {p.name: p.check(shell.user_ns[p.name]) for p in declared.values()}
    except ParameterError as error:
        raise ParameterError(f"{name}: {error}.\n{listing(declared)}") from None
    use_style()
    shell.run_line_magic("matplotlib", "agg")  # figures appear only where Session.show puts them, with alt text
    return Session(name, SimpleNamespace(**values), Ledger(), paths.figures())


def _declared_and_passed(cells: Sequence[str]) -> tuple[dict[str, Parameter], tuple[str, ...]]:
    """The parameters that the last parameter cell declared, and the names that papermill passed after it."""
    declared: dict[str, Parameter] = {}
    passed: tuple[str, ...] = ()
    for source in cells:
        if source.startswith(_INJECTED):
            passed = assigned_in(source)
        elif found := declared_in(source):
            declared, passed = found, ()
    return declared, passed


def show_markdown(text: str) -> None:
    """Display Markdown text."""
    from IPython.display import Markdown, display

    display(Markdown(text))
