"""What each ingredient of a recipe saves: the recipe without it, trained for as long as it then takes.

Without an ingredient the same number of updates ends at a higher loss, and a loss is no energy. So the rest is trained
for longer, until it reaches the loss that was asked of the recipe; what it then takes over what the recipe takes, on
paired seeds, is what the ingredient saves.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sutrolib import places
from sutrolib.exam_entries import Scale
from sutrolib.exam_outcome import student
from sutrolib.exam_sitting import sit
from sutrolib.ledger import of_plain, plain, write_atomically
from sutrolib.measure import Measurement
from sutrolib.meters.together import Together
from sutrolib.models.taught import TaughtGPT
from sutrolib.nouns import Interval, describe
from sutrolib.problems.examined import ExamText

WHOLE = "the whole recipe"
STRETCH = 2**0.5  # from one length of training to the next one that is tried
LONGEST = 16  # times the recipe's own length


def without(recipe: TaughtGPT) -> dict[str, tuple[TaughtGPT, ...]]:
    """The recipe with one ingredient left out, by its name; at several rates, where others may suit what is left."""

    def less(**fields: Any) -> TaughtGPT:
        return dataclasses.replace(recipe, **fields)

    lower = {"lr": recipe.lr / 3, "matrix_lr": recipe.matrix_lr / 3}
    return {
        "the n-gram's targets": (less(trust=0.0),),
        "the start that looks back": (less(handed_on=0.0),),
        "Muon (Adam instead)": tuple(less(optimizer="adam", matrix_lr=rate) for rate in (1e-3, 3e-3, 1e-2)),
        "rates that fall": (less(decay=False), less(decay=False, **lower)),
        "bfloat16 (float32 instead)": (less(precision="float32"),),
    }


@dataclass(frozen=True)
class Part:
    """A recipe, with the runs that found out how long it has to be, and its runs on every seed."""

    model: Mapping[str, Any]
    way: tuple[Measurement, ...]
    runs: tuple[Measurement, ...]

    @property
    def at_first(self) -> tuple[Measurement, ...]:
        """The runs on the way that were as long as the whole recipe, one for each rate that was tried."""
        return tuple(run for run in self.way if run.model["max_steps"] == self.way[0].model["max_steps"])

    @property
    def missed(self) -> bool:
        """Whether even the longest training missed the loss that was asked: what is read is then the least it takes."""
        return bool(self.way) and not self.way[-1].solved


def long_enough(
    problem: ExamText, recipes: Sequence[TaughtGPT], seed: int, together: Together
) -> tuple[TaughtGPT, list[Measurement]]:
    """The first of ``recipes``, at the shortest of their lengths, that solves ``problem``; and every run on the way.

    The lengths are those of the recipes times 1, 2^(1/2), 2, ... 16. Where none solves it, the longest one is returned.
    """
    runs = []
    for power in range(2 * int(math.log2(LONGEST)) + 1):
        for recipe in recipes:
            longer = dataclasses.replace(recipe, max_steps=round(STRETCH**power * recipe.max_steps))
            runs.append(sit(problem, longer, seed, together))
            if runs[-1].solved:
                return longer, runs
    return longer, runs


def ablate(
    problem: ExamText,
    recipe: TaughtGPT,
    seeds: Sequence[int],
    together: Together,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, Part]:
    """The whole recipe and the recipe without each ingredient, on ``problem``, whose ``asked`` each is to reach.

    How long each has to be is found on the first seed; then all are trained on every seed in turn. ``told`` hears how
    it goes on.
    """
    models, ways = {WHOLE: recipe}, {WHOLE: list[Measurement]()}
    for name, recipes in without(recipe).items():
        models[name], ways[name] = long_enough(problem, recipes, seeds[0], together)
        told(f"without {name}: {models[name].max_steps} updates, for {recipe.max_steps}")
    runs: dict[str, list[Measurement]] = {name: [] for name in models}
    for seed in seeds:
        for name, model in models.items():
            runs[name].append(sit(problem, model, seed, together))
        told(f"seed {seed} done")
    return {name: Part(describe(model), tuple(ways[name]), tuple(runs[name])) for name, model in models.items()}


def saved(parts: Mapping[str, Part], reading: str) -> dict[str, Interval]:
    """For each ingredient, the reading without it over that of the whole recipe, with Student's interval at 95 %."""
    whole = [math.log(run.reading(reading).value) for run in parts[WHOLE].runs]
    found = {}
    for name, part in parts.items():
        if name != WHOLE:
            logs = student(whole, [math.log(run.reading(reading).value) for run in part.runs])
            found[name] = Interval(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high))
    return found


def keep(scale: Scale, parts: Mapping[str, Part]) -> Path:
    """Write all of it to the scale's file of its ablation."""
    content = {
        name: {"model": part.model, "way": [plain(r) for r in part.way], "runs": [plain(r) for r in part.runs]}
        for name, part in parts.items()
    }
    path = _path_of(scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content, indent=1, allow_nan=False).encode() + b"\n")
    return path


def kept(scale: Scale) -> dict[str, Part]:
    """What was kept of this scale. Raises OSError where nothing was."""
    found = json.loads(_path_of(scale).read_bytes())
    return {
        name: Part(part["model"], tuple(map(of_plain, part["way"])), tuple(map(of_plain, part["runs"])))
        for name, part in found.items()
    }


def _path_of(scale: Scale) -> Path:
    return places.exam() / f"{scale.name}_ablation.json"
