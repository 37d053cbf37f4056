"""device="mps" without a Mac: what goes to that device stays on the CPU, and float64, which it does not have, fails."""

import dataclasses

import pytest
import torch
from texts import text_task
from torch.overrides import TorchFunctionMode

from sutrolib.measurement.measure import score_of
from sutrolib.models.language.distilled_gpt import DistilledGPT
from sutrolib.models.language.gpt import GPT

TASK = text_task("to be or not to be, that is the question: " * 20, "not to be or to be is the question: " * 3)
MODELS = [
    GPT(layers=2, heads=2, width=16, block_size=8, batch=4, max_steps=10, dropout=0.1, holdout=0.2, eval_every=5),
    DistilledGPT(layers=2, heads=2, width=32, block_size=16, batch=4, max_steps=10, precision="float32"),
]


class OnTheCPU(TorchFunctionMode):
    """Puts on the CPU what is asked for on mps, and counts how often."""

    moved = 0

    def __torch_function__(self, function, types, arguments=(), options=None):
        names = ("mps", torch.device("mps"))
        asked = (*arguments[1:], *(options or {}).values())
        if any(isinstance(value, (str, torch.device)) and value in names for value in asked):
            self.moved += 1
            if isinstance(arguments[0], torch.Tensor) and arguments[0].dtype == torch.float64:
                raise TypeError("the MPS framework doesn't support float64")
            cpu = torch.device("cpu")
            swap = lambda value: cpu if isinstance(value, (str, torch.device)) and value in names else value  # noqa: E731
            arguments = tuple(map(swap, arguments))
            options = {name: swap(value) for name, value in (options or {}).items()}
        return function(*arguments, **(options or {}))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_mac_learns_what_the_cpu_learns(model, monkeypatch):
    states = []
    monkeypatch.setattr("torch.mps.is_available", lambda: True)
    monkeypatch.setattr("torch.mps.get_rng_state", lambda device: states.append(device) or torch.get_rng_state())
    monkeypatch.setattr("torch.mps.set_rng_state", lambda state, device: states.append(device))
    with OnTheCPU() as mode:
        there = dataclasses.replace(model, device="mps").fit(TASK.for_training(), 0)
    here = model.fit(TASK.for_training(), 0)
    assert mode.moved > 10
    assert score_of(TASK, there) == pytest.approx(score_of(TASK, here), abs=1e-6)
    assert dict(there.history) == pytest.approx(dict(here.history))
    assert states == (["mps", "mps"] if model.name == "GPT" else [])  # its generator, which dropout draws from, is kept


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_mac_that_is_not_there_is_refused(model, monkeypatch):
    monkeypatch.setattr("torch.mps.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"torch finds no graphics card; use device='cpu' \(got 'mps'\)"):
        dataclasses.replace(model, device="mps").fit(TASK.for_training(), 0)
