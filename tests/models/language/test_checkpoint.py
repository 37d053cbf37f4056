import dataclasses

import pytest
import torch
from texts import text_task

from sutrolib.core.types import Budget
from sutrolib.models.language import checkpoint
from sutrolib.models.language.distilled_gpt import DistilledGPT, FadingDistillation

TASK = text_task("to be or not to be that is the question " * 30)
SHAPE = {"layers": 2, "heads": 2, "width": 32, "block_size": 16, "batch": 4, "max_steps": 20}
MODELS = [DistilledGPT(**SHAPE), DistilledGPT(**SHAPE, optimizer="adam"), FadingDistillation(**SHAPE)]


def same(first, second):
    pairs = zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.name}, {model.optimizer}")
@pytest.mark.parametrize("updates", [1, 7, 19, 20])
def test_an_interrupted_training_ends_as_one_that_was_not(tmp_path, model, updates):
    file = tmp_path / "new folder" / "training"
    whole = model.fit(TASK, 0)
    model.fit(TASK, 0, Budget(steps=updates), checkpoint=file)
    rest = model.fit(TASK, 0, checkpoint=file)
    assert rest.steps == whole.steps == 20
    assert same(rest, whole)
    assert same(model.fit(TASK, 0, checkpoint=file), whole)  # of a finished one nothing is left to do


def test_it_is_saved_every_minute_and_at_the_end(tmp_path, monkeypatch):
    clock, saved = iter(range(0, 10_000, 25)), []
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(checkpoint, "write_atomically", lambda path, content: saved.append(len(content)))
    MODELS[0].fit(TASK, 0, checkpoint=tmp_path / "training")
    assert 5 <= len(saved) <= 8


def test_a_budget_that_is_spent_adds_no_update(tmp_path):
    file = tmp_path / "training"
    for _ in range(3):
        assert MODELS[0].fit(TASK, 0, Budget(steps=7), checkpoint=file).steps == 7


@pytest.mark.parametrize("change", [{"lr": 0.01}, {"max_steps": 30}, {"batch": 5}])
def test_a_file_of_another_training_is_refused(tmp_path, change):
    file = tmp_path / "training"
    MODELS[0].fit(TASK, 0, Budget(steps=2), checkpoint=file)
    other = dataclasses.replace(MODELS[0], **change)
    with pytest.raises(ValueError, match=r"training is that of another training.*remove it, or name another file"):
        other.fit(TASK, 0, checkpoint=file)
    with pytest.raises(ValueError, match="another training"):
        MODELS[0].fit(TASK, 1, checkpoint=file)
    with pytest.raises(ValueError, match="another training"):  # the same length and characters
        MODELS[0].fit(text_task("or be to not to be that is the question " * 30), 0, checkpoint=file)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04"])
def test_a_damaged_file_is_refused_with_what_to_do(tmp_path, content):
    file = tmp_path / "training"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="training is damaged, or no checkpoint: remove it to begin anew"):
        MODELS[0].fit(TASK, 0, checkpoint=file)


def test_the_n_grams_part_fades_to_nothing():
    model = FadingDistillation(**SHAPE, distill_weight=0.8)
    assert [model.soft_weight(left) for left in (1.0, 0.5, 0.0)] == [0.8, 0.4, 0.0]
    assert DistilledGPT(**SHAPE, distill_weight=0.8).soft_weight(0.25) == 0.8
    assert not same(model.fit(TASK, 0), DistilledGPT(**SHAPE, distill_weight=0.8).fit(TASK, 0))
