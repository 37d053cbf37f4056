"""Leaks: could a model have known its answers, without having learned them?

Four tests. *Reach*: from the task that a fit is given, is there a path of references to the test split, the secret, or
the problem itself? *Swap*: when the test labels are replaced in place after the fit, do the predictions follow?
*Shuffled labels*: does the score fall to chance where the training labels tell nothing? *Seed and disguise*: is the
task still solved where the seed of the fit is not that of the task, and the answer has another name? A secret is drawn
from a seed, so a model that is given the same seed can draw it again.
"""

from __future__ import annotations

import functools
import gc
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sutrolib.core.types import FailedRun, Model, Problem, Task
from sutrolib.guards.checks import LEVEL, UNRELATED, CheckResult, Observation, PermutedProblem, check, fit_and_score
from sutrolib.guards.rescoring import accuracy, label_frequencies
from sutrolib.problems.shuffled_labels import ShuffledLabels

FEWER = 0.01  # probability below which a share of solved seeds counts as smaller than another
SHUFFLES = 3
NOT_TEXT = "not applicable: the labels of text are its own characters"
OPAQUE = (ModuleType, type, FrameType, BuiltinFunctionType, str, bytes, int, float, complex, bool, type(None))


def _reachable(start: Any) -> Iterator[tuple[Any, str]]:
    """Every object that references lead to from ``start``, with the path, nearest first.

    Followed are attributes, containers, closures, defaults, bound arguments, and the base and gradient of a tensor.
    Modules, classes and a function's globals are not: what lies there is there without a task, and no task leaks it.
    """
    seen = {id(start)}
    queue: deque[tuple[Any, str]] = deque([(start, "task")])
    while queue:
        here, path = queue.popleft()
        yield here, path
        for name, there in _next(here):
            if id(there) not in seen and not isinstance(there, OPAQUE):
                seen.add(id(there))
                queue.append((there, f"{path}{name}"))


def _next(here: Any) -> list[tuple[str, Any]]:
    if isinstance(here, Tensor):
        found = [("._base", here._base), (".grad", here.grad if here.is_leaf else None)]
    elif isinstance(here, FunctionType):
        return [
            *_closed_over(here),
            *((".default", value) for value in (*(here.__defaults__ or ()), *(here.__kwdefaults__ or {}).values())),
            (".__dict__", here.__dict__),
        ]
    elif isinstance(here, functools.partial):
        return [(".func", here.func), (".args", here.args), (".keywords", here.keywords)]
    elif isinstance(here, Mapping):
        return [(f"[{key!r:.40}]", value) for key, value in here.items()]
    elif isinstance(here, list | tuple | set | frozenset | deque):
        return [(f"[{index}]", value) for index, value in enumerate(here) if index < 1000]
    else:
        found = []
    attributes = getattr(here, "__dict__", {})
    found += [(f".{name}", value) for name, value in attributes.items()]
    known = {id(value) for _, value in found} | {id(attributes)}
    others = gc.get_referents(here) if gc.is_tracked(here) and not isinstance(here, Tensor) else []
    return found + [(".(inside)", value) for value in others if id(value) not in known]


def _closed_over(function: FunctionType) -> list[tuple[str, Any]]:
    found = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found.append((f".{name}", cell.cell_contents))
        except ValueError:  # not assigned yet
            continue
    return found


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


@check("the test split and the secret are out of reach", "a model that can reach what it is judged on need not learn")
def reachability(problem: Problem, model: Model, seed: int) -> Observation:
    """Walk from the task that the fit is given; help that the model asks for is a leak by design, and named."""
    task = problem.sample(seed)
    given = task.for_training(model.required_oracles)
    secret = tuple(problem.secret(seed)) if hasattr(problem, "secret") else None
    forbidden = {_storage(task.test_split.x): "the test inputs", _storage(task.test_split.y): "the test labels"}
    oracles = {id(help_) for help_ in given.oracles.values()}
    found, objects = [], 0
    for thing, path in _reachable(given):
        if path.startswith("task.helps") or id(thing) in oracles:
            continue
        objects += 1
        what = _leaked(thing, forbidden, secret, problem)
        if what:
            found.append(f"{what} at {path}")
    seen = "; ".join(found) if found else f"none of {objects:,} objects is or holds the test split or the secret"
    if model.required_oracles:
        seen += f"; it asks for {', '.join(model.required_oracles)}, where the answer may be had"
    return not found, seen


def _leaked(thing: Any, forbidden: Mapping[int, str], secret: tuple[int, ...] | None, problem: Problem) -> str:
    if isinstance(thing, Tensor):
        if thing.numel() and _storage(thing) in forbidden:
            return forbidden[_storage(thing)]
        whole = secret and thing.numel() == len(secret) and not thing.is_floating_point()
        return "the secret" if whole and tuple(sorted(thing.flatten().tolist())) == secret else ""
    if isinstance(thing, list | tuple | set | frozenset) and secret and len(thing) == len(secret):
        return "the secret" if all(isinstance(i, int) for i in thing) and tuple(sorted(thing)) == secret else ""
    return "the problem, which holds the secret" if secret and thing is problem else ""


