"""Many trainings whose losses and counted or modelled work are compared, and not their times; several at once.

Each runs on one thread, in a process of its own, and is kept as a measurement in a document of the exam as soon as it
ends; the same call again runs what is missing. A long one goes on from its checkpoint under ``data/runs/``. Work is
traced over a few updates and extrapolated (*modelled*), and for a model without updates *counted*.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeAlias

import torch
import torch.nn.functional as F

from sutrolib.core.io import as_json
from sutrolib.core.paths import RUNS
from sutrolib.core.types import FailedRun, Fitted, Model, Task, describe
from sutrolib.exam.closed_division import check_closed_division, window_predictions
from sutrolib.exam.entries import BASELINE, CLOSED, Entry, Scale
from sutrolib.exam.record import exam_path, load, lock_record, save
from sutrolib.guards.hardware_map import HARDWARE_POINTS
from sutrolib.measurement.measure import Measurement, measurement_of
from sutrolib.measurement.passes import UPDATES, MeasurementPasses
from sutrolib.meters import CacheEnergy, OperationCount
from sutrolib.meters.base import Kind, Reading
from sutrolib.models.language.distilled_gpt import DistilledGPT
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.transformer import FittedGPT
from sutrolib.problems.text import WindowedText
from sutrolib.problems.text_evaluation import NANOGPT_LOSS, minus_loss

WORK = "operations", "cache-energy"
CPU_SECONDS = "cpu-seconds"
Runs: TypeAlias = dict[str, list[Measurement]]  # by the entry's name, in the order of the seeds
_SEED, _GPU_WINDOWS = 1337, 200 * 64  # of nanoGPT: its seed, and its eval_iters x batch_size on a card


@dataclass(frozen=True)
class Training:
    """One training of an entry.

    ``closed`` is the baseline whose network it must have, None in the open division. ``windows`` is how many of
    nanoGPT's windows are judged, 0 for none. ``traced`` is how many updates are traced, 0 for none. With ``updates``
    above 0 it is not trained, and the work of so many updates is modelled.
    """

    problem: WindowedText
    entry: Entry
    seed: int
    closed: GPT | None = None
    windows: int = 0
    traced: int = 0
    updates: int = 0

    def measure(self) -> Measurement:
        """Train, judge and trace. A FailedRun is recorded."""
        torch.set_num_threads(1)
        meters = (CacheEnergy(), OperationCount()) if self.traced else ()
        passes = MeasurementPasses(self.problem, self.entry.model, self.seed, meters, trace_updates=self.traced)
        try:
            updates = self.updates or self._train(passes)
            passes.trace_training(updates)
        except FailedRun as error:
            passes.fail(error)
        if self.updates:
            passes.failure = "not trained: only its work is traced"
        return measurement_of(passes, self.entry.process)

    def _train(self, passes: MeasurementPasses) -> int:
        """Train, and keep scores and CPU seconds; returns the number of updates."""
        model, task = self.entry.model, passes.task
        given, began = task.for_training(model.required_oracles), time.process_time()
        if isinstance(model, DistilledGPT):
            fitted: Fitted = model.fit(given, self.seed, checkpoint=self.checkpoint)
        else:
            fitted = model.fit(given, self.seed)
        seconds, updates = time.process_time() - began, fitted.steps
        if self.closed:
            fitted = check_closed_division(fitted, self.closed, task.alphabet)
        passes.keep_scores(window_predictions(task, fitted))
        if self.windows:
            passes.scores[NANOGPT_LOSS] = nanogpt_loss(task, fitted, self.problem.context, self.windows)
        about = {"since": "the start, or the last checkpoint"}
        passes.readings.append(Reading(CPU_SECONDS, seconds, "s", Kind.MEASURED, about))
        if updates:
            passes.readings.append(Reading(UPDATES, updates, "updates", Kind.COUNTED))
        return updates

    @property
    def checkpoint(self) -> Path:
        """The file that a training goes on from."""
        return RUNS / "checkpoints" / f"{self.entry.name.replace(' ', '-')}-{self.seed}"


def nanogpt_loss(task: Task, fitted: Fitted, context: int, windows: int) -> float:
    """The loss in nats as nanoGPT estimates it, in ``windows`` random windows; a network reads them as a whole."""
    if not isinstance(fitted, FittedGPT):
        found: float = task.inference.nanogpt_loss(fitted, task.test_split, context, windows)  # type: ignore[attr-defined]
        return found
    x, y, generator = task.test_split.x.flatten(), task.test_split.y.flatten(), torch.Generator().manual_seed(_SEED)
    places, total = torch.randint(len(y) - context, (windows, 1), generator=generator) + torch.arange(context), 0.0
    with torch.inference_mode():
        for part in places.split(64):
            log_probabilities = F.log_softmax(fitted.network(x[part]).flatten(0, 1), 1)
            total -= minus_loss(log_probabilities, y[part].view(-1, 1)) * len(part)
    return total / windows


def load_trainings(scale: str, content: str) -> Runs:
    """The stored runs of a document; none if there is none."""
    stored = load(scale, content, {})
    return {name: [Measurement.from_dict(run) for run in runs] for name, runs in stored.items()}


def run_trainings(
    scale: str,
    content: str,
    trainings: Sequence[Training],
    on_run: Callable[[int, str, Measurement], object] = lambda *_: None,
) -> Runs:
    """Run those that the document lacks, as many at once as torch has threads; each is saved when it ends.

    Runs of the document that are not among the trainings are dropped. ``on_run`` gets how many are left, the entry's
    name and the run. Raises ValueError if another command writes the document.
    """
    with lock_record(exam_path(scale, content)):
        stored, found = load_trainings(scale, content), Runs()
        todo = []
        for one in trainings:
            wanted = as_json(describe(one.entry.model)), as_json(describe(one.problem)), one.seed
            same = [run for run in stored.get(one.entry.name, []) if (run.model, run.problem, run.seed) == wanted]
            found.setdefault(one.entry.name, []).extend(same[:1])
            todo += [] if same else [one]
        with ProcessPoolExecutor(min(len(todo), torch.get_num_threads()) or 1, get_context("spawn")) as pool:
            waiting = {pool.submit(one.measure): one for one in todo}
            for left, future in zip(range(len(todo) - 1, -1, -1), as_completed(waiting), strict=True):
                one, run = waiting[future], future.result()
                found[one.entry.name] = sorted([*found[one.entry.name], run], key=lambda made: made.seed)
                save(scale, content, {name: [made.to_dict() for made in runs] for name, runs in found.items()})
                one.checkpoint.unlink(missing_ok=True)
                on_run(left, one.entry.name, run)
    return found


def mean_work(runs: Sequence[Measurement], reading: str) -> float:
    """The mean over the runs that have this reading."""
    values = [made.value for run in runs for made in run.readings if made.name == reading]
    return sum(values) / len(values)


def energy_elsewhere(problem: WindowedText, model: Model, updates: int, traced: int = 4) -> dict[str, float]:
    """The modelled energy of a training on each hardware of the map, in 32-bit operations there.

    ``updates`` is how many the training has, 0 for a model that counts; ``traced`` of them are traced.
    """
    meters = [CacheEnergy(point.hardware()) for point in HARDWARE_POINTS]
    passes = MeasurementPasses(problem, model, 0, meters, trace_updates=traced)
    passes.trace_training(updates)
    picojoules = [reading.value * 1e12 for reading in passes.readings]
    return {point.name: value for point, value in zip(HARDWARE_POINTS, picojoules, strict=True)}


def on_cpu(scale: Scale, division: str, seeds: int) -> list[Training]:
    """The trainings of a scale whose baseline is too large to be trained here, and is only traced.

    Losses are judged in as many of nanoGPT's windows as its script judges on a graphics card.
    """
    traced, published = scale.trace_updates, Entry(BASELINE, scale.baseline, "")
    baseline = Training(scale.problem, published, 0, traced=traced, updates=scale.baseline.max_steps)
    closed = scale.baseline if division == CLOSED else None
    entries = [(entry, seed) for seed in range(seeds) for entry in scale.division(division)]
    return [baseline, *(Training(scale.problem, *one, closed, _GPU_WINDOWS, traced) for one in entries)]
