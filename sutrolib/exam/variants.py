"""The exam's models beyond the exam: a recipe without one of its ingredients, and all models on other corpora.

*Ablation.* Without an ingredient, the same number of updates ends at a higher loss, so energies cannot be compared. All
recipes are therefore trained to the same target loss. The length of an ablated recipe's schedule grows by factors of
sqrt(2) until it reaches the target on the first seed, and is interpolated between the last two, on the logarithm of the
length. A little longer, it is then trained on every seed, each until its own first evaluation at the target. The
ingredient saves the ratio of both costs on paired seeds.

*Corpora.* N-grams win on a small text, as they know only what they have read. On WikiText-103 the study group's
challenge rejected a counting model, which reached an accuracy of 0.63 where 0.70 was required. So every model is
trained once on a tenth of the text, on all of it, and on all plays of the package, and tested on the last tenth of its
own corpus. The results are saved after every run, and an interrupted series resumes from there.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from sutrolib.core.io import as_json
from sutrolib.core.records import checked
from sutrolib.core.stats import Interval
from sutrolib.core.types import Model, describe
from sutrolib.exam.entries import BASELINE, CLOSED, OPEN, Scale, TargetLoss
from sutrolib.exam.evaluate import evaluate
from sutrolib.exam.record import exam_path, load, read_record, save
from sutrolib.measurement.comparison import ratio_of_readings
from sutrolib.measurement.measure import Measurement
from sutrolib.measurement.passes import UPDATES
from sutrolib.meters.energy.combined import CombinedMeter
from sutrolib.models.language.distilled_gpt import DistilledGPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.language.learned_discounts import LeaveOneOutNGram
from sutrolib.problems.text import WindowedText, load_text

FULL_RECIPE = "full recipe"
CorpusRuns: TypeAlias = dict[str, dict[str, Measurement]]  # by corpus and model

_GROWTH = 2**0.5  # of the number of updates, from one training to the next
_MAX_LENGTH = 16  # times the recipe's own number of updates
_ROOM, _EVALUATIONS = (
    1.25,
    50,
)  # times the length on the first seed, as others need longer; and how often all are evaluated
_CORPUS_SEED = 0
_LONGER = 4  # times the updates of the closed recipe: what more energy brings


def ablated_recipes(recipe: DistilledGPT) -> dict[str, tuple[DistilledGPT, ...]]:
    """The recipe without each ingredient, by name; several learning rates if the rest may need another one."""

    def changed(**fields: Any) -> DistilledGPT:
        return dataclasses.replace(recipe, **fields)

    lower = {"lr": recipe.lr / 3, "matrix_lr": recipe.matrix_lr / 3}
    return {
        "n-gram targets": (changed(distill_weight=0.0),),
        "previous-token initialisation": (changed(value_gain=0.0),),
        "Muon (Adam instead)": tuple(changed(optimizer="adam", matrix_lr=rate) for rate in (1e-3, 3e-3, 1e-2)),
        "learning-rate decay": (changed(lr_decay=False), changed(lr_decay=False, **lower)),
        "bfloat16 (float32 instead)": (changed(precision="float32"),),
    }


@dataclass(frozen=True)
class AblatedRecipe:
    """A recipe, the runs that determined its length, and its runs to the target loss on every seed.

    ``target_missed``: on a seed even the longest training missed the loss, so its costs are lower bounds.
    """

    model: Mapping[str, Any]
    length_runs: tuple[Measurement, ...]
    runs: tuple[Measurement, ...] = ()
    target_missed: bool = False

    @property
    def loss_at_own_length(self) -> float:
        """The loss on the first seed at the full recipe's length; the lowest, of several learning rates."""
        length = self.length_runs[0].model["max_steps"]
        return min(_loss(run) for run in self.length_runs if run.model["max_steps"] == length)

    @property
    def loss(self) -> float:
        """The mean over all seeds that did not fail."""
        return statistics.fmean(run.scores["loss"] for run in self.runs if not run.failure)

    @property
    def updates(self) -> float:
        """The mean number of updates to the target, over all seeds that did not fail; the whole length if missed."""
        found = [{r.name: r.value for r in run.readings}.get(UPDATES, 0) for run in self.runs if not run.failure]
        return statistics.fmean(updates or self.model["max_steps"] for updates in found)


