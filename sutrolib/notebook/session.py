"""What a notebook needs from its set-up cell on: checked parameters, expectations, measurements, figures, conclusion.

    nb = start("10_baseline")

``start`` reads the parameters that the notebook declares from the cells that have run, so it works in JupyterLab, under
papermill and in a copied or renamed notebook. An unknown or ill-typed parameter stops the run there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sutrolib.batch.parameters import Parameter, ParameterError, assigned_in, check_names, declared_in, listing
from sutrolib.core import paths
from sutrolib.core.markdown import FINDING_TYPE, markdown_table
from sutrolib.core.provenance import now
from sutrolib.core.types import Model, Problem
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement, measure
from sutrolib.meters.base import Kind, Meter
from sutrolib.notebook.progress import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sutrolib.processes.study import Study, Trial

INJECTED = "# Parameters"  # the first line of the cell in which papermill passes parameters


@dataclass(frozen=True)
class Expectation:
    """A prediction written before the run: a quantity, and the range that it is expected in."""

    quantity: str
    low: float
    high: float
    because: str

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies in the expected range."""
        return self.low <= value <= self.high


@dataclass
class Session:
    """One run of one notebook."""

    name: str
    parameters: SimpleNamespace
    ledger: Ledger
    figures: Path
    expectations: list[Expectation] = field(default_factory=list)
    stated: dict[str, Kind] = field(default_factory=dict)  # the kind of each quantity, of all others under ""
    shown: list[str] = field(default_factory=list)  # the labels of the figures

    @property
    def quick(self) -> bool:
        """Whether the quick profile was asked for."""
        return bool(getattr(self.parameters, "profile", "quick") == "quick")

    def expect(self, quantity: str, low: float, high: float, because: str) -> None:
        """State a prediction, before the run. Raises ValueError when its range is empty."""
        if not low <= high:
            raise ValueError(f"expectation of {quantity!r}: low={low!r} is above high={high!r}")
        self.expectations.append(Expectation(quantity, low, high, because))

    def kinds(self, rest: str, **others: Sequence[str]) -> None:
        """State of what kind the quantities are: ``rest`` all, but for those that are listed under another kind.

        Raises ValueError for what is no kind: accepted are counted, modelled, estimated and measured.
        """
        self.stated = {"": _kind(rest)}
        self.stated |= {quantity: _kind(kind) for kind, quantities in others.items() for quantity in quantities}

    def kind_of(self, quantity: str) -> Kind:
        """The kind of a quantity. Raises ValueError where none was stated: every number carries its kind."""
        if not self.stated:
            raise ValueError(f"no kind of {quantity!r} was stated; call nb.kinds(...), accepted are {', '.join(Kind)}")
        return self.stated.get(quantity, self.stated[""])

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Display a table."""
        show_markdown(markdown_table(header, rows))

    def show_expectations(self) -> None:
        """Display what was predicted so far."""
        rows = [
            (e.quantity, self.kind_of(e.quantity), f"{e.low:g} to {e.high:g}", e.because) for e in self.expectations
        ]
        self.table(("quantity", "kind", "expected", "because"), rows)

    def measure(
        self, problem: Problem, model: Model, meters: Sequence[Meter], seeds: Iterable[int], **options: Any
    ) -> list[Measurement]:
        """Measure one run for each seed, with the options of ``measure``; each goes to the ledger at once."""
        runs = []
        for seed in seeds:
            runs.append(measure(problem, model, meters, seed, **options))
            self.keep(runs[-1])
        return runs

    def keep(self, measurement: Measurement) -> None:
        """Add a measurement to the ledger."""
        self.ledger.add(measurement)

    def keep_study(self, study: Study) -> None:
        """Add what a search found, and what it cost, to the ledger."""
        self.ledger.add_study(study.to_dict())

    def progress(self, title: str, total: int | None = None) -> Callable[[Trial], None]:
        """What tells a reader how a search of ``total`` trials gets on: a bar and a curve that change as trials end.

        Without JupyterLab the same display ends up in its last state.
        """
        return Progress(title, total)

    def show(self, figure: Figure, label: str, alt: str) -> None:
        """Display a figure and save it as <notebook>_<label>.png and .svg; ``alt`` describes it in words.

        Raises ValueError for a label that is no part of a file's name.
        """
        from IPython.display import display
        from matplotlib import pyplot as plt

        from sutrolib.plots.style import save_figure, wrap_figure_titles

        stem = f"{self.name}_{label}"
        if not re.fullmatch(r"[\w-]+", stem):
            raise ValueError(f"figure {stem!r}, accepted are names of letters, digits, '_' and '-'")
        wrap_figure_titles(figure)
        try:
            save_figure(figure, self.figures / stem)
        except OSError as error:
            print(f"The figure is shown and not saved: {error}")
        display(figure, metadata={"image/png": {"alt": alt, "label": label}})
        self.shown.append(label)
        plt.close(figure)

    def conclude(self, finding: str, results: Mapping[str, float | None], then: str, figure: str | None = None) -> None:
        """Show expectation against result, the sign of life, and the next step; hand the finding to the batch runner.

        A result of None was not measured. ``figure`` is the label of the figure that shows the finding, where that is
        not the first. Raises ValueError when a stated expectation has no result, or no figure of that label was shown.
        """
        if figure is not None and figure not in self.shown:
            raise ValueError(f"figure={figure!r} was not shown, accepted are {', '.join(self.shown) or 'none'}")
        unanswered = [e.quantity for e in self.expectations if e.quantity not in results]
        if unanswered:
            raise ValueError(f"expected and not reported: {', '.join(unanswered)}; results hold {', '.join(results)}")
        held = [_holds(e, results[e.quantity]) for e in self.expectations]
        sign = sign_of_life(held)
        expected = {e.quantity: e for e in self.expectations}
        words = {True: "yes", False: "no", None: ""}
        rows = [
            (
                quantity,
                self.kind_of(quantity),
                f"{expected[quantity].low:g} to {expected[quantity].high:g}" if quantity in expected else "",
                "not measured" if value is None else f"{value:.4g}",
                words[_holds(expected[quantity], value)] if quantity in expected else "",
            )
            for quantity, value in results.items()
        ]
        unread = f", {held.count(None)} not measured" if None in held else ""
        text = "\n\n".join(
            (
                f"**{finding}**",
                markdown_table(("quantity", "kind", "expected", "saw", "held"), rows),
                f"Sign of life: **{sign}** ({held.count(True)} of {len(held)} expectations held{unread}). {then}",
            )
        )
        from IPython.display import display

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
    """What the expectations say: all held, continue; some, turn back a step and look again; none, stop.

    None stands for what was not measured: it speaks neither for nor against, and nothing can be said of it alone.
    """
    measured = [answer for answer in held if answer is not None]
    if held and not measured:
        return "not measured"
    if all(measured):
        return "continue"
    return "turn back" if any(measured) else "stop"


def _kind(text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError:
        raise ValueError(f"kind {text!r}, accepted are {', '.join(Kind)}") from None


def _holds(expectation: Expectation, value: float | None) -> bool | None:
    return None if value is None else expectation.holds(value)


def start(name: str) -> Session:
    """Check the parameters of the notebook that calls this, and return its session.

    Raises ParameterError for a parameter that the notebook does not declare, or a value outside what it declares.
    """
    from IPython import get_ipython

    from sutrolib.plots.style import use_style

    shell = get_ipython()
    if shell is None:
        raise RuntimeError("start() belongs in a notebook's set-up cell; no notebook is running")
    declared, passed = _cells(shell.user_ns["In"])
    check_names(passed, declared, name)
    try:
        values = {p.name: p.check(shell.user_ns[p.name]) for p in declared.values()}
    except ParameterError as error:
        raise ParameterError(f"{name}: {error}.\n{listing(declared)}") from None
    use_style()
    _draw_inline_once(shell)
    return Session(name, SimpleNamespace(**values), Ledger(), paths.figures())


def _cells(sources: Sequence[str]) -> tuple[dict[str, Parameter], tuple[str, ...]]:
    """The parameters last declared by a cell, and the names that papermill passed after that."""
    declared: dict[str, Parameter] = {}
    passed: tuple[str, ...] = ()
    for source in sources:
        if source.startswith(INJECTED):
            passed = assigned_in(source)
        elif found := declared_in(source):
            declared, passed = found, ()
    return declared, passed


def _draw_inline_once(shell: Any) -> None:
    """Figures appear where :meth:`Session.show` puts them, with their alt text, and not a second time."""
    shell.run_line_magic("matplotlib", "agg")


def show_markdown(text: str) -> None:
    """Display Markdown text."""
    from IPython.display import Markdown, display

    display(Markdown(text))
