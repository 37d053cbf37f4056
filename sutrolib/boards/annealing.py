"""Search from a plain grid program: rounds of simulated annealing of its order, each with a search for copies."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import ClassVar

from sutrolib.boards import naive
from sutrolib.boards.copies import with_copies
from sutrolib.boards.grid_text import parse
from sutrolib.boards.order_search import anneal, plan_of
from sutrolib.boards.placement import Operations
from sutrolib.boards.registry import find_board
from sutrolib.boards.task import BoardModel
from sutrolib.models.fields import float_field, int_field
from sutrolib.processes.search import ProposalRequest, Search, SpaceExhausted
from sutrolib.processes.space import Proposal


@dataclass(frozen=True)
class AnnealedProgram(BoardModel):
    """The plain program of a board after some ``rounds``; each has ``steps`` of annealing, and keeps what is better.

    Temperatures fall from ``hot`` to ``cold`` in each round, in units of the board's cost.
    """

    board: str = "matmul-4"
    rounds: int = int_field(0, "rounds", 0, 100, search=(0, 100))
    steps: int = int_field(500_000, "steps", 1, 10**9)
    hot: float = float_field(1.0, 0.01, 1e6, "reads x distance", log=True)
    cold: float = float_field(0.08, 0.01, 1e6, "reads x distance", log=True)
    price_rounds: int = int_field(500, "rounds", 1, 10_000)
    seed: int = int_field(0, "seed", 0, 10**6)

    name: ClassVar[str] = "annealed program"
    prior_knowledge: ClassVar[str] = "a correct program; which operations may change places"

    def text(self) -> str:
        """The program as the board reads it."""
        return self.operations().text()

    def operations(self) -> Operations:
        """What it computes, in the order found. Raises ValueError for a board that has no plain program here."""
        return _after(self)


@functools.lru_cache(maxsize=64)
def _after(model: AnnealedProgram) -> Operations:
    board = find_board(model.board)
    if not model.rounds:
        return Operations.of(parse(naive.start(board), board.instruction_set))
    best = _after(dataclasses.replace(model, rounds=model.rounds - 1))
    plan = plan_of(parse(best.text(), board.instruction_set))
    seed = 1000 * model.seed + model.rounds
    found = anneal(plan, model.steps, seed, model.hot, model.cold).operations()
    copied = with_copies(found, model.price_rounds).operations
    return min((best, copied), key=lambda operations: operations.cost)


@dataclass(frozen=True, kw_only=True)
class Annealing(Search):
    """Simulated annealing, round after round from the plain program; a trial is a round."""

    name: ClassVar[str] = "simulated annealing"
    rung: ClassVar[str] = "search"

    def propose(self, request: ProposalRequest) -> Proposal:
        """One more round. Raises SpaceExhausted after the last one."""
        start = request.space.start
        try:
            request.space.family(start.family).dimensions["rounds"].validate(request.index)
        except ValueError:
            raise SpaceExhausted("all rounds are done") from None
        return Proposal(start.family, {**start.settings, "rounds": request.index})