def _loss(run: Measurement) -> float:
    """The loss of a run, infinite if it failed."""
    return math.inf if run.failure else run.scores["loss"]


def train_until_loss(
    problem: WindowedText, recipes: Sequence[DistilledGPT], loss: float, seed: int, meter: CombinedMeter
) -> tuple[DistilledGPT, AblatedRecipe]:
    """The best of ``recipes``, with the number of updates that reaches ``loss``, and the runs that determined it.

    All are run at their own length; the best one continues at 2^(1/2), 2, ... 16 times that length.
    """
    runs = [evaluate(problem, recipe, seed, meter) for recipe in recipes]
    best = min(range(len(recipes)), key=lambda number: _loss(runs[number]))
    recipe, losses = recipes[best], [_loss(runs[best])]
    lengths = [recipe.max_steps]
    while losses[-1] > loss and len(lengths) <= 2 * math.log2(_MAX_LENGTH):
        lengths.append(round(_GROWTH ** len(lengths) * recipe.max_steps))
        runs.append(evaluate(problem, dataclasses.replace(recipe, max_steps=lengths[-1]), seed, meter))
        losses.append(_loss(runs[-1]))
    length = lengths[-1]
    if len(lengths) > 1 and losses[-1] <= loss and math.isfinite(losses[-2]):  # between the last two
        share = (losses[-2] - loss) / (losses[-2] - losses[-1])
        length = round(math.exp(math.log(lengths[-2]) + share * math.log(lengths[-1] / lengths[-2])))
    found = dataclasses.replace(recipe, max_steps=length)
    return found, AblatedRecipe(describe(found), tuple(runs), target_missed=losses[-1] > loss)


