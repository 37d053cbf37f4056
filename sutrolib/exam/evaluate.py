"""One sitting of the final exam: one model, trained on one seed, with all that is charged and all that is scored.

Charged as training is everything from the raw text on: the tokenisation, whatever the model counts or has taught,
its compilation, its updates, and its first prediction, with which work that was put off would come. The last two of
a training are never left over from an earlier one. Not charged is the evaluation on the validation text.

In the closed division a model is not believed to have the baseline's architecture and inference function: its weights
are put into a network that the baseline makes, and it is that network which is scored and weighed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from sutrolib.core.types import Budget, FailedRun, Fitted, Model, Split, Task
from sutrolib.measurement.measure import Measurement, measurement_of
from sutrolib.measurement.passes import MeasurementPasses
from sutrolib.meters import CacheEnergy, OperationCount, PeakMemory
from sutrolib.meters.access.trace import TracedMeter
from sutrolib.meters.energy.combined import CombinedMeter
from sutrolib.models.language.gpt import GPT, Transformer
from sutrolib.models.language.kv_cache import FittedGPT, GPTDecoder
from sutrolib.problems.text import load_text
from sutrolib.problems.windowed_text import WindowedText

LEAK = 0.01  # of probability, that reading other streams beside one may change; rounding changes less
SAME = 1e-3  # in nats, that two ways to compute the same network may differ by


class RuleBroken(FailedRun):
    """The model breaks a rule of the exam; the message says which."""


def sit(
    problem: WindowedText,
    model: Model,
    seed: int,
    together: CombinedMeter,
    *,
    closed: GPT | None = None,
    traced: bool = False,
    trace_updates: int | None = None,
    process: str = "by-hand",
) -> Measurement:
    """Train ``model`` on ``seed`` with all meters of ``together``, score it, and weigh 1,000 of its predictions.

    ``closed`` is the baseline whose architecture the model is to have, None for the open division. With ``traced``,
    training and inference run once more under the trace, cut to ``trace_updates`` updates where those are fewer than
    all. A FailedRun, and a model that breaks a rule, is recorded as failed; whatever else is raised is raised.
    """
    load_text(problem.text)  # the raw text is what everybody begins with
    meters: Sequence[TracedMeter] = (CacheEnergy(), OperationCount(), PeakMemory()) if traced else ()
    passes = _ExamPasses(problem, model, seed, meters, trace_updates=trace_updates)

    def train() -> Fitted:
        forget_compiled()
        taken = problem.sample(seed)
        fitted = model.fit(taken.for_training(model.required_oracles), seed)
        taken.inference.run_inference(fitted, Split(taken.train.x[:1].clone(), taken.train.y[:1].clone()), 1)
        return fitted

    try:
        with unchanged_torch():
            fitted = passes.combined(together, train)
        judged = fitted if closed is None else check_closed_division(fitted, closed, passes.task.alphabet)
        passes.score, passes.scores = _scored(passes.task, judged)
    except FailedRun as error:
        passes.failure = str(error)
        passes.readings.clear()
    else:
        passes.combined_inference(together, judged)
        if traced:
            _trace(passes, judged, fitted.steps)
    return measurement_of(passes, process)


class _ExamPasses(MeasurementPasses):
    """Passes whose traced trainings are charged for the copy of the text as well."""

    def fit(self, limit: Budget | None = None) -> Fitted:
        self.copy_task()
        return super().fit(limit)


def _scored(task: Task, fitted: Fitted) -> tuple[float, dict[str, float]]:
    """The score and all other scores on the whole test split. Raises Refused for predictions that see other streams."""
    test = task.test_split
    found = task.inference.predictions(fitted, test)
    apart = task.inference.batch_invariance_gap(fitted, test, found)  # type: ignore[attr-defined]
    if apart > LEAK:
        raise RuleBroken(
            f"a probability changes by {apart:.2g} with what is read beside it, accepted is up to {LEAK}: "
            "each window is to be predicted from itself (an entry that learns from what it reads is read in order)"
        )
    return task.score(found, test.y), {name: rate(found, test.y) for name, rate in task.also.items()}


def _trace(passes: MeasurementPasses, fitted: Fitted, updates: int) -> None:
    """The traced passes; what cannot be traced (a kernel whose cost is not known) has no reading, and says why."""
    for name, work in (
        ("", lambda: passes.trace_training(updates)),
        ("inference-", lambda: passes.trace_inference(fitted)),
    ):
        try:
            work()
        except (ValueError, RuntimeError) as error:
            passes.missing |= {name + meter.name: f"not traced: {error}" for meter in passes.traced}


def forget_compiled() -> None:
    """Drop what was compiled for an earlier training, also by an earlier process: each one is charged for its own."""
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # read when the compiler is imported, at its first use
    if "torch._inductor.config" in sys.modules:
        sys.modules["torch._inductor.config"].force_disable_caches = True  # type: ignore[attr-defined]
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()


@contextmanager
def unchanged_torch() -> Iterator[None]:
    """What a training sets for the whole process is as it was before: the next one to sit is another model."""
    threads, precision, kind = (
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch.get_default_dtype(),
    )
    tuned, exact = torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
        torch.set_default_dtype(kind)
        torch.backends.cudnn.benchmark = tuned
        torch.use_deterministic_algorithms(exact)


def check_closed_division(fitted: Fitted, baseline: GPT, alphabet: str) -> FittedGPT:
    """The weights of ``fitted`` in a network that ``baseline`` makes: that one is to be judged.

    Raises Refused, saying what differs, unless ``fitted`` holds a Transformer of exactly that shape, which is read by
    GPTReader and gives the predictions that the plain network gives with these weights.
    """
    if not isinstance(fitted, FittedGPT) or not isinstance(fitted.network, Transformer):
        raise RuleBroken(f"closed: a {type(fitted).__name__} was fitted, accepted is a FittedGPT that holds a Transformer")
    if fitted.alphabet != alphabet:
        raise RuleBroken(f"closed: {len(fitted.alphabet)} characters, accepted are the {len(alphabet)} of the text")
    plain = baseline.network(len(alphabet), 0).eval()
    wanted, found = _shapes(plain), _shapes(fitted.network)
    differ = [name for name in dict.fromkeys([*wanted, *found]) if wanted.get(name) != found.get(name)]
    if differ:
        name, more = differ[0], f" (and {len(differ) - 1} more)" if len(differ) > 1 else ""
        raise RuleBroken(f"closed: {name} is {found.get(name, 'missing')}, the baseline's is {wanted.get(name)}{more}")
    heads, block = {b.heads for b in fitted.network.block_list()}, fitted.network.block_size
    if heads != {baseline.heads} or block != baseline.block_size:
        raise RuleBroken(
            f"closed: heads {sorted(heads)} and block {block}, the baseline has {baseline.heads} and {baseline.block_size}"
        )
    plain.load_state_dict(fitted.network.state_dict())
    judged = FittedGPT(plain.to(fitted.device), alphabet, fitted.history, fitted.steps)
    _check_same(fitted, judged)
    return judged


def _shapes(network: Transformer) -> dict[str, str]:
    return {name: f"{tuple(w.shape)} of {w.dtype}" for name, w in network.state_dict().items()}


def _check_same(fitted: FittedGPT, plain: FittedGPT) -> None:
    decoder = fitted.decoder(2)
    if type(decoder) is not GPTDecoder:
        raise RuleBroken(f"closed: it is read by {type(decoder).__name__}, accepted is GPTReader")
    other = plain.decoder(2)
    for ids in torch.arange(2 * plain.network.block_size).remainder(len(plain.alphabet)).view(-1, 2):
        apart = float((decoder.step(ids) - other.step(ids)).abs().max())
        if not apart <= SAME:
            raise RuleBroken(f"closed: a log-probability is {apart:.2g} from that of the plain network with its weights")
