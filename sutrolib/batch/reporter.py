"""What a batch is, and the interface by which it reports its progress."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sutrolib.batch.execute import PlannedRun
from sutrolib.batch.records import RunResult


@dataclass(frozen=True)
class Batch:
    """The folder, the runs to make, the results that are already there, and how many jobs were given more than once."""

    folder: Path
    runs: tuple[PlannedRun, ...]
    done: tuple[RunResult, ...] = ()
    repeated: int = 0

    @property
    def total(self) -> int:
        """The number of different runs."""
        return len(self.runs) + len(self.done)


class Reporter(Protocol):
    """Is called as a batch makes progress, always from the thread that runs the batch."""

    def batch_started(self, batch: Batch) -> None: ...
    def job_started(self, run: PlannedRun) -> None: ...
    def cell_started(self, cell: int) -> None: ...
    def job_lost(self, run: PlannedRun, again: bool) -> None: ...
    def job_ended(self, result: RunResult) -> None: ...
