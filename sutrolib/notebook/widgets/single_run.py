"""A model with its hyper-parameters, measured against a baseline, seed by seed, on a problem and with meters to choose.

The runs are made in a worker process. Each is kept as soon as it ends; a run that a cancel interrupts is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from sutrolib.core.types import Model, Problem
from sutrolib.measurement.measure import Measurement
from sutrolib.meters import METERS, Meter, OperationCount, ReuseDistance, WallTime
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.notebook.widgets.alternating_runs import Role, RunFinished, RunProgress, run_alternating
from sutrolib.notebook.widgets.inputs import input_fields, make_inputs, with_values
from sutrolib.notebook.widgets.layout import dropdown, hbox, image, panel
from sutrolib.notebook.widgets.paired_results import (
    compare_readings,
    draw_paired_ratios,
    result_table,
    seed_pairs,
    verdict_text,
)
from sutrolib.notebook.widgets.worker import ExitStatus, WorkerExit, WorkerPanel
from sutrolib.problems.parity import SparseParity
from sutrolib.processes.evaluator import ignore

if TYPE_CHECKING:
    from ipywidgets import Box, Checkbox, ValueWidget, VBox

_TITLES = {meter.name: meter.title for meter in METERS}
_MAX_SEEDS = 100
_HEADING = (
    "<b>One model against the baseline.</b> Choose a model and press Run both: on each seed, the baseline and then the "
    "candidate are trained and measured. Cancel ends that at once and keeps the finished seeds."
)


def run_panel(
    problem: Problem | None = None,
    baseline: Model | None = None,
    *,
    seeds: int = 5,
    first: int = 0,
    keep: Callable[[Measurement], object] = ignore,
) -> VBox:
    """Choose a problem, a model and meters; run the model and the baseline on ``seeds`` seeds from ``first`` on.

    ``baseline`` is that of ``problem``; the other problems of the panel have their own. ``keep`` is called with every
    finished run. Nothing runs before a click.
    """
    return _RunPanel(problem or SparseParity(), baseline or TwoLayerNetwork(), seeds, first, keep).panel


def _problem_choices(problem: Problem, baseline: Model) -> dict[str, tuple[Problem, tuple[Model, ...]]]:
    """The problems by name, each with its models; the first model is the baseline."""
    from sutrolib.problems.digits import Digits
    from sutrolib.problems.text import NextLetter
    from sutrolib.processes.model_families import digits_families, letters_families, parity_families

    known: list[tuple[Problem, Any]] = [(SparseParity(), parity_families(oracles=True)), (Digits(), digits_families())]
    known.append((NextLetter(), letters_families()))
    choices = {one.name: (one, tuple(family.model for family in space.families)) for one, space in known}
    others = [model for model in choices.get(problem.name, (problem, ()))[1] if type(model) is not type(baseline)]
    return {problem.name: (problem, (baseline, *others))} | {k: v for k, v in choices.items() if k != problem.name}


class _RunPanel(WorkerPanel):
    """The controls and their actions."""

    def __init__(
        self, problem: Problem, baseline: Model, seeds: int, first: int, keep: Callable[[Measurement], object]
    ) -> None:
        import ipywidgets as widgets

        super().__init__("run")
        self.choices, self.first, self.keep = _problem_choices(problem, baseline), first, keep
        self.title, self.cost, self.n_seeds = "", "", 0  # of the latest click on Run both
        self.runs: dict[Role, list[Measurement]] = {"baseline": [], "candidate": []}
        self.problem = dropdown("problem", self.choices)
        self.model = dropdown("candidate", [""], width="min(100%, 52em)")
        self.problem_fields: dict[str, ValueWidget] = {}
        self.model_fields: dict[str, ValueWidget] = {}
        self.problem_box, self.model_box, self.about_baseline = hbox(), hbox(), widgets.HTML()
        self.meters, unavailable = _meter_boxes()
        self.seeds = widgets.BoundedIntText(value=seeds, min=1, max=_MAX_SEEDS, description="seeds")
        self.run = widgets.Button(description="Run both", tooltip="run the candidate and the baseline on every seed")
        self.cancel = widgets.Button(description="Cancel", tooltip="end the run now and keep the finished seeds")
        self.problem.observe(self.on_problem, names="value")
        self.model.observe(self.on_model, names="value")
        self.run.on_click(lambda _: self.on_run())
        self.cancel.on_click(lambda _: self.on_cancel())
        self.on_problem()
        self.enable(running=False)
        meters = widgets.HTML(f"<b>Meters</b> in addition to wall time (s, measured). {escape(unavailable)}")
        self.panel = panel(
            [
                *(widgets.HTML(_HEADING), self.problem, self.problem_box, self.model, self.about_baseline),
                *(self.model_box, meters, hbox(*self.meters.values()), self.seeds, hbox(self.run, self.cancel)),
                *(hbox(self.bar, self.doing), self.message, self.text, self.picture),
            ]
        )

    @property
    def chosen(self) -> tuple[Problem, tuple[Model, ...], Model]:
        """The chosen problem with its default fields, its models, and the chosen one of them."""
        problem, models = self.choices[self.problem.value]
        return problem, models, next((m for m in models if type(m).name == self.model.value), models[0])

    def on_problem(self, _change: object = None) -> None:
        """Show the fields of the problem, and its models."""
        problem, models, _ = self.chosen
        self.problem_fields = _fill(self.problem_box, make_inputs(problem, labelled=True))
        if "k" in self.problem_fields:
            self.problem_fields["k"].observe(self.copy_k, names="value")
        self.model.options = [(f"{type(m).name} (prior knowledge: {m.prior_knowledge})", type(m).name) for m in models]
        self.on_model()

    def on_model(self, _change: object = None) -> None:
        """Show the hyper-parameters of the model."""
        _, (baseline, *_), model = self.chosen
        self.model_fields = _fill(self.model_box, make_inputs(model))
        prior = f"Prior knowledge: {baseline.prior_knowledge}."
        self.about_baseline.value = escape(f"Baseline: {_in_words(baseline)} {prior}")
        self.copy_k()

    def copy_k(self, _change: object = None) -> None:
        """Give a model that knows the number of secret bits that of the problem."""
        if "k" in self.problem_fields and "k" in self.model_fields:
            self.model_fields["k"].value = self.problem_fields["k"].value

    def on_run(self) -> None:
        """Start the worker, or say what is wrong with the inputs."""
        if self.worker.running:  # the second of two quick clicks
            return
        problem, (baseline, *_), candidate = self.chosen
        try:
            problem = with_values(problem, {name: control.value for name, control in self.problem_fields.items()})
            candidate = with_values(candidate, {name: control.value for name, control in self.model_fields.items()})
        except ValueError as error:
            self.say(str(error))
            return
        meters = [meter for meter, box in self.meters.items() if box.value]
        seeds = range(self.first, self.first + self.seeds.value)
        self.title = f"{_in_words(problem)} Candidate: {_in_words(candidate)} Baseline: {_in_words(baseline)}"
        self.cost, self.n_seeds = meters[0].name if meters else WallTime.name, len(seeds)
        self.runs = {"baseline": [], "candidate": []}
        self.bar.value, self.bar.max = 0, 2 * len(seeds)
        self.text.value = self.picture.value = ""
        self.launch(run_alternating, problem, baseline, candidate, meters, seeds)

    def on_cancel(self) -> None:
        """End the worker."""
        if not self.cancel.disabled and self.worker.running:
            self.cancel.disabled = True
            self.worker.cancel()

    def take(self, events: Sequence[RunProgress | RunFinished]) -> None:
        """Keep finished runs, and say what is being done."""
        for event in events:
            if isinstance(event, RunFinished):
                self.keep(event.run)
                self.runs[event.role].append(event.run)
                self.stale = True
            else:
                which = f"Seed {event.seed} ({event.done // 2 + 1} of {self.n_seeds}), {event.role}"
                self.doing.value = escape(f"{which}: {event.doing}.")
        self.bar.value = sum(map(len, self.runs.values()))

    def exit_text(self, end: WorkerExit) -> str:
        """How the runs ended."""
        candidate, baseline = self.runs["candidate"], self.runs["baseline"]
        kept = f"{len(seed_pairs(candidate, baseline))} of {self.n_seeds} seeds are finished and kept."
        if end.status is ExitStatus.FAILED:
            return f"Error: {end.error}. {kept}"
        if end.status is ExitStatus.CANCELLED:
            return f"Cancelled. {kept}"
        return verdict_text(candidate, baseline, self.cost)

    def show(self) -> None:
        """The table, and the figure if both models have a run on one seed."""
        candidate, baseline = self.runs["candidate"], self.runs["baseline"]
        found = compare_readings(candidate, baseline, _TITLES)
        self.text.value = f"<p>{escape(self.title)}</p>{result_table(candidate, baseline, found)}"
        self.picture.value = ""
        if any(one.ratios for one in found):
            names = (str(runs[0].model["name"]) for runs in (candidate, baseline))
            self.picture.value = image(*draw_paired_ratios(found, *names))

    def enable(self, running: bool) -> None:
        """Enable the controls that make sense now."""
        fields = (*self.problem_fields.values(), *self.model_fields.values(), *self.meters.values())
        for control in (self.problem, self.model, self.seeds, self.run, *fields):
            control.disabled = running
        self.cancel.disabled = not running


def _meter_boxes() -> tuple[dict[type[Meter], Checkbox], str]:
    """A checkbox for each meter that works on this machine, and why the others do not."""
    import ipywidgets as widgets

    boxes, unavailable = {}, []
    for meter in METERS:
        availability = meter.available()
        if not availability.ok:
            unavailable.append(f"{meter.title} ({availability.why.partition(':')[0]})")
        elif meter is not WallTime:
            unit = "" if meter.unit == meter.name else f"{meter.unit}, "
            label, ticked = f"{meter.title} ({unit}{meter.kind})", meter in (OperationCount, ReuseDistance)
            layout = widgets.Layout(width="27em")
            boxes[meter] = widgets.Checkbox(value=ticked, description=label, indent=False, layout=layout)
    more = "; for details: python -m sutrolib doctor" if unavailable else ""
    return boxes, f"Not available here: {', '.join(unavailable) or 'none'}{more}."


def _fill(box: Box, inputs: dict[str, ValueWidget]) -> dict[str, ValueWidget]:
    before, box.children = box.children, tuple(inputs.values())
    for control in before:
        control.close()
    return inputs


def _in_words(thing: Any) -> str:
    fields = ", ".join(f"{name}={value}" for name, (_, value) in input_fields(thing).items())
    return f"{type(thing).name} ({fields})."
