"""Many trainings whose losses and counted or modelled work are compared, and not their times; several at once.

Each runs on one thread, and is kept as a measurement in a document of the exam as soon as it ends; the same call again
runs what is missing or failed. An interrupted GPT that is distilled, or trained by Muon, goes on from its checkpoint
under ``data/runs/``. Work is traced over a few updates and extrapolated (*modelled*), and for a model without updates
*counted*.
"""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

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
    folder: Path = field(default_factory=lambda: RUNS / "checkpoints")

    @property
    def asked(self) -> dict[str, Any]:
        """What a stored run must have been made for, beside its model, problem and seed."""
        closed = self.closed and describe(self.closed)
        asked = {"closed": closed, "windows": self.windows, "traced": self.traced, "updates": self.updates}
        return dict(as_json(asked))

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
        resumed, given, began = self.checkpoint.exists(), task.for_training(model.required_oracles), time.process_time()
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
        if resumed:
            passes.missing[CPU_SECONDS] = "the training was interrupted"
        else:
            passes.readings.append(Reading(CPU_SECONDS, seconds, "s", Kind.MEASURED))
        if updates:
            passes.readings.append(Reading(UPDATES, updates, "updates", Kind.COUNTED))
        return updates

    @property
    def checkpoint(self) -> Path:
        """The file that a training goes on from."""
        return self.folder / f"{re.sub('[^A-Za-z0-9]+', '-', self.entry.name)}-{self.seed}"


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


def trainings_path(scale: str, content: str) -> Path:
    """The file of this scale and content, whose name is that of no exam's record."""
    return exam_path(scale, _document(content))


def _document(content: str) -> str:
    return f"{content}-trainings"


def load_trainings(scale: str, content: str) -> Runs:
    """The stored runs of a document; none if there is none."""
    return {name: [run for _, run in kept] for name, kept in _load(scale, content).items()}


def _load(scale: str, content: str) -> dict[str, list[tuple[dict[str, Any], Measurement]]]:
    """What each stored run was asked for, and the run."""
    stored = load(scale, _document(content), {})
    return {name: [(one["asked"], Measurement.from_dict(one["run"])) for one in kept] for name, kept in stored.items()}


def run_trainings(
    scale: str,
    content: str,
    trainings: Sequence[Training],
    on_run: Callable[[int, str, Measurement], object] = lambda *_: None,
) -> Runs:
    """Run those that the document lacks, as many at once as torch has threads; each is saved when it ends.

    Runs of other seeds stay; those of an entry that is no longer asked for, or has changed, are dropped. ``on_run``
    gets how many are left, the entry's name and the run. What a training raises is raised when all others have ended.
    Raises ValueError if another command writes the document.
    """
    with lock_record(trainings_path(scale, content)):
        stored, found, todo = _load(scale, content), dict[str, list[tuple[dict[str, Any], Measurement]]](), []
        for one in trainings:
            about = as_json(describe(one.entry.model)), as_json(describe(one.problem))
            known = [(asked, run) for asked, run in stored.get(one.entry.name, []) if (run.model, run.problem) == about]
            kept = found.setdefault(one.entry.name, [])
            kept += [(asked, run) for asked, run in known if run.seed not in [made.seed for _, made in kept]]
            done = [run.seed for asked, run in known if asked == one.asked and (one.updates or not run.failure)]
            todo += [] if one.seed in done else [one]
        errors = []
        with _workers(min(len(todo), torch.get_num_threads()) or 1) as pool:
            waiting: dict[Future[Measurement], Training] = {pool.submit(one.measure): one for one in todo}
            for left, future in zip(range(len(todo) - 1, -1, -1), as_completed(waiting), strict=True):
                one, error = waiting[future], future.exception()
                if error:
                    errors.append(error)
                    continue
                run, name = future.result(), one.entry.name
                others = [(asked, made) for asked, made in found[name] if made.seed != run.seed]
                found[name] = sorted([*others, (one.asked, run)], key=lambda kept: kept[1].seed)
                document = {n: [{"asked": a, "run": r.to_dict()} for a, r in kept] for n, kept in found.items()}
                save(scale, _document(content), document)
                one.checkpoint.unlink(missing_ok=True)
                on_run(left, name, run)
        if errors:
            for other in errors[1:]:
                errors[0].add_note(f"another training failed, too: {other}")
            raise errors[0]
    return {name: [run for _, run in kept] for name, kept in found.items()}


@contextmanager
def _workers(count: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that end at once where the block is left by an exception."""
    before = multiprocessing.active_children()
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(multiprocessing.active_children()) - set(before):
            child.kill()
            child.join()
        raise
    pool.shutdown()


def mean_work(runs: Sequence[Measurement], reading: str) -> float:
    """The mean over the runs that have this reading. Raises ValueError, with the reasons, if none has."""
    values = [made.value for run in runs for made in run.readings if made.name == reading]
    if not values:
        why = "; ".join(dict.fromkeys(run.missing.get(reading) or run.failure or "not traced" for run in runs))
        raise ValueError(f"no run has a reading {reading!r} ({why or 'there are no runs'})")
    return sum(values) / len(values)


def energy_elsewhere(problem: WindowedText, model: Model, updates: int, traced: int = 4) -> dict[str, float]:
    """The modelled energy of a training on each hardware of the map, in 32-bit operations there.

    ``updates`` is how many the training has, 0 for a model that counts; ``traced`` of them are traced.
    """
    meters = [CacheEnergy(point.hardware()) for point in HARDWARE_POINTS]
    passes = MeasurementPasses(problem, model, 0, meters, trace_updates=traced)
    passes.trace_training(updates)
    if len(passes.readings) < len(meters):
        raise ValueError(f"{model.name}: {'; '.join(passes.missing.values())}")
    picojoules = [reading.value * 1e12 for reading in passes.readings]
    return {point.name: value for point, value in zip(HARDWARE_POINTS, picojoules, strict=True)}


def on_cpu(scale: Scale, division: str, seeds: int) -> list[Training]:
    """The trainings of a scale whose baseline is too large to be trained here, and is only traced.

    Losses are judged in as many of nanoGPT's windows as its script judges on a graphics card. Raises ValueError for
    less than one seed.
    """
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1 (got {seeds})")
    traced, published = scale.trace_updates, Entry(BASELINE, scale.baseline, "")
    baseline = Training(scale.problem, published, 0, traced=traced, updates=scale.baseline.max_steps)
    closed = scale.baseline if division == CLOSED else None
    entries = [(entry, seed) for seed in range(seeds) for entry in scale.division(division)]
    return [baseline, *(Training(scale.problem, *one, closed, _GPU_WINDOWS, traced) for one in entries)]
