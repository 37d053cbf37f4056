import dataclasses

import numpy as np
import pytest
import torch
from exams import TINY, fake_run

from sutrolib.core.types import describe
from sutrolib.exam import variants
from sutrolib.exam.entries import SCALES, scale_of
from sutrolib.exam.plots import draw_savings
from sutrolib.exam.recipe_search import (
    LOW_LOSS_MARGIN,
    TARGET_MARGIN,
    baseline_loss,
    holdout_problem,
    load_searches,
    load_verifications,
    recipe_searches,
    save_search,
    save_verifications,
)
from sutrolib.exam.variants import (
    FULL_RECIPE,
    ablate,
    ablated_recipes,
    load_ablation,
    save_ablation,
    savings,
    train_until_loss,
)
from sutrolib.guards.verification import Verification
from sutrolib.measurement.checks import CheckResult
from sutrolib.meters import OperationCount
from sutrolib.meters.base import Kind, Reading
from sutrolib.models.language.distilled_gpt import DistilledGPT
from sutrolib.models.language.gpt import GPT
from sutrolib.problems.text import WindowedText
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.samplers import HillClimbing, RandomSearch

RECIPE = DistilledGPT(layers=1, heads=2, width=8, block_size=8, batch=4, max_steps=10)
PROBLEM = WindowedText(characters=3000, context=8, min_context=4, target_loss=2.0)


@pytest.mark.parametrize("name", SCALES)
def test_a_search_never_has_the_validation_text(name):
    scale = scale_of(name)
    whole = scale.problem.sample(0)
    for search in recipe_searches(scale, 1.83).values():
        task = search.problem.sample(0)
        seen = torch.cat([task.train.x, task.train.y[-1], task.test.x, task.test.y[-1]])
        assert torch.equal(seen, torch.cat([whole.train.x, whole.train.y[-1]])[: len(seen)])


def test_the_target_is_the_baselines_loss_less_a_margin():
    loss = baseline_loss(TINY, 0)
    assert 2 < loss < 5
    found = recipe_searches(TINY, loss)
    assert [search.problem.target_loss for search in found.values()] == [
        loss,
        loss,
        loss - TARGET_MARGIN,
        loss - TARGET_MARGIN,
        loss - LOW_LOSS_MARGIN,
    ]
    assert holdout_problem(TINY, 2.0).target == -2.0


def test_the_closed_space_changes_nothing_of_the_architecture():
    space = recipe_searches(scale_of("cpu"), 1.83)["closed"].space
    baseline = GPT()
    rng = np.random.default_rng(0)
    for _ in range(20):
        model = space.model(space.sample(rng))
        assert all(getattr(model, n) == getattr(baseline, n) for n in ("layers", "heads", "width", "block_size"))
    assert space.start.settings["max_steps"] < baseline.max_steps / 5


@pytest.mark.slow
def test_a_search_is_saved_and_a_later_one_replaces_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path))
    assert load_searches(TINY) == {}
    search = recipe_searches(TINY, 5.0)["n-gram"]
    for process, trials in ((RandomSearch, 1), (RandomSearch, 2), (HillClimbing, 1)):
        study = process().improve(search.problem, search.space, OperationCount(), SearchBudget(trials=trials))
        save_search(TINY, "n-gram", study)
    found = load_searches(TINY)
    assert {name: [r["process"] for r in records] for name, records in found.items()} == {
        "n-gram": ["random search", "hill climbing"]
    }
    assert found["n-gram"][0]["n_trials"] == 2
    assert found["n-gram"][1]["best"]["cost"] == study.best.cost
    assert load_searches(scale_of("smoke")) == {}


def test_each_ingredient_is_left_out_alone():
    for name, found in ablated_recipes(RECIPE).items():
        for recipe in found:
            changed = {f.name for f in dataclasses.fields(RECIPE) if getattr(recipe, f.name) != getattr(RECIPE, f.name)}
            assert (
                changed - {"lr", "matrix_lr"}
                == {
                    "n-gram targets": {"distill_weight"},
                    "previous-token initialisation": {"value_gain"},
                    "Muon (Adam instead)": {"optimizer"},
                    "learning-rate decay": {"lr_decay"},
                    "bfloat16 (float32 instead)": {"precision"},
                }[name]
            )


