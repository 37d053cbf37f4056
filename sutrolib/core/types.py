"""The nouns that the coloured wings share, so that none of them has to import another.

A *problem* samples a :class:`Task`; a *model* fits a task and returns something *fitted*.
Neither of the three knows a meter: what weighs a run is never in reach of what is weighed.
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
    """A training that came to no model: it is recorded as failed, with this message, and the walk goes on."""


class Diverged(FailedRun):
    """Training left the finite numbers; the message names the step."""


class OracleUnavailable(FailedRun):
    """The model needs a teacher's help that the problem does not offer."""


class InferenceRunner(Protocol):
    """How a fitted model is asked for predictions: in a way that shows it nothing of what is to be predicted."""

    def predictions(self, fitted: Fitted, test: Split) -> Tensor:
        """The predictions for all of ``test``, of shape (samples, ...), in order."""
        ...

    def run_inference(self, fitted: Fitted, test: Split, count: int) -> None:
        """Make ``count`` predictions on inputs of ``test``, as somebody who uses the model would."""
        ...


class BatchInference:
    """Asks for rows of a table: the inputs hold nothing of the labels, so they are handed over as they are."""

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

    ``score(predictions, labels)`` is a number whose name is ``score_name``, larger is better, and
    ``target`` is the value at which the problem counts as solved; ``also`` holds further scores by name.
    ``test`` is None in the copy that a model is given to fit (:meth:`for_training`): a model cannot look at what it is
    judged on. ``alphabet`` holds the characters that ids stand for, in text. ``oracles`` are what a teacher offers beyond
    the samples, by name; a model is given those that it declares to ask for, and no others.
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

    def for_training(self, required_oracles: Sequence[str] = ()) -> Task:
        """A copy of the task without its test split, and with no help but that which is asked for.

        What a model writes into its copy is not there when it is trained again, and nothing lies behind its tensors.
        Raises NotOffered for help that this task does not offer.
        """
        missing = [name for name in required_oracles if name not in self.oracles]
        if missing:
            raise OracleUnavailable(
                f"help {', '.join(missing)} is not offered; offered are {', '.join(self.oracles) or 'none'}"
            )
        train = Split(self.train.x.clone(), self.train.y.clone())
        return dataclasses.replace(
            self, train=train, test=None, oracles={name: self.oracles[name] for name in required_oracles}
        )


@dataclass(frozen=True)
class Budget:
    """The most that one fit may spend: parameter updates (``steps``) or wall-clock ``seconds``.

    None means no limit of that sort. ``watch(updates, held-out score)`` is told of every point of the learning curve,
    and says whether to go on. Raises ValueError for a limit that is not positive.
    """

    steps: int | None = None
    seconds: float | None = None
    watch: Callable[[int, float], bool] | None = None

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("seconds", self.seconds)):
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value!r}: a budget is a number above 0, or None for no limit")

    def spent(self, steps: int, seconds: float) -> bool:
        """Whether ``steps`` updates or ``seconds`` of time use the budget up."""
        return (self.steps is not None and steps >= self.steps) or (
            self.seconds is not None and seconds >= self.seconds
        )

    def ended(self, steps: int, score: float) -> bool:
        """Whether whoever watches the learning curve ends the fit at this point of it."""
        return self.watch is not None and not self.watch(steps, score)


class Problem(Protocol):
    """What is learned. A frozen dataclass: equal fields and an equal seed give equal bytes."""

    name: ClassVar[str]

    @property
    def rung(self) -> str:
        """The key of the rung of the problem axis that this instance stands on."""
        ...

    def sample(self, seed: int) -> Task:
        """Draw the task of this seed."""
        ...


class Fitted(Protocol):
    """What a fit returns.

    ``history`` holds the learning curve as (updates, held-out score) pairs, empty where nothing is learned step by
    step; ``steps`` is the number of updates, 0 likewise; ``nbytes`` is what has to be kept to predict.
    """

    @property
    def steps(self) -> int: ...

    @property
    def history(self) -> tuple[tuple[int, float], ...]: ...

    @property
    def nbytes(self) -> int: ...

    def predict(self, x: Tensor) -> Tensor:
        """Predictions of shape (samples, ...) for inputs of shape (samples, ...)."""
        ...


class IncrementalDecoder(Protocol):
    """Reads several streams of text side by side, a character of each at a time."""

    def step(self, ids: Tensor) -> Tensor:
        """Take in the next character of each stream, ids of shape (streams,); return what may follow.

        The result has shape (streams, characters) and holds natural logarithms of probabilities that sum to 1.
        """
        ...


class FittedText(Fitted, Protocol):
    """A fitted model of text: whoever wants predictions gives it the text bit by bit (:class:`IncrementalDecoder`)."""

    @property
    def alphabet(self) -> str:
        """The characters it was fitted on; ids count from 0 in this order."""
        ...

    def decoder(self, streams: int) -> IncrementalDecoder:
        """A decoder of so many streams, all at their beginning."""
        ...


class Model(Protocol):
    """What learns, and the way it is trained. A frozen dataclass whose fields are its hyper-parameters.

    ``prior_knowledge`` says what the model is told beyond the samples: knowing the answer's form is not learning it. ``required_oracles``
    names the help that it needs of a teacher (``Task.helps``).
    """

    name: ClassVar[str]
    required_oracles: ClassVar[tuple[str, ...]]

    @property
    def prior_knowledge(self) -> str:
        """A class variable of most models; of some it depends on the fields."""
        ...

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> Fitted:
        """Train on ``task.train``; all randomness comes from ``seed``."""
        ...


class ProgramModel(Protocol):
    """A model that is a program, which a meter runs and prices read by read. A frozen dataclass, as :class:`Model`."""

    name: ClassVar[str]
    required_oracles: ClassVar[tuple[str, ...]]

    @property
    def prior_knowledge(self) -> str:
        """As that of :class:`Model`."""
        ...

    def fit_by(self, run: Callable[[Any, Sequence[Any]], Any], task: Task, seed: int) -> Fitted:
        """Have ``run(program, arguments)`` run the program on ``task.train``, and make a Fitted of what it returns."""
        ...


def nbytes(*tensors: Tensor) -> int:
    """The bytes that these tensors hold."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def describe(thing: Problem | Model | ProgramModel) -> dict[str, Any]:
    """The name and the fields of a problem or a model, as plain JSON-ready values."""
    return {"name": type(thing).name, **dataclasses.asdict(thing)}  # type: ignore[call-overload]


def check_fields(thing: object, limits: Mapping[str, tuple[float, float]]) -> None:
    """Raise ValueError, naming field, value and limits, unless low <= field <= high for each of ``limits``."""
    for name, (low, high) in limits.items():
        value = getattr(thing, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{type(thing).__name__}: {name}={value!r}, accepted are {low:g} to {high:g}")
