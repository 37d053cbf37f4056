"""Shared types, so that problems, models and meters never import each other.

A *problem* samples a :class:`Task`; a *model* fits a task and returns a :class:`Fitted`. None of them knows a meter:
what is measured cannot reach what measures it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Score = Callable[["Tensor", "Tensor"], float]


@dataclass(frozen=True)
class Split:
    """Inputs ``x`` of shape (samples, ...) and the labels ``y`` of shape (samples, 1) that go with them."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)


class FailedRun(ArithmeticError):
    """A training that gave no model. It is recorded as failed, with this message, and later runs go on."""


class Diverged(FailedRun):
    """A value of the training is not finite; the message names the step."""


class OracleUnavailable(FailedRun):
    """The model needs an oracle that the problem does not offer."""


class InferenceRunner(Protocol):
    """How predictions are taken from a fitted model, without showing it what it has to predict."""

    def predictions(self, fitted: Fitted, test: Split) -> Tensor:
        """The predictions for all of ``test``, of shape (samples, ...), in order."""

    def run_inference(self, fitted: Fitted, test: Split, count: int) -> None:
        """Make ``count`` predictions on inputs of ``test``, as in the model's use."""


class BatchInference:
    """Predictions for the rows of a table, all at once: the inputs hold nothing of the labels."""

    def predictions(self, fitted: Fitted, test: Split) -> Tensor:
        """``fitted.predict`` of all inputs."""
        return fitted.predict(test.x)

    def run_inference(self, fitted: Fitted, test: Split, count: int) -> None:
        """``fitted.predict`` of ``count`` inputs in one batch; the test inputs are repeated where they are fewer."""
        copies = -(-count // len(test))
        fitted.predict(test.x.repeat(copies, *[1] * (test.x.dim() - 1))[:count])


@dataclass(frozen=True)
class Task:
    """One sampled instance of a problem.

    ``score(predictions, labels)`` is the main score, called ``score_name``; larger is better, and the problem counts as
    solved at ``target``. ``also`` holds further scores by name. ``test`` is None in the copy that a model is given
    (:meth:`for_training`), so that it cannot see the test split. For text, ``alphabet`` holds the characters of the
    ids. ``oracles`` answer queries beyond the samples, by name; a model is given only those that it requires.
    """

    train: Split
    test: Split | None
    score: Score
    score_name: str
    target: float
    also: Mapping[str, Score] = field(default_factory=dict)
    inference: InferenceRunner = field(default_factory=BatchInference)
    alphabet: str = ""
    oracles: Mapping[str, Callable[..., Tensor]] = field(default_factory=dict)

    @property
    def test_split(self) -> Split:
        """The test split. Raises ValueError for a copy that was made for training."""
        if self.test is None:
            raise ValueError("this task has no test split: it is a copy made for training")
        return self.test

    def for_training(self, required_oracles: Sequence[str] = ()) -> Task:
        """A copy of the task without its test split, and with the required oracles only.

        A model that writes into its copy does not change the task, and no test row lies in the storage of its tensors.

        Raises:
            OracleUnavailable: the task does not offer a required oracle.
        """
        if missing := ", ".join(name for name in required_oracles if name not in self.oracles):
            raise OracleUnavailable(f"the problem has no oracle {missing} (it has {', '.join(self.oracles) or 'none'})")
        train = Split(self.train.x.clone(), self.train.y.clone())
        oracles = {name: self.oracles[name] for name in required_oracles}
        return dataclasses.replace(self, train=train, test=None, oracles=oracles)


@dataclass(frozen=True)
class Budget:
    """The limits of one fit: parameter updates (``steps``), wall-clock ``seconds``, or None for no limit.

    ``watch(updates, held-out score)`` is called at every point of the learning curve; False ends the fit.
    ``evaluation(updates, fitted)`` is called every ``eval_every`` updates, by models that train in updates; True ends
    the fit. ValueError for a limit that is not above 0.
    """

    steps: int | None = None
    seconds: float | None = None
    watch: Callable[[int, float], bool] | None = None
    evaluation: Callable[[int, Fitted], bool] | None = None
    eval_every: int = 1

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("seconds", self.seconds), ("eval_every", self.eval_every)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, or None for no limit (got {value!r})")

    def spent(self, steps: int, seconds: float) -> bool:
        """Whether the budget is used up after ``steps`` updates or ``seconds`` of time."""
        out_of_steps = self.steps is not None and steps >= self.steps
        return out_of_steps or (self.seconds is not None and seconds >= self.seconds)

    def ended(self, steps: int, score: float) -> bool:
        """Whether ``watch`` ends the fit at this point of the learning curve."""
        return self.watch is not None and not self.watch(steps, score)

    def reached(self, steps: int, fitted: Callable[[], Fitted]) -> bool:
        """Whether ``evaluation`` ends the fit after these updates; ``fitted`` makes the model as it is by then."""
        return self.evaluation is not None and steps % self.eval_every == 0 and self.evaluation(steps, fitted())


class Problem(Protocol):
    """What is learned. A frozen dataclass: equal fields and an equal seed give equal bytes."""

    name: ClassVar[str]

    @property
    def rung(self) -> str:
        """The key of this instance's rung on the problem axis."""

    def sample(self, seed: int) -> Task:
        """Draw the task of this seed."""


class Fitted(Protocol):
    """What a fit returns.

    ``steps`` is the number of updates and ``history`` the learning curve, as (updates, held-out score) pairs; 0 and
    empty if the model does not learn in steps. ``nbytes`` are the bytes that predictions need.
    """

    @property
    def steps(self) -> int: ...

    @property
    def history(self) -> tuple[tuple[int, float], ...]: ...

    @property
    def nbytes(self) -> int: ...

    def predict(self, x: Tensor) -> Tensor:
        """Predictions of shape (samples, ...) for inputs of shape (samples, ...)."""


class IncrementalDecoder(Protocol):
    """Reads several streams of text in parallel, one character of each at a time."""

    def step(self, ids: Tensor) -> Tensor:
        """Read the next character of each stream, ids of shape (streams,).

        Returns the natural logarithms of the probabilities of the character after it, of shape (streams, characters).
        """


class FittedText(Fitted, Protocol):
    """A fitted model of text, which reads the text character by character (:class:`IncrementalDecoder`)."""

    @property
    def alphabet(self) -> str:
        """The characters it was fitted on; ids count from 0 in this order."""

    def decoder(self, streams: int) -> IncrementalDecoder:
        """A decoder of so many streams, before their first character."""


class _Described(Protocol):
    name: ClassVar[str]
    required_oracles: ClassVar[tuple[str, ...]]

    @property
    def prior_knowledge(self) -> str:
        """A class variable in most models; in some it depends on the fields."""


class Model(_Described, Protocol):
    """What learns, and how it is trained. A frozen dataclass whose fields are its hyper-parameters.

    ``prior_knowledge`` says in words what the model knows beyond the samples: to know the answer's form is not to learn
    it. ``required_oracles`` names the oracles of the task that it queries.
    """

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> Fitted:
        """Train on ``task.train``; all randomness comes from ``seed``."""


class ProgramModel(_Described, Protocol):
    """A model that is a program, which a meter runs and charges for every read. A frozen dataclass."""

    def fit_by(self, run: Callable[[Any, Sequence[Any]], Any], task: Task, seed: int) -> Fitted:
        """Call ``run(program, arguments)`` on ``task.train``, and return a Fitted of its result."""

    def program_text(self, problem: Mapping[str, Any]) -> str:
        """The program for a problem, as :func:`describe` gives it, in text that can be run without this model."""


def nbytes(*tensors: Tensor) -> int:
    """The bytes of these tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def describe(thing: Problem | Model | ProgramModel) -> dict[str, Any]:
    """The name and the fields of a problem or a model, as values that JSON has."""
    return {"name": type(thing).name, **dataclasses.asdict(thing)}  # type: ignore[call-overload]


def check_fields(thing: object, limits: Mapping[str, tuple[float, float]]) -> None:
    """Raise ValueError unless low <= field <= high for each of ``limits``, and fields of type int hold integers."""
    integers = {f.name for f in dataclasses.fields(thing) if f.type in ("int", int)}  # type: ignore[arg-type]
    for name, (low, high) in limits.items():
        value = getattr(thing, name)
        if name in integers and type(value) is not int:
            raise ValueError(f"{type(thing).__name__}: {name} must be an integer (got {value!r})")
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{type(thing).__name__}: {name} must be {low:g} to {high:g} (got {value!r})")
