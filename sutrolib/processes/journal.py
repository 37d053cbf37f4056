"""The journal file of a study: what Optuna reads and appends, one entry a line, shared by several processes.

Optuna's own file backend leaves a torn line behind a full disk or a killed writer, and refuses the whole file from then
on. Here a writer that fails takes its line back, the next one cuts off what a killed one left, and a damaged line is
skipped and named.
"""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend
from optuna.storages.journal._storage import JournalStorageReplayResult

from sutrolib.core.records import UnreadableRecord, append_bytes, check_regular, ends_in_a_line, parse

_FIRST = b'{"op_code"'  # what every line begins with


class StudyJournal(BaseJournalBackend):
    """The journal in a file, of one study of this name.

    ``check(entry)`` raises an error for an entry that is damaged. ``lock`` keeps out other processes, and may be
    entered again by who holds it. Raises ValueError, before anything is written, for a file that is no journal.
    """

    def __init__(
        self,
        path: Path,
        lock: contextlib.AbstractContextManager[Any],
        study: str,
        check: Callable[[dict[str, Any]], object],
    ) -> None:
        self._path, self._lock, self._study, self._check = path, lock, study, check
        self._replay = JournalStorageReplayResult("check")
        self._entries: list[dict[str, Any]] = []  # the sound ones of the lines that were read
        self._bytes = self._lines = 0
        if path.exists():
            check_regular(path)
            self._read_on()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """The entries from this number on; damaged lines do not count."""
        if self._path.exists():
            self._read_on()
        return iter(self._entries[log_number_from:])

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append entries, flushed to disk. Raises OSError if they cannot be written; then none of them is there."""
        content = b"".join(json.dumps(log, separators=(",", ":")).encode() + b"\n" for log in logs)
        with self._lock:
            self.cut_off_torn_line()
            append_bytes(self._path, content)

    def cut_off_torn_line(self) -> None:
        """Cut off what follows the last line end: its process died while writing. Only for who holds the lock."""
        if not ends_in_a_line(self._path):
            os.truncate(self._path, self._path.read_bytes().rfind(b"\n") + 1)

    def _read_on(self, locked: bool = False) -> None:
        """Read the lines that are new. One that seems damaged is read again under the lock: it may be half written."""
        with self._path.open("rb") as file:
            file.seek(self._bytes)
            for line in file:
                whole = line.endswith(b"\n")
                if not whole and (self._lines or _FIRST.startswith(line[: len(_FIRST)])):
                    return  # it is being written, or torn
                why = self._damage(line)
                if why and not self._lines:
                    what = f"is no journal of a study (line 1: {why}); it was left as it is: name another file"
                    raise ValueError(f"{self._path} {what}")
                if why and not locked:
                    with self._lock:
                        return self._read_on(locked=True)
                self._bytes += len(line)
                self._lines += 1
                if why:
                    warnings.warn(
                        f"{self._path}, line {self._lines} is damaged and was skipped ({why})",
                        UnreadableRecord,
                        stacklevel=2,
                    )

    def _damage(self, line: bytes) -> str:
        """What is wrong with a line, in words; an entry that is sound is kept."""
        try:
            entry = parse(line, constant=float)
            self._check(entry)
            self._replay.apply_logs([entry])
            if [study.study_name for study in self._replay.get_all_studies()] != [self._study]:
                return "it begins no study"
        except Exception as error:  # Optuna has no error of its own for it
            return f"{type(error).__name__}: {error}"
        self._entries.append(entry)
        return ""
