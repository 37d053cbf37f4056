"""What can be compared: two batches of notebooks, or two states of the ledger (commits, or the ledger as it is now).

Of batches, a case is a notebook with its parameters except the seed; runs of a case with other seeds are its repeats.
Of the ledger, it is a problem with a model that one process found. The ledger only grows, so the measurements of the
first state are compared with those that the second has in addition.
"""

import json
import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sutrolib.batch import records
from sutrolib.batch.changes import Comparison, Facts, Value, case_of, compare
from sutrolib.batch.execute import conclusion_of
from sutrolib.batch.executed import read_executed
from sutrolib.batch.records import RunResult
from sutrolib.core import paths
from sutrolib.core.io import as_float, temporary_folder
from sutrolib.core.markdown import finding_in
from sutrolib.core.provenance import git
from sutrolib.core.records import UnreadableRecord, checked, read_json
from sutrolib.measurement.ledger import Ledger
from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Kind

CURRENT = "ledger"  # the name of the ledger as it is now


def results_of(folder: Path) -> list[RunResult]:
    """The newest run of each notebook and parameters in a batch's folder: its records, or else its executed copies."""
    if found := records.read_newest(folder):
        return found
    for number, path in enumerate(sorted(folder.glob("*.ipynb")), start=1):
        try:
            found.append(_read_copy(path, number))
        except (TypeError, ValueError) as error:
            warnings.warn(f"{path.name} was skipped: {error}", UnreadableRecord, stacklevel=2)
    return found


def _read_copy(path: Path, number: int) -> RunResult:
    executed, parameters = read_executed(path), finding_in(path).get("parameters") or {}
    run = ("", number, executed.name, executed.name, parameters, 0.0, executed.when.isoformat())
    return checked(RunResult(*run, error=executed.error, **conclusion_of(path)))


def compare_batches(first: Path, second: Path) -> Comparison:
    """What changed from one batch to another. Raises ValueError for a folder that holds no run."""
    sides = results_of(first), results_of(second)
    for folder, results in zip((first, second), sides, strict=True):
        if not results:
            raise ValueError(f"{folder} holds no run; name the folder of a batch, such as those under data/runs/")
    times = [sorted(result.when[:16] for result in side) for side in sides]
    ran = " -> ".join(f"{when[0]} to {when[-1]} UTC, {len(when)} runs" for when in times)
    values = [list(_batch_values(side)) for side in sides]
    return compare(values, [_batch_facts(side) for side in sides], [f"ran: {ran}", *_changed_sources(*sides)])


def _case(result: RunResult) -> str:
    return case_of((result.notebook, {name: value for name, value in result.parameters.items() if name != "seed"}))


def _batch_values(results: Iterable[RunResult]) -> Iterator[Value]:
    for result in results:
        for quantity, found in result.results.items():
            if (value := as_float(found)) is not None:
                seed = json.dumps(result.parameters.get("seed", 0))
                yield _case(result), quantity, seed, result.kinds.get(quantity, ""), "", value


def _batch_facts(results: Sequence[RunResult]) -> Facts:
    """The version of the library, and failures and signs of life by case."""
    versions = ", ".join(sorted({result.library for result in results if result.library}))
    facts = {("", "version of the library"): versions or "not recorded"}
    for case in dict.fromkeys(map(_case, results)):
        runs = [result for result in results if _case(result) == case]
        facts[case, "failed"] = f"{sum(not run.passed for run in runs)} of {len(runs)}"
        facts[case, "sign of life"] = ", ".join(sorted({run.sign for run in runs if run.sign})) or "none"
    return facts


def _changed_sources(*sides: Sequence[RunResult]) -> Iterator[str]:
    """Notebooks whose source changed: the same parameters and version, and yet another identity.

    A run that was killed or interrupted has no version, and its identity is the planned one.
    """
    before, after = (
        {(_case(r), r.parameters.get("seed"), r.library): r for r in side if r.identity and r.library} for side in sides
    )
    changed = {before[key].notebook for key in before if key in after and before[key].identity != after[key].identity}
    return (f"source changed: {name}" for name in sorted(changed))


