"""A public board as a problem and a meter, so that every process can search for what is handed in there.

A candidate is a text: a grid program, or a file of Python. The board scores it (:mod:`sutrolib.boards.scoring`): the
share that is right is the score, and the share that is asked for the target. Nothing is learned, so a task holds no
samples, and a search on a board has no position on the cube.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from sutrolib.boards.registry import find_board
from sutrolib.boards.scoring import score
from sutrolib.core.types import FailedRun, Split, Task
from sutrolib.meters.base import Kind, ProgramMeter
from sutrolib.models.fields import CheckedModel, FittedModel


@dataclass(frozen=True)
class BoardTask:
    """A board, and the ``share`` that must be right. Raises ValueError for an unknown board, or no level of it."""

    board: str = "matmul-4"
    share: float = 1.0

    name: ClassVar[str] = "public board"
    rung: ClassVar[str] = ""

    def __post_init__(self) -> None:
        levels = [level.share for level in find_board(self.board).levels]
        if self.share not in levels:
            raise ValueError(f"share must be a level of {self.board}: {', '.join(map(str, levels))} (got {self.share})")

    def sample(self, seed: int) -> Task:
        """The task, the same for all seeds: y is the share that should be right."""
        nothing = Split(torch.zeros(1, 1), torch.ones(1, 1))
        counted = find_board(self.board).counted
        return Task(nothing, nothing, lambda found, _: found.item(), f"share of {counted} right", self.share)


class BoardCost(ProgramMeter):
    """What a text costs by the rule of a board."""

    name = "board-cost"
    title = "cost by the board's rule"
    unit = "of the board"
    kind = Kind.COUNTED

    def __init__(self, board: str) -> None:
        super().__init__()
        self.board = board
        self.kind = find_board(board).kind  # type: ignore[misc]

    def run(self, program: str, arguments: Sequence[Any]) -> list[float]:
        """The share that is right. Raises ValueError for what is no program, FailedRun for one that fails."""
        found = score(program, self.board)
        if found.why and not found.share:
            raise FailedRun(found.why)
        if self._entered:
            self._add(found.cost, {"runs": 1})
        return [found.share]


@dataclass(frozen=True, kw_only=True)
class FittedShare(FittedModel):
    """A text, and the share that it gets right."""

    text: str
    share: float

    @property
    def nbytes(self) -> int:
        """The bytes of the text."""
        return len(self.text.encode())

    def predict(self, x: Tensor) -> Tensor:
        """The share, of shape (samples, 1)."""
        return torch.full((len(x), 1), self.share, dtype=torch.float64)


@dataclass(frozen=True)
class BoardModel(CheckedModel):
    """A way to write a text for a board; its fields are what a search sets."""

    @abstractmethod
    def text(self) -> str:
        """The text."""

    def fit_by(self, run: Callable[[Any, Sequence[Any]], Any], task: Task, seed: int) -> FittedShare:
        """Let the board score the text."""
        text = self.text()
        [share] = run(text, ())
        return FittedShare(text=text, share=share)

    def program_text(self, problem: Mapping[str, Any]) -> str:
        """The text, for the ledger."""
        return self.text()