def ablate(
    problem: WindowedText,
    recipe: DistilledGPT,
    seeds: Sequence[int],
    meter: CombinedMeter,
    on_progress: Callable[[str], None] = lambda _: None,
) -> dict[str, AblatedRecipe]:
    """The full recipe and the recipe without each ingredient, all trained to the target loss of ``problem``.

    The lengths are determined on the first seed; then all are trained on every seed in turn. Raises ValueError if the
    full recipe does not come to the target.
    """
    target, models, found = problem.target_loss, dict[str, DistilledGPT](), dict[str, AblatedRecipe]()
    for name, recipes in {FULL_RECIPE: (recipe,), **ablated_recipes(recipe)}.items():
        longer, found[name] = train_until_loss(problem, recipes, target, seeds[0], meter)
        models[name] = dataclasses.replace(longer, max_steps=math.ceil(_ROOM * longer.max_steps))
        if name == FULL_RECIPE and found[name].target_missed:
            raise ValueError(f"the full recipe does not reach a loss of {target:g}: fix the recipe or its target")
        on_progress(f"{name}: {models[name].max_steps} updates at most")
    runs: dict[str, list[Measurement]] = {name: [] for name in models}
    for seed in seeds:
        for name, model in models.items():
            every = max(1, model.max_steps // _EVALUATIONS)
            runs[name].append(evaluate(problem, model, seed, meter, stop=TargetLoss(target, every)))
        on_progress(f"seed {seed} done")
    return {name: _with_runs(part, models[name], runs[name], target) for name, part in found.items()}


def _with_runs(part: AblatedRecipe, model: DistilledGPT, runs: Sequence[Measurement], target: float) -> AblatedRecipe:
    missed = any(_loss(run) > target for run in runs)
    return AblatedRecipe(describe(model), part.length_runs, tuple(runs), missed)


def savings(recipes: Mapping[str, AblatedRecipe], reading: str) -> dict[str, Interval]:
    """For each ingredient, the reading without it over that of the full recipe, with its 95 % interval.

    Failed runs are left out, and so is an ingredient without other runs.
    """
    full = {run.seed: run.reading(reading) for run in recipes[FULL_RECIPE].runs if not run.failure}
    found = {}
    for name, recipe in recipes.items():
        costs = {run.seed: run.reading(reading) for run in recipe.runs if run.seed in full and not run.failure}
        if name != FULL_RECIPE and costs:
            found[name] = ratio_of_readings(list(costs.values()), [full[seed] for seed in costs])
    return found


def save_ablation(scale: Scale, recipes: Mapping[str, AblatedRecipe]) -> Path:
    """Save an ablation of this scale."""
    return save(scale.name, "ablation", {name: dataclasses.asdict(recipe) for name, recipe in recipes.items()})


def load_ablation(scale: Scale) -> dict[str, AblatedRecipe]:
    """The saved ablation of this scale. Raises OSError if there is none."""
    found = {}
    for name, fields in load(scale.name, "ablation").items():
        runs = {field: tuple(map(Measurement.from_dict, fields[field])) for field in ("length_runs", "runs")}
        found[name] = checked(AblatedRecipe(**{**fields, **runs}))
    return found


def corpora(scale: Scale) -> dict[str, WindowedText]:
    """The scale's problem on a tenth of its text, on all of it, and on all plays."""
    usual = scale.problem
    characters = usual.characters or len(load_text(usual.text))
    return {
        f"{characters // 10:,} characters": dataclasses.replace(usual, characters=characters // 10),
        f"{characters:,} characters": usual,
        "all plays": dataclasses.replace(usual, text="all plays", characters=0),
    }


def corpus_models(scale: Scale) -> dict[str, Model]:
    """The baseline, all entries that are not online, the closed recipe trained longer, and n-grams of other orders."""
    found: dict[str, Model] = {BASELINE: scale.baseline}
    for division in (CLOSED, OPEN):
        found |= {entry.name: entry.model for entry in scale.division(division) if not entry.online}
    for name, model in tuple(found.items()):
        if isinstance(model, DistilledGPT):
            longer = dataclasses.replace(model, max_steps=_LONGER * model.max_steps)
            found[f"{name}, {_LONGER} times as long"] = longer
    others: dict[str, Model] = {f"Kneser-Ney {order}-gram": KneserNey(order) for order in (3, 6)}
    others[LeaveOneOutNGram.name] = LeaveOneOutNGram()
    return found | {name: model for name, model in others.items() if model not in found.values()}


def load_runs(scale: Scale) -> CorpusRuns:
    """The runs so far, with those of the exam itself, without those whose model or problem has changed since."""
    exams = [read_record(path) for name in (CLOSED, OPEN) if (path := exam_path(scale.name, name)).exists()]
    known = [run for record in exams for name in record.model_names for run in record.runs(name)]
    known += [Measurement.from_dict(run) for runs in load(scale.name, "corpora", {}).values() for run in runs.values()]
    found: CorpusRuns = {}
    for corpus, problem in corpora(scale).items():
        found[corpus] = {}
        for name, model in corpus_models(scale).items():
            wanted = as_json(describe(model)), as_json(describe(problem)), _CORPUS_SEED
            for run in known:
                if (run.model, run.problem, run.seed) == wanted:
                    found[corpus][name] = run
    return found


def run_corpora(
    scale: Scale, meter: CombinedMeter, on_run: Callable[[str, str, Measurement], None] = lambda *_: None
) -> CorpusRuns:
    """Run what is missing, save each run, and return all; ``on_run`` gets corpus, model and run."""
    runs = load_runs(scale)
    for corpus, problem in corpora(scale).items():
        for name, model in corpus_models(scale).items():
            if name not in runs[corpus]:
                run = runs[corpus][name] = evaluate(problem, model, _CORPUS_SEED, meter)
                made = {key: {model: run.to_dict() for model, run in found.items()} for key, found in runs.items()}
                save(scale.name, "corpora", made)
                on_run(corpus, name, run)
    return runs
