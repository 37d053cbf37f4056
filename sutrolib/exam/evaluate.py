"""One run of the final exam: one model, trained on one seed, with all its costs and all its scores.

The cost of training is everything from the raw text on: tokenisation, counting, a teacher, compilation, the updates,
and saving the fitted model as bytes (:mod:`sutrolib.models.saved`). It happens in a fresh process, which then ends:
only these bytes remain, and nothing on disk or in memory is left for the next one (:mod:`sutrolib.exam.process`).

In a second fresh process the model is rebuilt from the bytes. There it predicts the validation text, which is timed,
and then 1,000 characters, which are measured. A model that predicts much slower at first has put off work, and fails.
In the closed division the weights are loaded into a network that the baseline builds. The scores are computed here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sutrolib.core.io import as_json
from sutrolib.core.types import Budget, FailedRun, Fitted, Model, Task
from sutrolib.exam.closed_division import RuleBroken, check_closed_division, window_predictions
from sutrolib.exam.entries import TargetLoss
from sutrolib.exam.isolation import LINUX, return_freed_arrays
from sutrolib.exam.process import FreshProcess
from sutrolib.measurement.measure import BY_HAND, Measurement, measurement_of
from sutrolib.measurement.passes import INFERENCE, PREDICTIONS, SIZE, UPDATES, MeasurementPasses
from sutrolib.meters import CacheEnergy, OperationCount, PeakMemory
from sutrolib.meters.base import Kind, Meter, Reading
from sutrolib.meters.energy.combined import CombinedMeter
from sutrolib.meters.energy.wall_time import WallTime
from sutrolib.models.language.gpt import GPT
from sutrolib.models.saved import NotSaved, from_bytes, to_bytes
from sutrolib.problems.text import WindowedText, load_text
from sutrolib.problems.text_evaluation import NANOGPT_LOSS

_MAX_GAP = 0.01  # of a probability, by what else is in the batch; rounding changes less
VALIDATION = "validation-"  # readings of the prediction of the validation text
_PUT_OFF = 1.3, 0.25  # of the CPU seconds of the same predictions again: so many times, and so many more
_ATTEMPTS = 3  # fresh processes in which the first predictions must take longer than that


def evaluate(
    problem: WindowedText,
    model: Model,
    seed: int,
    meter: CombinedMeter,
    *,
    closed: GPT | None = None,
    traced: bool = False,
    trace_updates: int | None = None,
    process: str = BY_HAND,
    fresh: FreshProcess | None = None,
    stop: TargetLoss | None = None,
) -> Measurement:
    """Train ``model`` on ``seed`` within ``meter``, score it, and measure 1,000 of its predictions.

    ``closed`` is the baseline whose architecture the model must have, None in the open division. With ``traced``, both
    run once more under the trace, for at most ``trace_updates`` updates. ``fresh`` starts the processes, if given. With
    ``stop``, an uncharged training beforehand finds when the target is reached, and the charged one ends there. A
    FailedRun or a broken rule is recorded; a ValueError is raised, as is any other exception as a RuntimeError.
    """
    load_text(problem.text)  # every training starts from the raw text
    passes = _ExamPasses(problem, model, seed)
    modules = () if closed else (type(model).__module__,)
    training = _Training(problem, _saved(model), type(model).__module__, seed, modules, trace_updates)
    with contextlib.nullcontext(fresh) if fresh else FreshProcess(torch.get_num_threads()) as own:
        try:
            if stop:
                training = dataclasses.replace(training, updates=_updates_to(stop, passes, training, own))
            data = _train(passes, training, meter, own)
            steps = _judge(passes, _Judging(problem, seed, modules, _as_tensor(data), closed), meter, own, traced)
            if traced:
                own.start(dataclasses.replace(training, updates=steps), problem.text)
                passes.keep_traced(own.call("trace"))
                own.end()
        except FailedRun as error:
            passes.fail(error)
    return measurement_of(passes, process)


def _saved(model: Model) -> Tensor:
    """The model as bytes of its class and fields. Raises ValueError if another process could not build it anew."""
    module, name = type(model).__module__, type(model).__qualname__
    try:
        if module == "__main__":
            raise NotSaved("it is defined in the main program")
        return _as_tensor(to_bytes(model, [module]))
    except NotSaved as error:
        raise ValueError(f"the class {name} must stand at the top of a module that can be imported: {error}") from error


def _as_tensor(data: bytes) -> Tensor:
    """Bytes in the form in which they can be a part of what is saved."""
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _updates_to(stop: TargetLoss, passes: _ExamPasses, training: _Training, fresh: FreshProcess) -> int:
    """After how many updates the loss is reached, by a training of its own; 0 for the whole training."""
    fresh.start(dataclasses.replace(training, stop=stop), training.problem.text)
    curve = json.loads(fresh.call("learning_curve"))
    fresh.end()
    if curve:
        passes.readings.append(Reading(UPDATES, curve[-1][0], "updates", Kind.COUNTED, {"curve": curve}))
    return int(curve[-1][0]) if curve and curve[-1][1] <= stop.loss else 0


def _train(passes: _ExamPasses, training: _Training, meter: CombinedMeter, fresh: FreshProcess) -> bytes:
    """The bytes of the fitted model; each repetition has its own process, the first one from before the window."""
    (start := functools.partial(fresh.start, training, training.problem.text))()
    following = itertools.chain([lambda: None], itertools.repeat(start if LINUX else lambda: None))

    def train() -> bytes:
        next(following)()
        return fresh.call("fit")

    data = passes.combined(meter, train)
    fresh.end()
    return data


def _judge(passes: _ExamPasses, judging: _Judging, meter: CombinedMeter, fresh: FreshProcess, traced: bool) -> int:
    """Keep the scores of what was trained, and the costs of its predictions; returns how many updates it had."""
    task = passes.task
    for attempt in range(_ATTEMPTS):
        fresh.start(judging, judging.problem.text)
        steps, size = json.loads(fresh.call("load"))
        found = fresh.call("predictions") if attempt else passes.timed(VALIDATION, lambda: fresh.call("predictions"))
        first, again = json.loads(fresh.call("check"))
        if first <= _PUT_OFF[0] * again + _PUT_OFF[1]:
            break
    else:
        raise RuleBroken(
            f"the first predictions took {first:.3g} CPU seconds and the same ones again {again:.3g}, in each of "
            f"{_ATTEMPTS} processes: work was put off until then; do it in fit"
        )
    log_probabilities = torch.frombuffer(bytearray(found), dtype=torch.float32).view(-1, len(task.alphabet))
    task.inference.check_distributions(log_probabilities)  # type: ignore[attr-defined]
    passes.keep_scores(log_probabilities)
    passes.scores |= json.loads(fresh.call("nanogpt_scores"))
    passes.combined(meter, lambda: fresh.call("predict"), INFERENCE, predictions=PREDICTIONS)
    passes.keep_size(size)
    if traced:
        passes.keep_traced(fresh.call("trace"))
    fresh.end()
    return int(steps)


@dataclass
class _Training:
    """What the process of a training does. Its model is loaded only there, when the time counts already."""

    problem: WindowedText
    model: Tensor
    module: str  # of the model
    seed: int
    modules: tuple[str, ...]  # beside the library, whose classes the fitted model may consist of
    trace_updates: int | None
    updates: int = 0  # at which the training ends; 0 for the model's own number
    stop: TargetLoss | None = None

    @property
    def budget(self) -> Budget | None:
        """The limit of the training."""
        return Budget(steps=self.updates) if self.updates else None

    def _fit(self, budget: Budget | None) -> Fitted:
        model = from_bytes(self.model.numpy().tobytes(), [self.module])
        task = self.problem.sample(self.seed).for_training(model.required_oracles)
        fitted: Fitted = model.fit(task, self.seed, budget)
        return fitted

    def fit(self) -> bytes:
        """The fitted model."""
        return to_bytes(self._fit(self.budget), self.modules)

    def learning_curve(self) -> bytes:
        """Updates and loss at each evaluation, until the loss is that of ``stop``; empty without updates."""
        assert self.stop is not None
        stop, task, found = self.stop, self.problem.sample(self.seed), list[tuple[int, float]]()

        def evaluation(updates: int, fitted: Fitted) -> bool:
            found.append((updates, -task.score(window_predictions(task, fitted), task.test_split.y)))
            return found[-1][1] <= stop.loss

        self._fit(Budget(evaluation=evaluation, eval_every=stop.every))
        return json.dumps(found).encode()

    def trace(self) -> bytes:
        """The readings of a traced training."""
        model = from_bytes(self.model.numpy().tobytes(), [self.module])
        about = self.problem, model, self.seed, _traced_meters(), self.budget
        passes = _ExamPasses(*about, trace_updates=self.trace_updates)
        return _traced(passes, "", functools.partial(passes.trace_training, self.updates))


@dataclass
class _Judging:
    """What the process does in which a trained model is judged."""

    problem: WindowedText
    seed: int
    modules: tuple[str, ...]
    data: Tensor
    closed: GPT | None

    def load(self) -> bytes:
        """Rebuild the model, and say how many updates it was trained for and how large it is."""
        self.task: Task = self.problem.sample(self.seed)
        self.fitted: Fitted = from_bytes(self.data.numpy().tobytes(), self.modules)
        if self.closed is not None:
            self.fitted = check_closed_division(self.fitted, self.closed, self.task.alphabet)
        return json.dumps([self.fitted.steps, self.fitted.nbytes]).encode()

    def predictions(self) -> bytes:
        """The log-probabilities of the whole validation text, as float32.

        On one thread: the time of several depends on what else the machine does, as they wait for each other.
        """
        self.threads, began = torch.get_num_threads(), time.process_time()
        torch.set_num_threads(1)
        self.found = self.task.inference.predictions(self.fitted, self.task.test_split)
        self.first_seconds = time.process_time() - began
        return self.found.float().numpy().tobytes()

    def check(self) -> bytes:
        """CPU seconds of the first predictions and of the same ones again, which are equal in the closed division.

        Raises RuleBroken if predictions depend on other streams.
        """
        inference, test, began = self.task.inference, self.task.test_split, time.process_time()
        if self.closed is None:
            inference.predictions(self.fitted, test)
        again = self.first_seconds if self.closed else time.process_time() - began
        gap = inference.batch_invariance_gap(self.fitted, test, self.found)  # type: ignore[attr-defined]
        if not gap <= _MAX_GAP:
            raise RuleBroken(
                f"a probability changes by {gap:.2g} with the rest of the batch, more than {_MAX_GAP}: predict each "
                "window from itself (a model that learns from what it reads needs online=True)"
            )
        torch.set_num_threads(self.threads)
        return json.dumps([self.first_seconds, again]).encode()

    def nanogpt_scores(self) -> bytes:
        """The loss as nanoGPT's training script estimates it; none for a model that learns from what it reads."""
        about = self.fitted, self.task.test_split, self.problem.context
        compute = self.task.inference.nanogpt_loss  # type: ignore[attr-defined]
        return json.dumps({} if self.problem.online else {NANOGPT_LOSS: compute(*about)}).encode()

    def predict(self) -> bytes:
        """Make 1,000 predictions."""
        self.task.inference.run_inference(self.fitted, self.task.test_split, PREDICTIONS)
        return b""

    def trace(self) -> bytes:
        """The readings of 1,000 traced predictions."""
        passes = MeasurementPasses(self.problem, GPT(), self.seed, _traced_meters())
        return _traced(passes, INFERENCE, functools.partial(passes.trace_inference, self.fitted))


