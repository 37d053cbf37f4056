"""A search asks the audit of proxies: the metric that it minimises may rank candidates wrongly (mistake 1).

The published audit (``data/results/audit.json``, notebook 24) says for each problem that was audited which metrics are
not safe in place of which more realistic ones. A search by such a metric measures its best :data:`RECHECKED` candidates
anew by the more realistic one, and keeps the best by that. A person may override this; the override stays in the study.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sutrolib.core import paths
from sutrolib.core.cube import RUNGS, Axis
from sutrolib.core.records import read_json
from sutrolib.core.types import Problem
from sutrolib.meters import METERS
from sutrolib.meters.base import Meter
from sutrolib.processes.budget import Override

RECHECKED = 5
PROXY_AUDIT = "proxy audit"  # what an override of the re-check names in place of a milestone


def found_unsafe(metric: str, rung: str) -> list[Mapping[str, str]]:
    """The verdicts that ``metric`` is not safe on the problem of ``rung``, the least realistic reference first.

    Each has the fields that :func:`sutrolib.guards.proxy_audit.save_verdicts` writes. A problem that was not audited
    takes the verdicts of all that were; one without a rung has none. Raises ValueError for a file that cannot be read.
    """
    try:
        stored = read_json(paths.audit()) if rung and paths.audit().exists() else []
        known = [one for one in stored if one["metric"] == metric]
        here = [one for one in known if one["rung"] == rung] or known
        unsafe = {one["reference"]: one for one in here if one["verdict"] == "not safe"}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{paths.audit()} cannot be read ({error!r}): restore it with git") from error
    return [unsafe[one.key] for one in RUNGS[Axis.METRIC] if one.key in unsafe]


def needed_recheck(metric: str, problem: Problem, overrides: Sequence[Override]) -> tuple[str, Meter | None]:
    """What the audit has against a search by ``metric``, in words (empty: nothing), and the meter of the re-check.

    That is the next rung of the metric axis in place of which the metric is not safe, and that works here; None where
    an override names :data:`PROXY_AUDIT`. Raises ValueError where no such rung works here and none was overridden.
    """
    meters, missing = {meter.name: meter for meter in METERS}, []
    override = next((one for one in overrides if one.milestone == PROXY_AUDIT), None)
    for found in found_unsafe(metric, problem.rung):
        source = f"audit on {found['rung']}, {found['when'][:10]}, commit {found['commit'] or 'unknown'}"
        why, reference = f"{found['why']} ({source})", meters[found["reference"]]
        if override:
            return f"{why}; the re-check was overridden by {override.who}: {override.why}", None
        if (available := reference.available()).ok:
            return f"{why}; up to {RECHECKED} of the best trials were measured anew by {reference.name}", reference()
        missing.append(f"{why}; {available.why}")
    if missing:
        ask = f"add Override({PROXY_AUDIT!r}, who, why) to the overrides to go on without a re-check"
        raise ValueError(f"{'; '.join(missing)}: {ask}")
    return "", None