def commit_of(name: str) -> str:
    """The hash of the commit of this name; empty if there is none, or no git."""
    with suppress(OSError):
        if not name.startswith("-"):  # git would take it for an option
            return git(paths.ROOT, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").strip()
    return ""


def ledger_at(commit: str, known: dict[str, Any] | None = None) -> list[Measurement]:
    """The measurements of a commit's ledger, without damaged ones; empty if it has no ledger.

    ``known`` is as for :meth:`Ledger.scan`. Raises OSError if git fails.
    """
    if not git(paths.ROOT, "ls-tree", "--name-only", commit, "--", _ledger_path()):
        return []
    with temporary_folder("ledger") as folder:
        packed = f"{folder}/ledger.tar"
        git(paths.ROOT, "archive", "--format=tar", "-o", packed, commit, "--", _ledger_path())
        shutil.unpack_archive(packed, folder, filter="data")  # refuses paths outside the folder
        ledger = Path(folder) / _ledger_path()
        return [*sorted(_first_layout(ledger), key=lambda m: m.when), *Ledger(ledger).read(known)[0]]


def _first_layout(folder: Path) -> Iterator[Measurement]:
    """The measurements of commits from when the ledger had a JSON file for each, under the names of that time."""
    for path in sorted(folder.glob("*.json")):
        try:
            record = read_json(path)
            record["prior_knowledge"] = record.pop("told")
            yield Measurement.from_dict(record)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue


def _ledger_path() -> str:
    return paths.published_ledger().relative_to(paths.ROOT).as_posix()


def compare_ledgers(before: Sequence[Measurement], after: Sequence[Measurement]) -> Comparison:
    """What the second state of the ledger has in addition to the first, compared with it."""
    same = {id(m) for m in before} & {id(m) for m in after}  # read once for both: these need not be compared
    changed = [[m for m in side if id(m) not in same] for side in (before, after)]
    known, later = ({_identity(m) for m in side} for side in changed)
    added = [m for m in changed[1] if _identity(m) not in known]
    gone = sum(_identity(m) not in later for m in changed[0])
    new = list(_ledger_values(added))
    again = {value[:2] for value in new}
    old = [value for value in _ledger_values(before) if value[:2] in again]  # what was not measured again is no news
    count = f"{len(before):,} -> {len(after):,} ({len(added):,} added, {gone:,} gone)"
    facts = (_ledger_facts(before), _ledger_facts(added)) if added else ({}, {})
    note = "A's are compared with those that B has in addition; on another machine, seconds and joules differ anyway"
    return compare((old, new), facts, [f"measurements: {count}", note])


def _ledger_facts(measurements: Sequence[Measurement]) -> Facts:
    """The properties of their machines, and their versions."""
    facts = {}
    for title in ("machine", "versions"):
        about = [dict(getattr(m, title)) for m in measurements]
        for key in sorted({key for properties in about for key in properties}):
            facts["", f"{title}, {key}"] = ", ".join(sorted({str(one.get(key, "none")) for one in about}))
    return facts


def _identity(measurement: Measurement) -> str:
    return json.dumps(measurement.to_dict(), sort_keys=True)


def _ledger_values(measurements: Iterable[Measurement]) -> Iterator[Value]:
    """The readings and the score. A case is a problem with a model, found by one process."""
    for m in measurements:
        model, problem = dict(m.model), dict(m.problem)
        process = {"process": m.rungs.get("process", "")}
        case = case_of((str(model.pop("name")), model | process), (str(problem.pop("name")), problem))
        for reading in m.readings:
            yield case, reading.name, m.seed, str(reading.kind), reading.unit, reading.value
        if m.score is not None:
            yield case, f"score, {m.score_name}", m.seed, str(Kind.COUNTED), "", m.score
