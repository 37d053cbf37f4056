import dataclasses
import io

import pytest
import torch

from sutrolib.exam.entries import scale_of
from sutrolib.models.language.kneser_ney import FittedNGram, KneserNey
from sutrolib.models.language.transformer import FittedGPT, Transformer
from sutrolib.models.saved import NotSaved, from_bytes, to_bytes
from sutrolib.problems.text import WindowedText

TASK = WindowedText(characters=20_000, context=16, min_context=8).sample(0)


def small(model):
    """The model with a training of moments."""
    fields = {f.name for f in dataclasses.fields(model)}
    limits = {"max_steps": 2, "samples": 100, "steps": 2, "order": 3} | (
        {"device": "cpu"} if "device" in fields else {}
    )
    parts = {name: small(getattr(model, name)) for name in fields & {"ngram", "gpt"}}
    return dataclasses.replace(model, **{name: value for name, value in limits.items() if name in fields}, **parts)


@pytest.mark.parametrize("division", ["closed", "open"])
def test_every_entry_is_built_anew_with_equal_predictions(division):
    scale = scale_of("cpu")
    for model in (scale.baseline, *(entry.model for entry in scale.division(division))):
        fitted = small(model).fit(TASK.for_training(), 0)
        again = from_bytes(to_bytes(fitted))
        assert type(again) is type(fitted)
        assert (again.steps, again.history, again.nbytes) == (fitted.steps, fitted.history, fitted.nbytes)
        assert torch.equal(again.predict(TASK.test.x[:32].view(4, 8)), fitted.predict(TASK.test.x[:32].view(4, 8)))


def fitted_gpt():
    return FittedGPT(Transformer(5, 8, 2, 2, 8, 0.0, 0).eval(), "abcde")


def test_what_is_not_declared_is_refused_with_its_path():
    counted = KneserNey(2).fit(TASK.for_training(), 0)
    object.__setattr__(counted, "cache", 1)
    with pytest.raises(NotSaved, match=r"fitted\.cache is not a declared field of FittedNGram"):
        to_bytes(counted)
    with pytest.raises(NotSaved, match=r"fitted\.alphabet is a builtins\.function"):
        to_bytes(FittedGPT(fitted_gpt().network, lambda: "abc"))
    with pytest.raises(NotSaved, match=r"fitted\.orders\[0\] is a builtins\.dict"):
        to_bytes(FittedNGram("abc", ({},)))
    for change in (
        lambda network: network.blocks[1].register_forward_hook(print),
        lambda network: setattr(network.blocks[1], "forward", print),
        lambda network: setattr(network.blocks[1], "heads", 4),
        lambda network: setattr(network.blocks[1], "down", torch.nn.Identity()),
    ):
        fitted = fitted_gpt()
        change(fitted.network)
        with pytest.raises(NotSaved, match=r"fitted\.network\.blocks\.1"):
            to_bytes(fitted)


def test_classes_from_elsewhere_are_refused_when_saved_and_when_built():
    @dataclasses.dataclass(frozen=True)
    class Foreign:
        alphabet: str

    with pytest.raises(NotSaved, match=r"fitted: its class is of the module .*test_saved"):
        to_bytes(Foreign("abc"))
    with pytest.raises(NotSaved, match="must stand at the top of its module"):
        to_bytes(Foreign("abc"), [Foreign.__module__])
    buffer = io.BytesIO()
    torch.save({"class": "os:system", "parts": {"command": "true"}}, buffer)
    with pytest.raises(NotSaved, match="system: its class is of the module os"):
        from_bytes(buffer.getvalue())
    with pytest.raises(NotSaved, match="cannot be rebuilt"):
        from_bytes(b"no model")


def test_only_the_values_of_a_tensor_are_saved():
    table = torch.arange(1000.0)
    again = from_bytes(to_bytes((table[:2].requires_grad_(),)))
    assert again[0].tolist() == [0, 1]
    assert (again[0].requires_grad, again[0].untyped_storage().nbytes()) == (False, 8)
