"""Score a program or a function as a public board does: what it costs, what share is right, and the level reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sutrolib.boards.buffer_clock import SEEDS, load_solver, score_solver
from sutrolib.boards.grid_program import BoardProgram, GridProgramError
from sutrolib.boards.grid_text import parse
from sutrolib.boards.registry import LABELS, Board, Level, find_board
from sutrolib.boards.symbolic import matmul_outputs_right


@dataclass(frozen=True)
class Score:
    """A cost, the share that is right, and the highest level reached; ``why`` says why none is."""

    board: Board
    cost: float
    share: float
    level: Level | None
    why: str = ""

    @property
    def valid(self) -> bool:
        """Whether the board would accept it at some level."""
        return self.level is not None

    @property
    def beats_public_best(self) -> bool:
        """Whether it costs less than the public best at its level."""
        return self.level is not None and self.cost < self.level.best


def score(source: str | Path, board: Board | str) -> Score:
    """Score a text, or the file at a path.

    Raises ValueError with line and reason for what is no program of the board, and for an unknown board. A program that
    is wrong has a score that says so.
    """
    board = find_board(board) if isinstance(board, str) else board
    text = source.read_text(encoding="utf-8", errors="replace") if isinstance(source, Path) else source
    if not board.instruction_set:
        return _score_solver(text, board)
    program = parse(text, board.instruction_set, board.max_lines)
    try:
        share = _share_right(program, board)
    except GridProgramError as error:
        return Score(board, program.cost, 0.0, None, str(error))
    return _at_level(board, program.cost, share)


def _at_level(board: Board, cost: float, share: float) -> Score:
    reached = [level for level in board.levels if share >= level.share]
    needed = f"{share:.1%} of {board.counted} are right (the board needs {board.levels[0].share:.0%})"
    return Score(board, cost, share, reached[-1] if reached else None, "" if reached else needed)


def _share_right(program: BoardProgram, board: Board) -> float:
    if board.matrix_size:
        return float(np.mean(matmul_outputs_right(program, board.matrix_size)))
    assert board.instances is not None
    inputs, expected = board.instances()
    if len(program.outputs) != expected.shape[1]:
        raise GridProgramError(f"the board asks for {expected.shape[1]} outputs (got {len(program.outputs)})")
    right = program.run(inputs) == expected
    return float(right.mean(1).min() if board.counted == LABELS else right.all(1).mean())


def _score_solver(text: str, board: Board) -> Score:
    """The mean over the public seeds, as on the board. An exception of the function is what is wrong with it."""
    solve = load_solver(text)
    found = []
    for seed in SEEDS:
        try:
            cost, accuracy = score_solver(solve, seed)
            found.append((round(cost, 1), accuracy))
        except Exception as error:
            why = f"solve() raises {type(error).__name__} on seed {seed}: {str(error)[:200]}"
            return Score(board, float("nan"), 0.0, None, why)
    mean_cost, share = np.mean(found, axis=0).tolist()
    return _at_level(board, round(mean_cost, 1), share)