@check("predictions do not follow the test labels", "who looks labels up is right whatever they are")
def label_swap(problem: Problem, model: Model, seed: int) -> Observation:
    """Fit twice and predict; then replace every test label in place, and predict again with both."""
    task = problem.sample(seed)
    if task.alphabet:
        return None, NOT_TEXT
    test = task.test_split
    one, other = (model.fit(task.for_training(model.required_oracles), seed) for _ in range(2))
    before = task.inference.predictions(one, test).clone()
    equal = torch.equal(before, task.inference.predictions(other, test))
    labels = test.y.clone()
    test.y.copy_(_others(labels))
    after = task.inference.predictions(one, test)
    same = torch.equal(before, after)
    score, swapped = accuracy(problem, before, labels), accuracy(problem, after, test.y)
    held = same and (swapped <= 1 - score + 1e-12)
    seen = (
        f"accuracy {score:.3f} on the labels as they were and {swapped:.3f} on others; the predictions "
        f"{'stayed' if same else 'changed'}; a second fit predicts {'the same' if equal else 'other'}"
    )
    return held and equal, seen


def _others(labels: Tensor) -> Tensor:
    """Other labels: those of two values change places, class numbers move on by one, and other numbers are negated."""
    values = labels.unique()
    if len(values) == 2:
        found: Tensor = values.sum() - labels
        return found
    return -labels if labels.is_floating_point() else (labels + 1) % (values.max() + 1)


@check("shuffled labels: falls to chance", "where the samples tell nothing, nothing can be learned from them")
def shuffled_labels(problem: Problem, model: Model, seeds: Sequence[int]) -> Observation:
    """Train on labels in random order, and pool the right answers over ``seeds``."""
    from scipy.stats import binom

    if model.required_oracles:
        return None, f"not applicable: it asks for {', '.join(model.required_oracles)}, and a teacher knows the true labels"
    counted, asked, failures, shares = 0, 0, [], np.zeros(0)
    for seed in seeds:
        if problem.sample(seed).alphabet:
            return None, NOT_TEXT
        task = ShuffledLabels(problem).sample(seed)
        test = task.test_split
        shares = label_frequencies(test.y)
        try:
            fitted = model.fit(task.for_training(model.required_oracles), seed)
        except FailedRun as error:
            failures.append(str(error))
            continue
        counted += round(accuracy(problem, task.inference.predictions(fitted, test), test.y) * len(test))
        asked += len(test)
    refused = f"{len(failures)} of {len(seeds)} fits came to no model, which is chance" if failures else ""
    if not asked:
        return True, f"{refused}: {failures[0]}"
    # Blind to the inputs, nobody is right more often than with the commonest label, nor (of two) less often than with
    # the rarer one; of more labels, or numbers, a constant may be none.
    low = binom.ppf((1 - LEVEL) / 2, asked, shares.min() if len(shares) == 2 else 0.0) / asked
    high = binom.ppf((1 + LEVEL) / 2, asked, shares.max()) / asked
    seen = f"accuracy {counted / asked:.3f} over {asked:,} answers, chance is {low:.3f} to {high:.3f} ({LEVEL:.1%})"
    return bool(low <= counted / asked <= high), "; ".join(filter(None, (seen, refused)))


@check(
    "the fit's seed is not the task's, and the answer has another name",
    "an answer drawn again from the seed, or brought along, is wrong where it has another name",
)
def unrelated_seed(problem: Problem, model: Model, seeds: Sequence[int]) -> Observation:
    """Solve the same seeds as they are, and disguised with an unrelated seed for the fit; Fisher's exact test."""
    from scipy.stats import fisher_exact

    plain = sum(fit_and_score(problem, model, seed).solved for seed in seeds)
    hidden = sum(fit_and_score(PermutedProblem(problem), model, seed, seed + UNRELATED).solved for seed in seeds)
    count = len(seeds)
    p = float(fisher_exact([[hidden, count - hidden], [plain, count - plain]], alternative="less").pvalue)
    seen = f"{plain} of {count} seeds solved as they are, {hidden} in disguise (p = {p:.2g} for fewer)"
    return p >= FEWER, seen


@check("what it was told", "knowing the form of the answer is not learning it")
def stated_knowledge(task: Task, model: Model) -> Observation:
    """What the model was told: a statement."""
    asked = ", ".join(model.required_oracles) or "nothing"
    offered = ", ".join(task.oracles) or "nothing"
    return None, f"{model.prior_knowledge}; it asks for {asked} (offered: {offered})"


def leak_checks(problem: Problem, model: Model, seeds: Sequence[int]) -> tuple[CheckResult, ...]:
    """All checks of this module; ``seeds`` must be fresh ones."""
    return (
        shuffled_labels(problem, model, seeds[:SHUFFLES]),
        reachability(problem, model, seeds[0]),
        label_swap(problem, model, seeds[0]),
        unrelated_seed(problem, model, seeds),
        stated_knowledge(problem.sample(seeds[0]), model),
    )
