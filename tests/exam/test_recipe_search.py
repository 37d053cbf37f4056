import dataclasses

import numpy as np
import pytest
import torch
from exams import TINY, sitting

from sutrolib.core.types import describe
from sutrolib.exam import ablation, recipe_search
from sutrolib.exam.ablation import ablate, long_enough, saved, without
from sutrolib.exam.entries import SCALES, scale_of
from sutrolib.exam.recipe_plots import draw_savings
from sutrolib.exam.recipe_search import LOWER, MARGIN, asked_at, baseline_loss, hunts
from sutrolib.guards.checks import Check
from sutrolib.guards.verification import Verification
from sutrolib.meters import OperationCount
from sutrolib.models.language.distilled_gpt import TaughtGPT
from sutrolib.models.language.gpt import GPT
from sutrolib.problems.windowed_text import ExamText
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.hill_climbing import Climb
from sutrolib.processes.samplers import RandomSearch

RECIPE = TaughtGPT(layers=1, heads=2, width=8, block=8, batch=4, max_steps=10)
PROBLEM = ExamText(characters=3000, context=8, least=4, asked=2.0)


@pytest.mark.parametrize("name", SCALES)
def test_a_search_never_has_the_validation_text(name):
    scale = scale_of(name)
    whole = scale.problem.sample(0)
    for hunt in hunts(scale, 1.83).values():
        task = hunt.problem.sample(0)
        seen = torch.cat([task.train.x, task.train.y[-1], task.test.x, task.test.y[-1]])
        assert torch.equal(seen, torch.cat([whole.train.x, whole.train.y[-1]])[: len(seen)])


def test_what_is_asked_is_the_baselines_loss_less_a_margin():
    loss = baseline_loss(TINY, 0)
    assert 2 < loss < 5
    found = hunts(TINY, loss)
    assert [hunt.problem.asked for hunt in found.values()] == [loss - MARGIN, loss - MARGIN, loss - LOWER]
    assert asked_at(TINY, 2.0).target == -2.0


def test_the_closed_space_changes_nothing_of_the_architecture():
    space = hunts(scale_of("cpu"), 1.83)["closed"].space
    baseline = GPT()
    rng = np.random.default_rng(0)
    for _ in range(20):
        model = space.model(space.sample(rng))
        assert all(getattr(model, n) == getattr(baseline, n) for n in ("layers", "heads", "width", "block"))
    assert space.start.settings["max_steps"] < baseline.max_steps / 5


def test_a_search_is_kept_and_found_again_and_a_later_one_takes_its_place(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path))
    assert recipe_search.kept(TINY) == {}
    hunt = hunts(TINY, 5.0)["counting"]
    for process, trials in ((RandomSearch, 1), (RandomSearch, 2), (Climb, 1)):
        study = process().improve(hunt.problem, hunt.space, OperationCount(), SearchBudget(trials=trials))
        recipe_search.keep(TINY, "counting", study)
    found = recipe_search.kept(TINY)
    assert {name: [r["process"] for r in records] for name, records in found.items()} == {
        "counting": ["random search", "hill climbing"]
    }
    assert found["counting"][0]["trials_in_all"] == 2
    assert found["counting"][1]["best"]["cost"] == study.best.cost
    assert recipe_search.kept(scale_of("smoke")) == {}


def test_each_ingredient_is_left_out_alone():
    for name, found in without(RECIPE).items():
        for recipe in found:
            changed = {f.name for f in dataclasses.fields(RECIPE) if getattr(recipe, f.name) != getattr(RECIPE, f.name)}
            assert (
                changed - {"lr", "matrix_lr"}
                == {
                    "the n-gram's targets": {"trust"},
                    "the start that looks back": {"handed_on"},
                    "Muon (Adam instead)": {"optimizer"},
                    "rates that fall": {"decay"},
                    "bfloat16 (float32 instead)": {"precision"},
                }[name]
            )


@pytest.fixture
def sat(monkeypatch):
    """The models that sat, whose loss falls with the updates: that of the whole recipe to 2 in ten of them."""
    found = []

    def fake(problem, model, seed, together):
        found.append(model)
        worth = 10 if model.trust == 0 or not model.handed_on else 1
        loss = 2.0 * (10 * worth / model.max_steps) ** 0.1
        run = sitting(seed, energy=float(model.max_steps), loss=loss, score=-loss, target=-2.0001)
        return dataclasses.replace(run, model=describe(model))

    monkeypatch.setattr(ablation, "sit", fake)
    return found


def test_the_length_that_reaches_the_loss_is_found_between_two(sat):
    model, part = long_enough(PROBLEM, without(RECIPE)["the n-gram's targets"], 2.0, 0, None)
    assert [m.max_steps for m in sat] == [10, 14, 20, 28, 40, 57, 80, 113]
    assert (model.max_steps, model.trust) == (pytest.approx(100, abs=3), 0.0)  # a loss of 2, by the rule above
    assert (part.loss_at_first, part.missed) == (pytest.approx(2 * 10**0.1, abs=0.01), False)


def test_of_several_rates_the_best_goes_on(sat):
    recipes = [dataclasses.replace(RECIPE, trust=0.0), RECIPE, dataclasses.replace(RECIPE, handed_on=0.0)]
    model, part = long_enough(PROBLEM, recipes, 1.9, 0, None)
    assert len(part.way) == 5
    assert model.trust > 0
    assert model.max_steps == pytest.approx(16.7, abs=1)


def test_the_longest_is_returned_where_none_reaches_it(sat):
    model, part = long_enough(PROBLEM, [dataclasses.replace(RECIPE, max_steps=1, trust=0.0)], 2.0, 0, None)
    assert model.max_steps == 16
    assert len(part.way) == 9
    assert part.missed


def test_what_an_ingredient_saves_is_the_ratio_on_paired_seeds_and_survives_being_kept(sat, tmp_path, monkeypatch):
    told = []
    parts = ablate(PROBLEM, RECIPE, range(5), None, told.append)
    found = saved(parts, "codecarbon")
    assert set(found) == set(without(RECIPE))
    assert found["the n-gram's targets"].low < 10 < found["the n-gram's targets"].high
    assert found["bfloat16 (float32 instead)"].value == pytest.approx(1, rel=0.05)
    assert all(len(part.runs) == 5 for part in parts.values())
    assert len(told) == len(without(RECIPE)) + 5
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path))
    ablation.keep(TINY, parts)
    assert saved(ablation.kept(TINY), "codecarbon") == found
    ax = draw_savings({"energy (estimated)": found}, []).axes[0]
    assert "What saves most is the" in ax.get_title() + ax.get_title("left")  # the style says where it stands


def test_a_run_that_came_to_no_model_is_left_out(sat):
    parts = ablate(PROBLEM, RECIPE, range(3), None)
    name = "rates that fall"
    failed = [dataclasses.replace(run, failure="diverged", readings=(), scores={}) for run in parts[name].runs]
    assert name in saved(
        parts | {name: dataclasses.replace(parts[name], runs=(failed[0], *parts[name].runs[1:]))}, "time"
    )
    assert name not in saved(parts | {name: dataclasses.replace(parts[name], runs=tuple(failed))}, "time")


def test_what_the_checks_saw_survives_being_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("SUTRO_EXAM", str(tmp_path))
    checks = (Check("leak", False, "seen", "why"), Check("noise", None, "not applicable", "why", limit=True))
    found = {"taught": Verification("text", "taught GPT", checks)}
    assert recipe_search.kept_checks(TINY) == {}
    recipe_search.keep_checks(TINY, found)
    assert recipe_search.kept_checks(TINY) == found
