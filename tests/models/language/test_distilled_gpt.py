import dataclasses

import pytest
import torch
import torch.nn.functional as F
from texts import text_task

from sutrolib.core.types import Budget, Diverged
from sutrolib.measurement.measure import score_of
from sutrolib.models.language.distilled_gpt import DistilledGPT, _Teacher
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.problems.parity import SparseParity
from sutrolib.problems.text import NextCharacter

TEXT = "to be or not to be that is the question " * 30
SMALL = DistilledGPT(layers=2, heads=2, width=32, block_size=16, batch=4, max_steps=20)


def small(**fields):
    return dataclasses.replace(SMALL, **fields)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_the_teachers_targets_are_the_predictions_of_its_n_gram(order):
    task = text_task(TEXT)
    counted = KneserNey(order).fit(task, 0)
    rows = torch.stack([task.train.x[i : i + order + 3] for i in range(0, 200, 7)])
    found = _Teacher(counted, "cpu").targets(rows, order)
    strings = rows.unfold(1, order - 1, 1).flatten(0, 1)
    assert torch.allclose(found, counted.predict(strings).exp(), atol=1e-6)


def test_the_network_is_nanogpts_and_has_its_size():
    task = NextCharacter(characters=20_000).sample(0)
    ours = DistilledGPT(max_steps=1).fit(task.for_training(), 0).network
    theirs = GPT().network(len(task.alphabet), 0)
    assert {n: w.shape for n, w in ours.state_dict().items()} == {n: w.shape for n, w in theirs.state_dict().items()}


@pytest.mark.slow
def test_on_shakespeare_few_updates_get_below_those_of_the_published_recipe():
    task = NextCharacter(characters=200_000).sample(0)
    ours = DistilledGPT(max_steps=60).fit(task.for_training(), 0)
    theirs = GPT(max_steps=60, warmup=5).fit(task.for_training(), 0)
    assert score_of(task, ours) > score_of(task, theirs) + 0.2


@pytest.mark.parametrize(
    "fields",
    [
        {"distill_weight": 0.0},
        {"distill_weight": 0.5},
        {"value_gain": 0.0},
        {"optimizer": "adam"},
        {"lr_decay": False},
        {"precision": "float32"},
    ],
    ids=str,
)
def test_it_learns_without_each_ingredient_and_does_something_else_then(fields):
    task = text_task(TEXT)
    whole, part = SMALL.fit(task, 0), small(**fields).fit(task, 0)
    assert not torch.equal(whole.network.characters.weight, part.network.characters.weight)
    untrained = small(max_steps=1, **fields).fit(task, 0)
    assert loss_of(part, task) < loss_of(untrained, task) - 0.3


def loss_of(fitted, task):
    rows = task.train.x[:16].view(1, 16)
    with torch.inference_mode():
        return F.cross_entropy(fitted.network(rows)[0], task.train.y[:16, 0]).item()


def test_a_seed_gives_equal_weights_and_another_one_others():
    task = text_task(TEXT)
    first, again, other = (small(precision="float32").fit(task, seed) for seed in (1, 1, 2))
    assert torch.equal(first.network.characters.weight, again.network.characters.weight)
    assert not torch.equal(first.network.characters.weight, other.network.characters.weight)


def test_a_budget_ends_it():
    assert SMALL.fit(text_task(TEXT), 0, Budget(steps=3)).steps == 3
    assert small(max_steps=10_000_000).fit(text_task(TEXT), 0, Budget(seconds=0.05)).steps < 10_000


def test_a_training_that_leaves_the_finite_numbers_says_when(monkeypatch):
    finite = DistilledGPT._loss
    monkeypatch.setattr(DistilledGPT, "_loss", lambda *arguments: finite(*arguments) * float("nan"))
    with pytest.raises(Diverged, match="nan at step 20"):
        small(max_steps=1000).fit(text_task(TEXT), 0)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"teacher_order": 1}, "teacher_order must be"),
        ({"distill_weight": 1.5}, "distill_weight must be"),
        ({"optimizer": "sgd"}, "optimizer must be one of muon, adam"),
        ({"heads": 3}, "multiple of heads=3"),
        ({"heads": 1}, "heads=1"),
        ({"precision": "float16"}, "got 'float16'"),
    ],
    ids=str,
)
def test_fields_out_of_range_are_refused(fields, named):
    with pytest.raises(ValueError, match=named):
        small(**fields)


def test_what_it_cannot_be_trained_on_is_refused():
    with pytest.raises(ValueError, match="must be text"):
        SMALL.fit(SparseParity().sample(0).for_training(), 0)
    with pytest.raises(ValueError, match="at least 505 characters"):
        small(block_size=500).fit(text_task("to be or not to be"), 0)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="graphics card"):
            small(device="cuda").fit(text_task(TEXT), 0)
