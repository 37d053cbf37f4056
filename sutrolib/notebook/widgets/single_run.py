"""A model with its hyper-parameters, measured against a baseline, seed by seed, on a problem and with meters to choose.

The runs are made in a worker process. Each is kept as soon as it ends; a run that a cancel interrupts is not. There is
an input for each field of the problem and the model, by its type and with its value; a field of a field (the ``lr`` of
a curriculum's ``network``) has a dotted name. The problem or the model itself rejects a value, with its own message.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from sutrolib.core.types import Model, Problem
from sutrolib.measurement.measure import Measurement
from sutrolib.meters import METERS, Meter, OperationCount, ReuseDistance, WallTime
from sutrolib.notebook.widgets.layout import dropdown, hbox
from sutrolib.notebook.widgets.paired_runs import draw_runs, reading_label, run_alternating, verdict_text
from sutrolib.notebook.widgets.worker import WorkerExit, WorkerPanel
from sutrolib.processes.evaluator import ignore
from sutrolib.processes.space import SearchSpace

_MAX_SEEDS = 100
_HEADING = (
    "<b>One model against the baseline.</b> Choose a model and press Run both: on each seed, the baseline and then the "
    "candidate are trained and measured. Cancel ends that at once and keeps the finished seeds."
)
_LABELS = {  # of fields that carry no unit
    "n": "bits n",
    "k": "secret bits k",
    "noise": "wrong labels, share",
    "n_train": "training samples",
    "n_test": "test samples",
    "test_share": "held back, share",
    "characters": "characters (0: all)",
}


def run_panel(
    problem: Problem, baseline: Model, *, seeds: int = 5, first: int = 0, keep: Callable[[Measurement], object] = ignore
) -> widgets.VBox:
    """Choose a problem, a model and meters; run the model and the baseline on ``seeds`` seeds from ``first`` on.

    ``baseline`` is that of ``problem``; the other problems of the panel have their own. ``keep`` is called with every
    finished run. Nothing runs before a click.
    """
    return _RunPanel(problem, baseline, seeds, first, keep).panel


def _problem_choices(problem: Problem, baseline: Model) -> dict[str, tuple[Problem, tuple[Model, ...]]]:
    """The problems by name, each with its models; the first model is the baseline."""
    from sutrolib.problems.digits import Digits
    from sutrolib.problems.parity import SparseParity
    from sutrolib.problems.text import NextLetter
    from sutrolib.processes.model_families import digits_families, letters_families, parity_families

    known: list[tuple[Problem, SearchSpace]] = [(SparseParity(), parity_families(oracles=True))]
    known += [(Digits(), digits_families()), (NextLetter(), letters_families())]
    choices = {one.name: (one, tuple(family.model for family in space.families)) for one, space in known}
    others = [model for model in choices.get(problem.name, (problem, ()))[1] if type(model) is not type(baseline)]
    return {problem.name: (problem, (baseline, *others))} | {k: v for k, v in choices.items() if k != problem.name}


class _RunPanel(WorkerPanel):
    """The controls and their actions."""

    def __init__(
        self, problem: Problem, baseline: Model, seeds: int, first: int, keep: Callable[[Measurement], object]
    ) -> None:
        super().__init__("Run both", "Cancel", "end the run now and keep the finished seeds")
        self.choices, self.first, self.keep = _problem_choices(problem, baseline), first, keep
        self.title, self.cost = "", ""  # of the latest click on Run both
        self.runs: list[Measurement] = []  # of the baseline and the candidate in turn
        self.problem = dropdown("problem", self.choices)
        self.model = dropdown("candidate", [""], width="min(100%, 52em)")
        self.problem_box, self.model_box, self.about_baseline = hbox(), hbox(), widgets.HTML()
        self.meters, unavailable = _meter_boxes()
        self.seeds = widgets.BoundedIntText(value=seeds, min=1, max=_MAX_SEEDS, description="seeds")
        self.problem.observe(self.on_problem, names="value")
        self.model.observe(self.on_model, names="value")
        self.on_problem()
        meters = widgets.HTML(f"<b>Meters</b> in addition to wall time (s, measured). {escape(unavailable)}")
        about_problem = widgets.HTML("<b>Settings of the problem.</b>")
        settings = [self.about_baseline, self.model_box, about_problem, self.problem_box]
        settings += [meters, hbox(*self.meters.values())]
        buttons = hbox(self.seeds, self.start, self.cancel)  # above the settings: in sight on a small screen
        self.panel = self.column(_HEADING, self.problem, self.model, buttons, settings=settings)

    @property
    def chosen(self) -> tuple[Problem, tuple[Model, ...], Model]:
        """The chosen problem with its default fields, its models, and the chosen one of them."""
        problem, models = self.choices[self.problem.value]
        return problem, models, next((m for m in models if type(m).name == self.model.value), models[0])

    def on_problem(self, _change: object = None) -> None:
        """Show the fields of the problem, and its models."""
        problem, models, _ = self.chosen
        self.problem_fields = _fill(self.problem_box, problem)
        self.model.options = [(f"{type(m).name} (prior knowledge: {m.prior_knowledge})", type(m).name) for m in models]
        self.on_model()

    def on_model(self, _change: object = None) -> None:
        """Show the hyper-parameters of the model."""
        _, (baseline, *_), model = self.chosen
        self.model_fields = _fill(self.model_box, model)
        prior = f"Prior knowledge: {baseline.prior_knowledge}."
        about = escape(f"Baseline: {_in_words(baseline)} {prior}")
        self.about_baseline.value = f"<b>Settings of the candidate.</b> {about}"
        self.inputs = [self.problem, self.model, self.seeds, *self.meters.values()]
        self.inputs += [*self.problem_fields.values(), *self.model_fields.values()]
        if "k" in self.problem_fields and "k" in self.model_fields:  # a model that knows the number of secret bits
            widgets.dlink((self.problem_fields["k"], "value"), (self.model_fields["k"], "value"))

    def on_start(self) -> None:
        """Start the worker, or raise the ValueError of an input."""
        problem, (baseline, *_), candidate = self.chosen
        problem = with_values(problem, {name: control.value for name, control in self.problem_fields.items()})
        candidate = with_values(candidate, {name: control.value for name, control in self.model_fields.items()})
        meters = [meter for meter, box in self.meters.items() if box.value]
        seeds = range(self.first, self.first + self.seeds.value)
        self.title = f"{_in_words(problem)} Candidate: {_in_words(candidate)} Baseline: {_in_words(baseline)}"
        self.cost = meters[0].name if meters else WallTime.name
        self.runs = []
        self.bar.value, self.bar.max = 0, 2 * len(seeds)
        self.text.value = self.picture.value = ""
        self.launch(run_alternating, problem, {"baseline": baseline, "candidate": candidate}, meters, seeds)

    def take(self, events: Sequence[Measurement | str]) -> None:
        """Keep finished runs, and say what is being done."""
        for event in events:
            if isinstance(event, Measurement):
                self.keep(event)
                self.runs.append(event)
                self.stale = True
            else:
                self.doing.value = escape(event)
        self.bar.value = len(self.runs)

    def exit_text(self, end: WorkerExit) -> str:
        """How the runs ended."""
        kept = f"{len(self.runs) // 2} of {self.bar.max // 2} seeds are finished and kept."
        if end.error:
            return f"Error: {end.error}. {kept}"
        return f"Cancelled. {kept}" if end.cancelled else verdict_text(self.runs, self.cost)

    def show(self) -> None:
        """The table, and the figure if both models have a run on one seed."""
        table, self.picture.value = draw_runs(self.runs)
        self.text.value = f"<p>{escape(self.title)}</p>{table}"


def _meter_boxes() -> tuple[dict[type[Meter], widgets.Checkbox], str]:
    """A checkbox for each meter that works on this machine, and why the others do not."""
    boxes, unavailable = {}, []
    for meter in METERS:
        availability = meter.available()
        if not availability.ok:
            unavailable.append(f"{meter.title} ({availability.why.partition(':')[0]})")
        elif meter is not WallTime:
            label, ticked = reading_label(meter), meter in (OperationCount, ReuseDistance)
            layout = widgets.Layout(width="27em")
            boxes[meter] = widgets.Checkbox(value=ticked, description=label, indent=False, layout=layout)
    more = "; for details: python -m sutrolib doctor" if unavailable else ""
    return boxes, f"Not available here: {', '.join(unavailable) or 'none'}{more}."


def input_fields(thing: Any, prefix: str = "") -> dict[str, tuple[dataclasses.Field[Any], Any]]:
    """Every field of ``thing`` that is a number, a text or a truth value, and its value, by (dotted) name."""
    found: dict[str, tuple[dataclasses.Field[Any], Any]] = {}
    for spec in dataclasses.fields(thing):
        value, name = getattr(thing, spec.name), prefix + spec.name
        if dataclasses.is_dataclass(value):
            found |= input_fields(value, f"{name}.")
        elif isinstance(value, bool | int | float | str):
            found[name] = spec, value
    return found


def make_inputs(thing: Any) -> dict[str, widgets.ValueWidget]:
    """A control for each of :func:`input_fields`; its label is the name with the unit, its tooltip the range."""
    # Sent as a whole: letter by letter, the last ones of a text could arrive after a click.
    text = functools.partial(widgets.Text, continuous_update=False)
    by_type = {bool: widgets.Checkbox, int: widgets.IntText, float: widgets.FloatText, str: text}
    inputs = {}
    for name, (spec, value) in input_fields(thing).items():
        about, layout = spec.metadata, widgets.Layout(width="23em")
        label = f"{name}, {about['unit']}" if about.get("unit") else _LABELS.get(name, name)
        options: dict[str, Any] = {"description": label, "style": {"description_width": "12em"}, "layout": layout}
        if "low" in about:
            options["tooltip"] = f"{about['low']:,g} to {about['high']:,g}"
        if "choices" in about:
            inputs[name] = widgets.Dropdown(options=list(about["choices"]), value=value, **options)
        else:
            inputs[name] = by_type[float if spec.type == "float" else type(value)](value=value, **options)
    return inputs


def with_values(thing: Any, values: dict[str, Any]) -> Any:
    """A copy of ``thing`` with these values, by (dotted) name. Raises the ValueError of ``thing`` for a wrong value."""
    own = {name: value for name, value in values.items() if "." not in name}
    for name in {name.partition(".")[0] for name in values} - set(own):
        inner = {k.removeprefix(f"{name}."): value for k, value in values.items() if k.startswith(f"{name}.")}
        own[name] = with_values(getattr(thing, name), inner)
    # All at once: some values are only valid together.
    return dataclasses.replace(thing, **own)


def _fill(box: widgets.Box, thing: Any) -> dict[str, widgets.ValueWidget]:
    """The inputs for the fields of ``thing``, which take the place of those in the box."""
    before, inputs = box.children, make_inputs(thing)
    box.children = tuple(inputs.values())
    for control in before:
        control.close()
    return inputs


def _in_words(thing: Any) -> str:
    fields = ", ".join(f"{name}={value}" for name, (_, value) in input_fields(thing).items())
    return f"{type(thing).name} ({fields})."
