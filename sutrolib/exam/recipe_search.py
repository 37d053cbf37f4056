"""How the recipes of the final exam are found: what is searched, where, and for which loss.

A search never sees the validation text: it runs on the training text, of which the last tenth is held out
(:func:`sutrolib.problems.holdout.rehearsal`). What is asked there is what the baseline reaches there, and a margin,
so that what solves it on one seed does so on others.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from sutrolib.core import paths
from sutrolib.core.io import write_json
from sutrolib.core.provenance import commit, machine, now
from sutrolib.exam.entries import Scale, taught_like
from sutrolib.guards.checks import Check
from sutrolib.guards.verification import Verification
from sutrolib.measurement.measure import score_of
from sutrolib.models.language.distilled_gpt import TaughtGPT
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.language.learned_discounts import LeaveOneOutNGram
from sutrolib.models.language.product_of_experts import Blend
from sutrolib.problems.holdout import search_holdout
from sutrolib.problems.windowed_text import ExamText
from sutrolib.processes.dimension import Dimension, Range
from sutrolib.processes.space import Space, family_of, space_of
from sutrolib.processes.study import Study

Record: TypeAlias = dict[str, Any]  # plain JSON

# Nats below the baseline's loss. It was 0.02, twice the deviation from seed to seed. What that found was taken to the
# exam, where its loss was below the baseline's by 0.01 to 0.02, and its accuracy by half a point, on both of its seeds;
# the exam was stopped, and the margin is what was learned from it: no setting was chosen on that text.
MARGIN = 0.08
LOWER = 0.39  # nats below it: on Shakespeare, beyond the published recipe for a graphics card
# Where the last search begins: a recipe of the search before it (its trial 47), with an n-gram of one character more.
FIRST = {
    "lr": 0.0365,
    "matrix_lr": 0.0139,
    "beta1": 0.627,
    "momentum": 0.756,
    "trust": 0.975,
    "order": 5,
    "spread": 0.123,
    "handed_on": 0.22,
}


@dataclass(frozen=True)
class Hunt:
    """One search: the problem with the loss that is asked, and where to look."""

    problem: ExamText
    space: Space


def baseline_loss(scale: Scale, seed: int) -> float:
    """The loss in nats that the baseline reaches on the rehearsal of the scale's problem: one whole training."""
    task = asked_at(scale, 1.0).sample(seed)
    return -score_of(task, scale.baseline.fit(task.for_training(), seed))


def hunts(scale: Scale, loss: float) -> dict[str, Hunt]:
    """The searches of a scale, where the baseline reaches ``loss`` on the rehearsal.

    A closed recipe and a count that are as good, and a blend of both that is better by :data:`LOWER`.
    """
    as_good, low = (asked_at(scale, loss - less) for less in (MARGIN, LOWER))
    return {
        "closed": Hunt(as_good, closed_space(scale.baseline)),
        "counting": Hunt(as_good, counting_space()),
        "low loss": Hunt(low, blend_space(scale.baseline)),
    }


def asked_at(scale: Scale, loss: float) -> ExamText:
    """The rehearsal of the scale's problem, solved at ``loss`` nats."""
    stands_in = search_holdout(scale.problem)
    assert isinstance(stands_in, ExamText)
    return dataclasses.replace(stands_in, asked=loss)


def closed_space(baseline: GPT) -> Space:
    """The fields of :class:`TaughtGPT` that are no part of the architecture."""
    start = taught_like(baseline, max(1, baseline.max_steps // 9), max(1, 11 * baseline.batch // 12), **FIRST)
    return space_of(start, **_training(start))


def counting_space() -> Space:
    """Both n-grams."""
    return Space(
        (
            family_of(KneserNey(), order=Range(3, 8, whole=True)),
            family_of(
                LeaveOneOutNGram(samples=30_000, batch=5_000),
                order=Range(3, 8, whole=True),
                steps=Range(5, 60, log=True, whole=True),
            ),
        )
    )


def blend_space(baseline: GPT) -> Space:
    """The blend's exponents, the length of what it counts, and the network's size and training."""
    fields = {"trust": 0.0, "layers": min(2, baseline.layers)}
    network = taught_like(baseline, max(1, baseline.max_steps // 6), baseline.batch, **fields)
    start = Blend(network=network)
    inner = {f"network.{name}": dimension for name, dimension in _training(network).items()}
    inner["network.trust"] = Range(0.0, 0.6)
    return space_of(
        start,
        **{
            "counts.order": Range(6, 9, whole=True),
            "counts.steps": Range(10, 60, log=True, whole=True),
            "trust_counts": Range(0.65, 0.9),
            "trust_network": Range(0.15, 0.4),
            "network.layers": Range(1, baseline.layers, whole=True),
            **inner,
        },
    )


def _training(start: TaughtGPT) -> dict[str, Dimension]:
    """Ranges around a start that is known to work: most recipes of wider ranges never reach the loss."""
    return {
        "max_steps": Range(max(1, int(0.5 * start.max_steps)), int(1.6 * start.max_steps), log=True, whole=True),
        "batch": Range(max(1, start.batch // 2), int(1.5 * start.batch), log=True, whole=True),
        "lr": Range(0.012, 0.04, log=True),
        "matrix_lr": Range(0.006, 0.018, log=True),
        "beta1": Range(0.6, 0.85),
        "momentum": Range(0.7, 0.9),
        "iterations": Range(3, 5, whole=True),
        "trust": Range(0.8, 1.0),
        "order": Range(4, 5, whole=True),
        "spread": Range(0.07, 0.15, log=True),
        "handed_on": Range(0.15, 0.5, log=True),
    }


def keep(scale: Scale, hunt: str, study: Study) -> Path:
    """Add a search, with what it cost, to the scale's file of searches, in place of an earlier one of its sort."""
    path = _path_of(scale, "searches")
    record = {**study.plain(), "hunt": hunt, "commit": commit(), "when": now(), "machine": machine()}
    kept = [old for old in _read(path) if _sort(old) != _sort(record)]
    return write_json(path, [*kept, record])


def kept(scale: Scale) -> dict[str, list[Record]]:
    """The kept searches of each hunt at this scale, as plain JSON, in the order in which they were made."""
    found: dict[str, list[Record]] = {}
    for record in _read(_path_of(scale, "searches")):
        found.setdefault(record["hunt"], []).append(record)
    return found


def keep_checks(scale: Scale, found: Mapping[str, Verification]) -> Path:
    """Write what the checks saw of recipes, by name, to the scale's file of verifications."""
    content = {name: dataclasses.asdict(one) for name, one in found.items()}
    return write_json(_path_of(scale, "verification"), content)


def kept_checks(scale: Scale) -> dict[str, Verification]:
    """The kept verifications of this scale, by the recipe's name; none where nothing was kept."""
    path = _path_of(scale, "verification")
    found = json.loads(path.read_bytes()) if path.exists() else {}
    return {
        name: Verification(one["problem"], one["model"], tuple(Check(**check) for check in one["checks"]))
        for name, one in found.items()
    }


def _path_of(scale: Scale, what: str) -> Path:
    return paths.exam() / f"{scale.name}_{what}.json"


def _read(path: Path) -> list[Record]:
    found: list[Record] = json.loads(path.read_bytes()) if path.exists() else []
    return found


def _sort(record: Record) -> Any:
    """What makes it another search: hunt, process, problem and space, as they come back from a file."""
    return json.loads(json.dumps([record[name] for name in ("hunt", "process", "problem", "space")]))