@pytest.fixture
def trained(monkeypatch):
    """The models that were trained; their loss falls with the updates: the full recipe's to 2 in ten of them."""
    found = []

    def fake(problem, model, seed, meter, stop=None):
        found.append(model)
        worth = 10 if model.distill_weight == 0 or not model.value_gain else 1

        def loss_after(updates):
            return 2.0 * (10 * worth / updates) ** 0.1

        updates = model.max_steps
        if stop:  # at the first evaluation that reaches it
            points = range(stop.every, model.max_steps + 1, stop.every)
            updates = next((n for n in points if loss_after(n) <= stop.loss), updates)
        loss = loss_after(updates)
        run = fake_run(seed, energy=float(updates), loss=loss, score=-loss, target=-2.0001)
        readings = (*run.readings, Reading("updates", updates, "updates", Kind.COUNTED))
        scores = {**run.scores, "loss": loss}
        return dataclasses.replace(run, model=describe(model), readings=readings, scores=scores)

    monkeypatch.setattr(variants, "evaluate", fake)
    return found


def test_the_length_that_reaches_the_loss_is_found_between_two(trained):
    model, part = train_until_loss(PROBLEM, ablated_recipes(RECIPE)["n-gram targets"], 2.0, 0, None)
    assert [m.max_steps for m in trained] == [10, 14, 20, 28, 40, 57, 80, 113]
    assert (model.max_steps, model.distill_weight) == (pytest.approx(100, abs=3), 0.0)  # a loss of 2, by the rule above
    assert (part.loss_at_own_length, part.target_missed) == (pytest.approx(2 * 10**0.1, abs=0.01), False)


def test_of_several_rates_the_best_goes_on(trained):
    recipes = [dataclasses.replace(RECIPE, distill_weight=0.0), RECIPE, dataclasses.replace(RECIPE, value_gain=0.0)]
    model, part = train_until_loss(PROBLEM, recipes, 1.9, 0, None)
    assert len(part.length_runs) == 5
    assert model.distill_weight > 0
    assert model.max_steps == pytest.approx(16.7, abs=1)


def test_the_longest_is_returned_where_none_reaches_it(trained):
    model, part = train_until_loss(
        PROBLEM, [dataclasses.replace(RECIPE, max_steps=1, distill_weight=0.0)], 2.0, 0, None
    )
    assert model.max_steps == 16
    assert len(part.length_runs) == 9
    assert part.target_missed


def test_what_an_ingredient_saves_is_the_ratio_on_paired_seeds_and_survives_being_kept(trained, tmp_path, monkeypatch):
    messages = []
    parts = ablate(dataclasses.replace(PROBLEM, target_loss=2.0001), RECIPE, range(5), None, messages.append)
    assert parts[FULL_RECIPE].updates == 10
    assert parts["n-gram targets"].updates == pytest.approx(100, abs=3)
    assert not any(part.target_missed for part in parts.values())
    found = savings(parts, "codecarbon")
    assert set(found) == set(ablated_recipes(RECIPE))
    assert found["n-gram targets"].low < 10 < found["n-gram targets"].high
    assert found["bfloat16 (float32 instead)"].value == pytest.approx(1, rel=0.05)
    assert all(len(part.runs) == 5 for part in parts.values())
    assert len(messages) == 1 + len(ablated_recipes(RECIPE)) + 5
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path))
    save_ablation(TINY, parts)
    assert savings(load_ablation(TINY), "codecarbon") == found
    ax = draw_savings({"energy (estimated)": found}, []).axes[0]
    assert "times as much without" in ax.get_title() + ax.get_title("left")  # the style says where it stands


def test_a_full_recipe_that_misses_the_target_is_named(trained):
    with pytest.raises(ValueError, match="the full recipe does not reach"):
        ablate(dataclasses.replace(PROBLEM, target_loss=0.5), RECIPE, range(5), None)


def test_a_run_that_came_to_no_model_is_left_out(trained):
    parts = ablate(dataclasses.replace(PROBLEM, target_loss=2.0001), RECIPE, range(3), None)
    name = "learning-rate decay"
    failed = [dataclasses.replace(run, failure="diverged", readings=(), scores={}) for run in parts[name].runs]
    assert name in savings(
        parts | {name: dataclasses.replace(parts[name], runs=(failed[0], *parts[name].runs[1:]))}, "time"
    )
    assert name not in savings(parts | {name: dataclasses.replace(parts[name], runs=tuple(failed))}, "time")


def test_verifications_are_saved_and_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path))
    checks = (
        CheckResult("leak", False, "seen", "why"),
        CheckResult("noise", None, "not applicable", "why", limit=True),
    )
    found = {"distilled GPT": Verification("text", "distilled GPT", checks)}
    assert load_verifications(TINY) == {}
    save_verifications(TINY, found)
    assert load_verifications(TINY) == found
