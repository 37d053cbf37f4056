"""A notebook's session: checked parameters, expectations, measurements, figures, conclusion.

    nb = start("10_baseline")

``start`` reads the parameters that the notebook declares from the cells that have run, so it works in JupyterLab, under
papermill and in a copied or renamed notebook. An unknown parameter or one of a wrong type stops the run there.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import psutil
from IPython import get_ipython
from IPython.display import Markdown, display
from matplotlib.figure import Figure

from sutrolib.batch.parameters import Parameter, ParameterError, assigned_in, check_names, declared_in, listing
from sutrolib.batch.stored import StoredResults, estimate_text, expected_seconds
from sutrolib.core import paths
from sutrolib.core.format import plain
from sutrolib.core.io import as_float, as_json, not_finite
from sutrolib.core.markdown import FINDING_TYPE, markdown_table
from sutrolib.core.provenance import now, reference_seconds
from sutrolib.core.types import Model, Problem, describe
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement, measure
from sutrolib.meters.base import Kind, Meter
from sutrolib.notebook.progress import Progress
from sutrolib.notebook.stored import Results
from sutrolib.plots.style import png_bytes, save_figure, use_style, wrap_figure_texts
from sutrolib.processes.study import Study

T = TypeVar("T")
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
    results: Results = field(default_factory=Results)
    withheld: list[str] = field(default_factory=list)  # why there is no finding
    audits: list[str] = field(default_factory=list)  # what the audit of proxies has against metrics, as shown
    began: float = field(default_factory=time.perf_counter)  # on the clock of ``time.perf_counter``

    @property
    def quick(self) -> bool:
        """Whether the sizes are those of the quick profile; the profile ``anew`` has them too, but reads nothing."""
        return bool(getattr(self.parameters, "profile", "quick") != "full")

    def expect(self, quantity: str, low: float, high: float, because: str) -> None:
        """Predict, before the run, that a quantity lies from ``low`` to ``high``, two finite numbers."""
        if wrong := not_finite({"low": low, "high": high}):
            raise ValueError(f"{wrong} for {quantity!r}: give two finite numbers")
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

    def require(self, holds: bool, why: str) -> None:
        """Withhold the finding and the titles from here on, unless ``holds``: they would be of too little."""
        if not holds:
            self.withheld.append(why)

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

        def run() -> list[Measurement]:
            runs = []
            for seed in seeds:
                runs.append(measure(problem, model, meters, seed, **options))
                self.keep(runs[-1])
            return runs

        seeds = list(seeds)
        if "__main__" in {type(part).__module__ for part in (problem, model, *meters)}:
            return run()  # a class of the notebook may change from run to run
        label = describe(problem), describe(model), seeds, [meter.name for meter in meters], options
        return self.compute(json.dumps(label, default=str), run)

    def compute(self, label: str, task: Callable[[], T]) -> T:
        """The result of a long computation, which the quick profile reads from the stored results.

        The profile ``anew`` computes all of them and stores them in the run's folder; ``python -m sutrolib ledger
        publish`` puts them into data/results/.
        """
        return self.results.compute(label, task)

    def keep(self, measurement: Measurement) -> None:
        """Add a measurement to the ledger."""
        self.ledger.add(measurement)

    def keep_study(self, study: Study) -> None:
        """Add a search, its result and its cost to the ledger; show, once, what the audit has against its metric."""
        self.ledger.add_study(study.to_dict())
        if study.audit not in ("", *self.audits):
            self.audits.append(study.audit)
            print(study.audit)

    progress = staticmethod(Progress)

    def show(self, figure: Figure, label: str, alt: str) -> None:
        """Display a figure and save it as <notebook>_<label>.png and .svg; ``alt`` describes it in words."""
        stem = f"{self.name}_{label}"
        if not re.fullmatch(r"[\w-]+", stem):
            raise ValueError(f"the label of a figure must be of letters, digits, '_' and '-' (got {label!r})")
        if self.withheld:
            alt = f"No finding: {'; '.join(self.withheld)}."
            (figure.suptitle if figure.get_suptitle() else figure.axes[0].set_title)(alt)
        wrap_figure_texts(figure)
        png, width = png_bytes(figure), round(120 * figure.get_figwidth())  # drawn once; width in CSS pixels
        try:
            save_figure(figure, self.figures / stem, png)
        except OSError as error:
            print(f"The figure is shown but not saved: {error}")
        about = {"alt": alt, "label": label, "width": width}
        display({"image/png": png, "text/plain": alt}, raw=True, metadata={"image/png": about})
        self.shown.append(label)

    def conclude(self, finding: str, results: Mapping[str, float | None], then: str, figure: str | None = None) -> None:
        """Show expectations against results, the sign of life and the next step, and record them in the notebook.

        Args:
            finding: what was found, in one or two sentences.
            results: the value of each quantity, None for one that was not measured; every expectation needs one.
            then: the next step.
            figure: the label of the figure that shows the finding (default: the first).
        """
        if figure is not None and figure not in self.shown:
            raise ValueError(f"figure must be one that was shown: {', '.join(self.shown) or 'none'} (got {figure!r})")
        if missing := [e.quantity for e in self.expectations if e.quantity not in results]:
            raise ValueError(f"results must hold every expectation ({', '.join(missing)} missing)")
        wrong = [name for name, value in results.items() if value is not None and as_float(value) is None]
        self.require(not wrong, f"not a finite number: {', '.join(wrong)}")
        results = {name: as_float(value) for name, value in results.items()}
        expected = {e.quantity: e for e in self.expectations}
        held = [e.holds(results[quantity]) for quantity, e in expected.items()]
        rows = []
        for quantity, value in results.items():
            saw, prediction = "not measured" if value is None else f"{value:.4g}", expected.get(quantity)
            answer = {True: "yes", False: "no", None: ""}[prediction.holds(value) if prediction else None]
            rows.append((quantity, self.kind_of(quantity), prediction.range if prediction else "", saw, answer))
        sign = sign_of_life(held)
        if self.withheld:
            finding, sign = f"No finding: {'; '.join(self.withheld)}.", "turn back"
        count = f"{held.count(True)} of {len(held)} expectations held"
        unmeasured = f", {held.count(None)} not measured" if None in held else ""
        table = markdown_table(("quantity", "kind", "expected", "saw", "held"), rows)
        text = f"**{finding}**\n\n{table}\n\nSign of life: **{sign}** ({count}{unmeasured}). {then}"
        text += f"\n\n{self.results.text}." if self.results.text else ""
        payload = {
            "finding": finding,
            "sign": sign,
            "results": results,
            "then": then,
            "figure": figure,
            "when": now(),
            "seconds": time.perf_counter() - self.began,
            "reference_seconds": reference_seconds(),
            "stored": self.results.text,
            "parameters": vars(self.parameters),
            "kinds": {quantity: self.kind_of(quantity) for quantity in results},
            "expected": {e.quantity: [e.low, e.high, e.because] for e in self.expectations},
        }
        display({"text/markdown": plain(text), FINDING_TYPE: as_json(payload)}, raw=True)


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
    print(f"Time: {estimate_text(expected_seconds(paths.NOTEBOOKS / f'{name}.ipynb', values))}.")
    session = Session(name, SimpleNamespace(**values), Ledger(), paths.figures(), began=kernel_start())
    profile, others = values.get("profile"), {key: value for key, value in values.items() if key != "profile"}
    if profile == "anew":
        session.results = Results(kept=StoredResults(others), path=paths.stored_results(name, session.ledger.folder))
    elif profile == "quick" and (stored := StoredResults.read(paths.stored_results(name))):
        if why := stored.outdated(others):
            print(f"Its stored results are not read, as {why}.")
        else:
            session.results = Results(stored)
            print(f"Long computations are read from {stored.source}. To compute all: -p profile anew.")
    return session


def kernel_start() -> float:
    """When this kernel began, on the clock of ``time.perf_counter``; ten seconds ago if a person waited longer."""
    return time.perf_counter() - min(10.0, time.time() - float(psutil.Process().create_time()))


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
    display(Markdown(plain(text)))
