"""A single run: a problem, a model with its hyper-parameters and meters, weighed beside a baseline, seed by seed.

The runs are made in a process of their own (``worker``). Each is kept as it ends; one that a cancel
cuts off is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from sutrolib.core.types import Model, Problem
from sutrolib.measurement.measure import Measurement
from sutrolib.meters import METERS, Meter, OperationCount, ReuseDistance, WallTime
from sutrolib.meters.lock import meter_lock
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.notebook.widgets.alternating_runs import Finished, Now, Role, run_alternating
from sutrolib.notebook.widgets.inputs import WORDS, input_fields, make_inputs, with_values
from sutrolib.notebook.widgets.layout import hbox, dropdown, image, replace_previous_panel, panel, status
from sutrolib.notebook.widgets.paired_results import draw_comparison, paired, compare_readings, result_table, verdict_text
from sutrolib.notebook.widgets.worker import WorkerExit, ExitStatus, Worker
from sutrolib.problems.parity import SparseParity
from sutrolib.processes.evaluator import ignore

if TYPE_CHECKING:
    from ipywidgets import Box, Checkbox, ValueWidget, VBox

TITLES = {meter.name: meter.title for meter in METERS}
MOST_SEEDS = 100


@dataclass
class _Results:
    """What one click on Run has brought so far."""

    title: str
    seeds: int
    cost: str  # the reading that the verdict is about
    runs: dict[Role, list[Measurement]] = field(default_factory=lambda: {"baseline": [], "candidate": []})


def problem_choices(problem: Problem, baseline: Model) -> dict[str, tuple[Problem, tuple[Model, ...]]]:
    """The problems to choose from by name, each with the models that go with it; the first is its baseline."""
    from sutrolib.models.images.classifier import MLPClassifier, SoftmaxRegression
    from sutrolib.models.images.mixture_of_experts import MixtureOfExperts
    from sutrolib.models.images.nearest_neighbours import NearestNeighbours
    from sutrolib.models.language.kneser_ney import KneserNey
    from sutrolib.models.parity.backtracking import ConstraintSearch
    from sutrolib.models.parity.curriculum import Curriculum
    from sutrolib.models.parity.feature_selection import FeatureSelectThenTrain
    from sutrolib.models.parity.gf2 import GF2Elimination
    from sutrolib.models.parity.gf2_noisy import RobustGF2
    from sutrolib.models.parity.hebbian import Hebbian
    from sutrolib.models.parity.influence import InfluenceEstimation
    from sutrolib.models.parity.walsh_fourier import WalshFourier
    from sutrolib.problems.digits import Digits
    from sutrolib.problems.text import NextLetter
    from sutrolib.processes.model_families import SMALL_GPT

    parity: tuple[Model, ...] = (TwoLayerNetwork(), GF2Elimination(), RobustGF2(), WalshFourier(), ConstraintSearch())
    parity += (Hebbian(), FeatureSelectThenTrain(), InfluenceEstimation(), Curriculum())
    digits: tuple[Model, ...] = (MLPClassifier(), SoftmaxRegression(), MixtureOfExperts(), NearestNeighbours())
    known: list[tuple[Problem, tuple[Model, ...]]] = [(SparseParity(), parity), (Digits(), digits)]
    known.append((NextLetter(), (KneserNey(order=2), SMALL_GPT)))
    found = {other.name: (other, models) for other, models in known}
    others = [model for model in found.get(problem.name, (problem, ()))[1] if type(model) is not type(baseline)]
    return {problem.name: (problem, (baseline, *others))} | {k: v for k, v in found.items() if k != problem.name}


def run_panel(
    problem: Problem | None = None,
    baseline: Model | None = None,
    *,
    seeds: int = 5,
    first: int = 0,
    keep: Callable[[Measurement], object] = ignore,
) -> VBox:
    """Choose a problem, a model and meters; run both it and the baseline on ``seeds`` seeds from ``first`` on.

    ``baseline`` is that of ``problem``; the other problems that the panel offers bring their own. ``keep`` is told of
    every run as it ends. Nothing runs until somebody clicks.
    """
    return _RunPanel(problem or SparseParity(), baseline or TwoLayerNetwork(), seeds, first, keep).panel


class _RunPanel:
    """The controls, and what they do."""

    def __init__(
        self, problem: Problem, baseline: Model, seeds: int, first: int, keep: Callable[[Measurement], object]
    ) -> None:
        import ipywidgets as widgets

        self.problem_choices, self.first, self.keep = problem_choices(problem, baseline), first, keep
        self.results: _Results | None = None
        self.behind = False  # what is shown is not all there is
        self.worker = Worker(self.on_events, self.on_end)
        self.problem = dropdown("problem", self.problem_choices)
        self.model = dropdown("candidate", [""], width="min(100%, 52em)")
        self.problem_fields: dict[str, ValueWidget] = {}
        self.model_fields: dict[str, ValueWidget] = {}
        self.problem_box, self.model_box, self.prior_knowledge = hbox(), hbox(), widgets.HTML()
        self.meters, refusals = _meter_boxes()
        self.seeds = widgets.BoundedIntText(value=seeds, min=1, max=MOST_SEEDS, description="seeds")
        self.run = widgets.Button(description="Run both", tooltip="run the candidate and the baseline on every seed")
        self.cancel = widgets.Button(description="Cancel", tooltip="end the run now; finished seeds are kept")
        self.bar = widgets.IntProgress(value=0, min=0, max=1, description="progress")
        self.doing, self.message, self.table, self.picture = (widgets.HTML() for _ in range(4))
        self.problem.observe(self.on_problem, names="value")
        self.model.observe(self.on_model, names="value")
        self.run.on_click(lambda _: self.on_run())
        self.cancel.on_click(lambda _: self.on_cancel())
        self.on_problem()
        self.enable(running=False)
        replace_previous_panel("run", self.worker.cancel)
        heading = (
            "<b>One model against the baseline.</b> Choose, and press Run both: on each seed the baseline and then "
            "the candidate are trained and weighed; Cancel ends that at once and keeps the seeds that are finished."
        )
        weighed = f"<b>Meters</b>, beside wall-clock time (s, measured). {escape(refusals)}"
        self.panel = panel(
            [
                *(widgets.HTML(heading), self.problem, self.problem_box, self.model, self.prior_knowledge, self.model_box),
                *(widgets.HTML(weighed), hbox(*self.meters.values()), self.seeds, hbox(self.run, self.cancel)),
                *(hbox(self.bar, self.doing), self.message, self.table, self.picture),
            ]
        )

    @property
    def chosen(self) -> tuple[Problem, tuple[Model, ...]]:
        """The problem that is selected, as it comes, and its models."""
        return self.problem_choices[self.problem.value]

    def on_problem(self, _change: object = None) -> None:
        """Show the fields of the problem, and its models."""
        problem, models = self.chosen
        self.problem_fields = _fill(self.problem_box, make_inputs(problem, WORDS))
        if "k" in self.problem_fields:
            self.problem_fields["k"].observe(self.tell_k, names="value")
        self.model.options = [(f"{type(model).name}, told {model.prior_knowledge}", type(model).name) for model in models]
        self.on_model()

    def on_model(self, _change: object = None) -> None:
        """Show the hyper-parameters of the model."""
        models = self.chosen[1]
        model = next((model for model in models if type(model).name == self.model.value), models[0])
        self.model_fields = _fill(self.model_box, make_inputs(model))
        self.prior_knowledge.value = f"Baseline, told {escape(f'{models[0].prior_knowledge}: {_in_words(models[0])}')}"
        self.tell_k()

    def tell_k(self, _change: object = None) -> None:
        """A model that is told the number of secret bits is told that of the problem."""
        if "k" in self.problem_fields and "k" in self.model_fields:
            self.model_fields["k"].value = self.problem_fields["k"].value

    def on_run(self) -> None:
        """Start the worker, or say what is wrong with the choice."""
        if self.worker.running:  # the second of two quick clicks
            return
        asked, models = self.chosen
        candidate = next(model for model in models if type(model).name == self.model.value)
        try:
            problem = with_values(asked, {name: control.value for name, control in self.problem_fields.items()})
            candidate = with_values(candidate, {name: control.value for name, control in self.model_fields.items()})
        except ValueError as error:
            self.say(str(error))
            return
        meters = [meter for meter, box in self.meters.items() if box.value]
        seeds = range(self.first, self.first + self.seeds.value)
        title = f"{_in_words(problem)} Candidate: {_in_words(candidate)} Baseline: {_in_words(models[0])}"
        self.results = _Results(title, len(seeds), meters[0].name if meters else WallTime.name)
        self.bar.value, self.bar.max = 0, 2 * len(seeds)
        self.table.value = self.picture.value = ""
        self.behind = False
        self.doing.value = "A process of its own is starting."
        self.say("")
        self.enable(running=True)
        self.worker.start(run_alternating, problem, models[0], candidate, meters, seeds)

    def on_cancel(self) -> None:
        """End the worker."""
        if self.cancel.disabled or not self.worker.running:
            return
        self.cancel.disabled = True
        self.worker.cancel()

    def on_events(self, events: Sequence[Now | Finished]) -> None:
        """Keep what is finished, show it, and say what is being done."""
        results = self.results
        assert results is not None
        finished = [event for event in events if isinstance(event, Finished)]
        for event in finished:
            self.keep(event.run)
            results.runs[event.whose].append(event.run)
        if isinstance(now := events[-1], Now):
            which = f"Seed {now.seed} ({now.done // 2 + 1} of {results.seeds}), {now.whose}"
            self.doing.value = escape(f"{which}: {now.doing}.")
        self.bar.value = sum(map(len, results.runs.values()))
        self.behind = self.behind or bool(finished)
        if not self.behind:
            return
        # Drawing would slow a timing in another process: then it is left to the next events. Waiting for its end here,
        # nobody would listen to the one that is timed, nor see the end of one that is cancelled.
        with suppress(TimeoutError), meter_lock().acquire(timeout=0):
            self.show(results)

    def on_end(self, ended: WorkerExit) -> None:
        """Free the controls, and say how it ended."""
        results = self.results
        assert results is not None
        candidate, baseline = results.runs["candidate"], results.runs["baseline"]
        kept = f"{len(paired(candidate, baseline))} of {results.seeds} seeds are finished and kept."
        if ended.how is ExitStatus.FAILED:
            text = f"Ended in an error: {ended.why}. {kept}"
        elif ended.how is ExitStatus.CANCELLED:
            text = f"Cancelled. {kept}"
        else:
            text = verdict_text(candidate, baseline, results.cost)
        self.doing.value = ""
        if self.behind:  # whatever else is timed: nothing comes after this
            self.show(results)
        self.enable(running=False)
        self.say(text)

    def show(self, results: _Results) -> None:
        """The table, and the figure where both models have a run of one seed."""
        self.behind = False
        candidate, baseline = results.runs["candidate"], results.runs["baseline"]
        found = compare_readings(candidate, baseline, TITLES)
        self.table.value = f"<p>{escape(results.title)}</p>{result_table(candidate, baseline, found)}"
        if any(quantity.ratios for quantity in found):
            names = (str(candidate[0].model["name"]), f"the baseline's {baseline[0].model['name']}")
            figure, alt = draw_comparison(found, names)
            self.picture.value = image(figure, alt)
        else:
            self.picture.value = ""

    def say(self, text: str) -> None:
        """A message to whoever works the panel; read out by a screen reader."""
        self.message.value = status(text)

    def enable(self, running: bool) -> None:
        """The controls that make sense now."""
        fields = (*self.problem_fields.values(), *self.model_fields.values(), *self.meters.values())
        for control in (self.problem, self.model, self.seeds, self.run, *fields):
            control.disabled = running
        self.cancel.disabled = not running


def _meter_boxes() -> tuple[dict[type[Meter], Checkbox], str]:
    """A box to tick for each meter that works here, and why the others do not."""
    import ipywidgets as widgets

    boxes, refusals = {}, []
    for meter in METERS:
        availability = meter.available()
        if not availability.ok:
            refusals.append(f"{meter.title} ({availability.why.partition(':')[0]})")
        elif meter is not WallTime:
            unit = "" if meter.unit == meter.name else f"{meter.unit}, "
            label = f"{meter.title} ({unit}{meter.kind})"
            ticked = meter in (OperationCount, ReuseDistance)
            layout = widgets.Layout(width="27em")
            boxes[meter] = widgets.Checkbox(value=ticked, description=label, indent=False, layout=layout)
    more = "; python -m sutrolib doctor tells more" if refusals else ""
    return boxes, f"Not here: {', '.join(refusals) or 'none'}{more}."


def _fill(box: Box, inputs: dict[str, ValueWidget]) -> dict[str, ValueWidget]:
    before, box.children = box.children, tuple(inputs.values())
    for control in before:
        control.close()
    return inputs


def _in_words(thing: Any) -> str:
    fields = ", ".join(f"{name}={value}" for name, (_, value) in input_fields(thing).items())
    return f"{type(thing).name} ({fields})."
