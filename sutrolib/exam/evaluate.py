"""One run of the final exam: one model, trained on one seed, with all its costs and all its scores.

The cost of training is everything from the raw text on: tokenisation, counting, a teacher, compilation, the updates,
and the first prediction, which triggers work that was postponed. Nothing compiled for an earlier training is reused.
Scoring on the validation text costs nothing.

In the closed division the weights of the model are loaded into a network that the baseline builds, and it is that
network which is scored and whose inference is measured.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

from sutrolib.core.types import Budget, FailedRun, Fitted, Model, Split
from sutrolib.measurement.measure import BY_HAND, Measurement, measurement_of
from sutrolib.measurement.passes import INFERENCE, MeasurementPasses
from sutrolib.meters import CacheEnergy, OperationCount, PeakMemory
from sutrolib.meters.energy.combined import CombinedMeter
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.transformer import FittedGPT, GPTDecoder, Transformer
from sutrolib.problems.text import WindowedText, load_text

_MAX_GAP = 0.01  # of a probability, by what else is in the batch; rounding changes less
_MAX_DIFFERENCE = 1e-3  # in nats, between two ways to compute the same network


class RuleBroken(FailedRun):
    """The model breaks a rule of the exam; the message says which."""


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
) -> Measurement:
    """Train ``model`` on ``seed`` within ``meter``, score it, and measure 1,000 of its predictions.

    ``closed`` is the baseline whose architecture the model must have, None in the open division. With ``traced``,
    training and inference run once more under the trace, for at most ``trace_updates`` updates. A FailedRun, and a
    model that breaks a rule, is recorded as failed; other exceptions are raised.
    """
    load_text(problem.text)  # every training starts from the raw text
    meters = (CacheEnergy(), OperationCount(), PeakMemory()) if traced else ()
    passes = _ExamPasses(problem, model, seed, meters, trace_updates=trace_updates)

    def train() -> Fitted:
        drop_compiled_code()
        task = problem.sample(seed)
        fitted = model.fit(task.for_training(model.required_oracles), seed)
        task.inference.run_inference(fitted, Split(task.train.x[:1].clone(), task.train.y[:1].clone()), 1)
        return fitted

    try:
        with restored_torch_settings():
            fitted = passes.combined(meter, train)
        scored = fitted if closed is None else check_closed_division(fitted, closed, passes.task.alphabet)
        passes.score_windows(scored)
        passes.combined_inference(meter, scored)
        if traced:
            _trace(passes, scored, fitted.steps)
    except FailedRun as error:
        passes.fail(error)
    return measurement_of(passes, process)


class _ExamPasses(MeasurementPasses):
    """Passes whose traced trainings include the copy of the text, and whose scores need independent windows."""

    def fit(self, limit: Budget | None = None) -> Fitted:
        self.copy_task()
        return super().fit(limit)

    def score_windows(self, fitted: Fitted) -> None:
        """Keep all scores. Raises RuleBroken if predictions depend on other streams, FailedRun if not finite."""
        task, test = self.task, self.task.test_split
        found = task.inference.predictions(fitted, test)
        gap = task.inference.batch_invariance_gap(fitted, test, found)  # type: ignore[attr-defined]
        if not gap <= _MAX_GAP:
            raise RuleBroken(
                f"a probability changes by {gap:.2g} with the rest of the batch, more than {_MAX_GAP}: predict each "
                "window from itself (a model that learns from what it reads needs online=True)"
            )
        self.keep_scores(found)


def _trace(passes: MeasurementPasses, fitted: Fitted, updates: int) -> None:
    """The traced passes; a model that cannot be traced (a kernel of unknown cost) has no reading, and the reason."""
    training, inference = partial(passes.trace_training, updates), partial(passes.trace_inference, fitted)
    for prefix, work in (("", training), (INFERENCE, inference)):
        try:
            work()
        except (ValueError, RuntimeError) as error:
            passes.missing |= {prefix + meter.name: f"not traced: {error}" for meter in passes.traced}


def drop_compiled_code() -> None:
    """Drop code compiled for an earlier training, in any process, so that each training pays for its own."""
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"  # read when the compiler is imported, at its first use
    if "torch._inductor.config" in sys.modules:
        sys.modules["torch._inductor.config"].force_disable_caches = True  # type: ignore[attr-defined]
    if "torch._dynamo" in sys.modules:
        sys.modules["torch._dynamo"].reset()


@contextmanager
def restored_torch_settings() -> Iterator[None]:
    """Undo the process-wide torch settings of a training, so that they do not affect the next model."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    precision, deterministic = torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.benchmark = benchmark


def check_closed_division(fitted: Fitted, baseline: GPT, alphabet: str) -> FittedGPT:
    """Load the weights of ``fitted`` into a network that ``baseline`` builds, which is then scored in its place.

    Raises:
        RuleBroken: ``fitted`` is not a Transformer of exactly that shape, does not decode by GPTDecoder, or predicts
            something else than the plain network with its weights. The message says what differs.
    """
    if not isinstance(fitted, FittedGPT) or not isinstance(fitted.network, Transformer):
        raise RuleBroken(f"closed: the model must return a FittedGPT with a Transformer (got {type(fitted).__name__})")
    if fitted.alphabet != alphabet:
        raise RuleBroken(f"closed: the alphabet must be that of the text (got {len(fitted.alphabet)} characters)")
    plain = baseline.network(len(alphabet), 0).eval()
    expected, found = _architecture(plain), _architecture(fitted.network)
    differ = [name for name in dict.fromkeys([*expected, *found]) if expected.get(name) != found.get(name)]
    if differ:
        name, more = differ[0], f" (and {len(differ) - 1} more)" if len(differ) > 1 else ""
        raise RuleBroken(f"closed: {name} is {found.get(name, 'missing')}, the baseline's {expected.get(name)}{more}")
    plain.load_state_dict(fitted.network.state_dict())
    scored = FittedGPT(plain.to(fitted.device), alphabet, history=fitted.history, steps=fitted.steps)
    decoder, other = fitted.decoder(2), scored.decoder(2)
    if type(decoder) is not GPTDecoder:
        raise RuleBroken(f"closed: the decoder must be GPTDecoder (got {type(decoder).__name__})")
    for ids in torch.arange(2 * plain.block_size).remainder(len(alphabet)).view(-1, 2):
        difference = float((decoder.step(ids) - other.step(ids)).abs().max())
        if not difference <= _MAX_DIFFERENCE:
            raise RuleBroken(f"closed: a log-probability is {difference:.2g} off the plain network with its weights")
    return scored


def _architecture(network: Transformer) -> dict[str, str]:
    shapes = {name: f"{tuple(weight.shape)} {weight.dtype}" for name, weight in network.state_dict().items()}
    heads = sorted({block.heads for block in network.block_list()})
    return {**shapes, "heads": str(heads), "block_size": str(network.block_size)}
