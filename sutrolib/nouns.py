"""The nouns that the coloured wings share, so that none of them has to import another.

A *problem* samples a :class:`Task`; a *model* fits a task and returns something *fitted*.
Neither of the three knows a meter: what weighs a run is never in reach of what is weighed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Score = Callable[["Tensor", "Tensor"], float]


@dataclass(frozen=True)
class Interval:
    """A number with its confidence interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Split:
    """Inputs ``x`` of shape (samples, ...) and the labels ``y`` of shape (samples, 1) that go with them."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Task:
    """One sampled instance of a problem.

    ``score(predictions, labels)`` is a number whose name is ``score_name``, larger is better, and
    ``target`` is the value at which the problem counts as solved. ``test`` is None in the copy that
    a model is given to fit (:meth:`for_training`): a model cannot look at what it is judged on.
    """

    train: Split
    test: Split | None
    score: Score
    score_name: str
    target: float

    def for_training(self) -> Task:
        """The same task without its test split."""
        return dataclasses.replace(self, test=None)


@dataclass(frozen=True)
class Budget:
    """The most that one fit may spend: parameter updates (``steps``) or wall-clock ``seconds``.

    None means no limit of that sort. Raises ValueError for a limit that is not positive.
    """

    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("seconds", self.seconds)):
            if value is not None and not value > 0:
                raise ValueError(f"{name}={value!r}: a budget is a number above 0, or None for no limit")

    def spent(self, steps: int, seconds: float) -> bool:
        """Whether ``steps`` updates or ``seconds`` of time use the budget up."""
        return (self.steps is not None and steps >= self.steps) or (
            self.seconds is not None and seconds >= self.seconds
        )


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
    """What a fit returns. ``history`` holds the learning curve as (updates, held-out score) pairs."""

    @property
    def history(self) -> tuple[tuple[int, float], ...]: ...

    def predict(self, x: Tensor) -> Tensor:
        """Predictions of shape (samples, 1) for inputs of shape (samples, ...)."""
        ...


class Model(Protocol):
    """What learns, and the way it is trained. A frozen dataclass whose fields are its hyper-parameters.

    ``told`` says what the model is told beyond the samples: knowing the answer's form is not learning it.
    """

    name: ClassVar[str]
    told: ClassVar[str]

    def fit(self, task: Task, seed: int, budget: Budget | None = None) -> Fitted:
        """Train on ``task.train``; all randomness comes from ``seed``."""
        ...


def describe(thing: Problem | Model) -> dict[str, Any]:
    """The name and the fields of a problem or a model, as plain JSON-ready values."""
    return {"name": type(thing).name, **dataclasses.asdict(thing)}  # type: ignore[call-overload]


def check_fields(thing: object, limits: Mapping[str, tuple[float, float]]) -> None:
    """Raise ValueError, naming field, value and limits, unless low <= field <= high for each of ``limits``."""
    for field, (low, high) in limits.items():
        value = getattr(thing, field)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{type(thing).__name__}: {field}={value!r}, accepted are {low:g} to {high:g}")