class _ExamPasses(MeasurementPasses):
    """Passes whose traced trainings include the copy of the text, and that take readings from other processes."""

    def fit(self, limit: Budget | None = None) -> Fitted:
        self.copy_task()
        return super().fit(limit)

    def timed(self, prefix: str, work: Callable[[], bytes]) -> bytes:
        """Run ``work`` once, and keep its time."""
        return self._window(WallTime(runs=1, window=0), work, prefix)

    def keep_size(self, size: int) -> None:
        """Keep the bytes of the model."""
        self.readings.append(Reading(SIZE, size, "B", Kind.COUNTED))

    def keep_traced(self, found: bytes) -> None:
        """Keep what :func:`_traced` has found."""
        readings, missing = json.loads(found)
        self.readings += [Reading(**reading) for reading in readings]
        self.missing |= missing


def _traced_meters() -> tuple[Meter, ...]:
    return CacheEnergy(), OperationCount(), PeakMemory()


def _traced(passes: MeasurementPasses, prefix: str, work: Callable[[], None]) -> bytes:
    """Readings and missing ones; what cannot be traced (a kernel of unknown cost) has no reading, and the reason."""
    return_freed_arrays()
    try:
        work()
    except (ValueError, RuntimeError) as error:
        passes.missing |= {prefix + meter.name: f"not traced: {error}" for meter in passes.traced}
    return json.dumps([as_json([vars(reading) for reading in passes.readings]), passes.missing]).encode()
