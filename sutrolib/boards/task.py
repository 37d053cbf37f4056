"""A public board as a problem and a meter, so that every process can search for what is handed in there.

A candidate is a text: a grid program, or a file of Python. The board scores it (:mod:`sutrolib.boards.scoring`): the
share that is right is the score, and the share that is asked for the target. Nothing is learned, so a task holds no
samples, and a search on a board has no position on the cube.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from sutrolib.boards.registry import BOARDS, Board, find_board
from sutrolib.boards.scoring import score
from sutrolib.core.types import FailedRun, Split, Task
from sutrolib.meters.base import Kind, ProgramMeter
from sutrolib.models.fields import CheckedModel, FittedModel


@dataclass(frozen=True)
class BoardTask:
    """A board, and the ``share`` that must be right: that of a level, or more where the board draws new instances.

    Raises ValueError for an unknown board, and a share below its easiest level.
    """

    board: str = "matmul-4"
    share: float = 1.0

    name: ClassVar[str] = "public board"
    rung: ClassVar[str] = ""

    def __post_init__(self) -> None:
        easiest = find_board(self.board).levels[0].share
        if not easiest <= self.share <= 1:
            raise ValueError(f"share must be {easiest} to 1 for {self.board} (got {self.share})")

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


def of_board(studies: Iterable[Mapping[str, Any]], board: str) -> list[Mapping[str, Any]]:
    """Those searches, as the ledger has them, that were for this board."""
    wanted = {"name": BoardTask.name, "board": board}
    return [study for study in studies if wanted.items() <= study["problem"].items()]


def best_studies(studies: Iterable[Mapping[str, Any]]) -> dict[tuple[str, float], Mapping[str, Any]]:
    """Of searches as the ledger has them, the cheapest for each board and share of a level, where one found a text.

    Where a share depends on how instances are drawn, the text must still reach what its search asked for.
    """
    best, studies = dict[tuple[str, float], Mapping[str, Any]](), [study for study in studies if study.get("best")]
    studies.sort(key=lambda one: one["best"]["cost"])
    for board in BOARDS.values():
        for study in of_board(studies, board.name):
            level = board.level(study["problem"]["share"])
            if level and (key := (board.name, level.share)) not in best and _holds(study, board):
                best[key] = study
    return best


def _holds(study: Mapping[str, Any], board: Board) -> bool:
    return board.draws == 1 or score(study["found"]["program"], board).share >= study["problem"]["share"]
