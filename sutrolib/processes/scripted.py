"""Tuning by a script, under the same budget and by the same evaluator as the searches that it is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from sutrolib.processes.search import ProposalRequest, Search, SpaceExhausted
from sutrolib.processes.space import Proposal
from sutrolib.processes.study import best_of


@dataclass(frozen=True, kw_only=True)
class ScriptedTuning(Search):
    """The changes of a list that a person wrote in advance, in order, each on the best so far.

    :class:`sutrolib.processes.manual.ManualTuning` asks for more: five seeds for every change, and a verdict.
    """

    changes: tuple[Mapping[str, Any], ...]

    name: ClassVar[str] = "by hand"  # as that of ManualTuning, on the cube
    rung: ClassVar[str] = "by-hand"

    def propose(self, request: ProposalRequest) -> Proposal:
        """The start of the space, then one change after the other. Raises SpaceExhausted at the end of the list."""
        if request.first:
            return request.space.start
        number = request.index - 1 + request.attempt
        if number >= len(self.changes):
            raise SpaceExhausted("the list of changes has ended")
        best, start = best_of(request.history), request.space.start
        found = best.proposal if best and best.proposal else start
        if found.family != start.family:
            raise SpaceExhausted("the best so far is of another family")
        return request.space.validate(found.family, {**found.settings, **self.changes[number]})
