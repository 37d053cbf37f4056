"""Leak checks: could a model have known its answers without learning them?

*Reachability*: does a path of references lead from the task given to a fit to the test split, the secret or the problem
itself? *Label swap*: if the test labels are replaced in place after the fit, do the predictions follow? *Shuffled
labels*: does the accuracy fall to chance if the training labels carry no information? *Unrelated seed*: is the task
still solved if the fit gets another seed than the task, and the answer has another name? A secret is drawn from a seed,
so a model with the same seed can draw it again.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sutrolib.core.types import FailedRun, Model, Problem, Task
from sutrolib.guards.checks import accuracy, fit_and_score
from sutrolib.measurement.checks import (
    CHECK_CONFIDENCE,
    SEED_OFFSET,
    CheckResult,
    Observation,
    PermutedProblem,
    check,
    fresh_seed,
)
from sutrolib.problems.holdout import ShuffledLabels

_SIGNIFICANCE = 0.01  # a p-value below it means that fewer seeds were solved
_SHUFFLED_SEEDS = 3
_SECOND_LOOK = 3  # times as many seeds, so that what leaks on few seeds does not pass by luck
_TEXT_LABELS = "not applicable: the labels of text are its own characters"
_OPAQUE = (ModuleType, type, FrameType, BuiltinFunctionType, str, bytes, int, float, complex, bool, type(None))


def _reachable(start: Any) -> Iterator[tuple[Any, str]]:
    """Every object that references lead to from ``start``, with the path, nearest first.

    Follows attributes, containers, closures, defaults, bound arguments, and the base and gradient of a tensor. Modules,
    classes and a function's globals are left out: what they hold exists without a task, so no task leaks it.
    """
    seen = {id(start)}
    queue: deque[tuple[Any, str]] = deque([(start, "task")])
    while queue:
        here, path = queue.popleft()
        yield here, path
        for name, there in _references(here):
            if id(there) not in seen and not isinstance(there, _OPAQUE):
                seen.add(id(there))
                queue.append((there, f"{path}{name}"))


def _references(here: Any) -> list[tuple[str, Any]]:
    if isinstance(here, FunctionType):
        cells = zip(here.__code__.co_freevars, here.__closure__ or (), strict=True)
        closure = [(f".{name}", content) for name, cell in cells for content in gc.get_referents(cell)]
        defaults = (*(here.__defaults__ or ()), *(here.__kwdefaults__ or {}).values())
        return [*closure, *((".default", value) for value in defaults), (".__dict__", here.__dict__)]
    if isinstance(here, Mapping | list | tuple | set | frozenset | deque):
        items = here.items() if isinstance(here, Mapping) else enumerate(islice(here, 1000))
        return [(f"[{key!r:.40}]", value) for key, value in items]
    attributes = getattr(here, "__dict__", {})
    named = [(f".{name}", value) for name, value in attributes.items()]
    if isinstance(here, Tensor):
        return [("._base", here._base), (".grad", here.grad if here.is_leaf else None), *named]
    known = {id(value) for value in attributes.values()} | {id(attributes)}
    others = gc.get_referents(here) if gc.is_tracked(here) else []
    return named + [(".(inside)", value) for value in others if id(value) not in known]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


@check("test split and secret are unreachable", "a model that reaches its test labels does not need to learn")
def reachability(problem: Problem, model: Model, seed: int) -> Observation:
    """Walk from the task given to the fit; a required oracle is a leak by design, and is named."""
    task = problem.sample(seed)
    given = task.for_training(model.required_oracles)
    secret = tuple(problem.secret(seed)) if hasattr(problem, "secret") else None
    forbidden = {_storage(task.test_split.x): "the test inputs", _storage(task.test_split.y): "the test labels"}
    oracles = {id(oracle) for oracle in given.oracles.values()}
    objects = [
        (thing, path)
        for thing, path in _reachable(given)
        if not path.startswith("task.oracles") and id(thing) not in oracles
    ]
    found = ((_leaked(thing, forbidden, secret, problem), path) for thing, path in objects)
    leaks = [f"{what} at {path}" for what, path in found if what]
    evidence = "; ".join(leaks) or f"none of {len(objects):,} objects is or holds the test split or the secret"
    if model.required_oracles:
        evidence += f"; it queries {', '.join(model.required_oracles)}, which may give the answer"
    return not leaks, evidence


def _leaked(thing: Any, forbidden: Mapping[int, str], secret: tuple[int, ...] | None, problem: Problem) -> str:
    if isinstance(thing, Tensor) and thing.numel() and _storage(thing) in forbidden:
        return forbidden[_storage(thing)]
    if secret and thing is problem:
        return "the problem, which holds the secret"
    if isinstance(thing, Tensor) and not thing.is_floating_point() and thing.numel() == len(secret or ()):
        thing = thing.flatten().tolist()
    numbers = isinstance(thing, list | tuple | set | frozenset) and all(isinstance(item, int) for item in thing)
    return "the secret" if secret and numbers and tuple(sorted(thing)) == secret else ""


@check("predictions ignore the test labels", "a model that looks the labels up is right whatever they are")
def label_swap(problem: Problem, model: Model, seed: int) -> Observation:
    """Fit twice and predict; then replace every test label in place, and predict again."""
    task = problem.sample(seed)
    if task.alphabet:
        return None, _TEXT_LABELS
    test = task.test_split
    fitted, refitted = (model.fit(task.for_training(model.required_oracles), seed) for _ in range(2))
    before = task.inference.predictions(fitted, test).clone()
    repeatable = torch.equal(before, task.inference.predictions(refitted, test))
    labels = test.y.clone()
    test.y.copy_(_other_labels(labels))
    after = task.inference.predictions(fitted, test)
    same = torch.equal(before, after)
    score, swapped = accuracy(problem, before, labels), accuracy(problem, after, test.y)
    evidence = f"accuracy {score:.3f} on the true labels and {swapped:.3f} on others; the predictions "
    evidence += f"{'stayed' if same else 'changed'}; a second fit predicts "
    evidence += "the same" if repeatable else "something else"
    return same and repeatable and swapped <= 1 - score + 1e-12, evidence


def _other_labels(labels: Tensor) -> Tensor:
    """Other labels: two values are swapped, class numbers move on by one, and other numbers are negated."""
    values = labels.unique()
    if len(values) == 2:
        return torch.as_tensor(values.sum() - labels)
    return -labels if labels.is_floating_point() else (labels + 1) % (values.max() + 1)


@check("shuffled labels give chance accuracy", "nothing can be learned from samples without information")
def shuffled_labels(problem: Problem, model: Model, seeds: Sequence[int]) -> Observation:
    """Train on labels in random order, and pool the right answers over ``seeds``; over fresh ones if they are too many.

    By luck a fit finds the right one of a thousand answers; what leaks does so on other seeds, too.
    """
    if model.required_oracles:
        return None, f"not applicable: it queries {', '.join(model.required_oracles)}, and an oracle knows the labels"
    passed, evidence = _on_shuffled_labels(problem, model, seeds)
    if passed is False:
        passed, again = _on_shuffled_labels(problem, model, [fresh_seed() for _ in range(_SECOND_LOOK * len(seeds))])
        evidence += f"; on other seeds {again}"
    return passed, evidence


def _on_shuffled_labels(problem: Problem, model: Model, seeds: Sequence[int]) -> Observation:
    from scipy.stats import binom

    right, total, failures, shares = 0, 0, [], np.zeros(0)
    for seed in seeds:
        if problem.sample(seed).alphabet:
            return None, _TEXT_LABELS
        task = ShuffledLabels(problem).sample(seed)
        test = task.test_split
        shares = np.unique(test.y, return_counts=True)[1] / test.y.numel()
        try:
            fitted = model.fit(task.for_training(model.required_oracles), seed)
        except FailedRun as error:
            failures.append(str(error))
            continue
        right += round(accuracy(problem, task.inference.predictions(fitted, test), test.y) * len(test))
        total += len(test)
    refused = f"{len(failures)} of {len(seeds)} fits failed, which counts as chance" if failures else ""
    if not total:
        return True, f"{refused}: {failures[0]}"
    # A model that ignores its inputs is right at most as often as the commonest label, and (of two labels) at least as
    # often as the rarer one. With more labels, or numbers, a constant may never be right.
    low = binom.ppf((1 - CHECK_CONFIDENCE) / 2, total, shares.min() if len(shares) == 2 else 0.0) / total
    high = binom.ppf((1 + CHECK_CONFIDENCE) / 2, total, shares.max()) / total
    evidence = f"accuracy {right / total:.3f} on {total:,} samples, chance is {low:.3f} to {high:.3f}"
    evidence += f" ({CHECK_CONFIDENCE:.1%})" + (f"; {refused}" if refused else "")
    return bool(low <= right / total <= high), evidence


@check("solved with an unrelated seed and permuted answers", "an answer drawn from the seed, or stored, is then wrong")
def unrelated_seed(problem: Problem, model: Model, seeds: Sequence[int]) -> Observation:
    """Solve the same seeds as they are, and permuted with an unrelated seed for the fit; Fisher's exact test."""
    from scipy.stats import fisher_exact

    plain = sum(fit_and_score(problem, model, seed).solved for seed in seeds)
    if not plain:
        return None, f"not applicable: none of {len(seeds)} seeds is solved as it is"
    permuted = sum(fit_and_score(PermutedProblem(problem), model, seed, seed + SEED_OFFSET).solved for seed in seeds)
    count = len(seeds)
    p = float(fisher_exact([[permuted, count - permuted], [plain, count - plain]], alternative="less").pvalue)
    evidence = f"{plain} of {count} seeds solved as they are, {permuted} permuted (p = {p:.2g} for fewer)"
    return p >= _SIGNIFICANCE, evidence


@check("prior knowledge", "knowing the form of the answer is not learning it")
def stated_knowledge(task: Task, model: Model) -> Observation:
    """The prior knowledge of the model: a statement."""
    required, offered = (", ".join(oracles) or "none" for oracles in (model.required_oracles, task.oracles))
    return None, f"{model.prior_knowledge}; oracles queried: {required} (offered: {offered})"


def leak_checks(problem: Problem, model: Model, seeds: Sequence[int]) -> tuple[CheckResult, ...]:
    """All checks of this module; ``seeds`` must be fresh."""
    return (
        shuffled_labels(problem, model, seeds[:_SHUFFLED_SEEDS]),
        reachability(problem, model, seeds[0]),
        label_swap(problem, model, seeds[0]),
        unrelated_seed(problem, model, seeds),
        stated_knowledge(problem.sample(seeds[0]), model),
    )
