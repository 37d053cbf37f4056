"""The rule of the closed division: the network is the baseline's, whatever trained it; and its predictions at once."""

from __future__ import annotations

import torch
from torch import Tensor

from sutrolib.core.types import FailedRun, Fitted, Task
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.transformer import FittedGPT, GPTDecoder, Transformer

_MAX_DIFFERENCE = 1e-3  # in nats, between two ways to compute the same network


class RuleBroken(FailedRun):
    """The model breaks a rule of the exam; the message says which."""


def check_closed_division(fitted: Fitted, baseline: GPT, alphabet: str) -> FittedGPT:
    """Load the weights of ``fitted`` into a network that ``baseline`` builds, which is then scored in its place.

    Raises:
        RuleBroken: ``fitted`` is not a Transformer of exactly that shape, does not decode by GPTDecoder, or predicts
            something else than the plain network with its weights. The message says what differs.
    """
    if not isinstance(fitted, FittedGPT) or not isinstance(fitted.network, Transformer):
        raise RuleBroken(f"closed: the model must return a FittedGPT with a Transformer (got {type(fitted).__name__})")
    if fitted.alphabet != alphabet:
        raise RuleBroken(f"closed: the alphabet must be that of the text (got {len(fitted.alphabet)} characters)")
    plain = baseline.network(len(alphabet), 0).eval()
    expected, found = _architecture(plain), _architecture(fitted.network)
    differ = [name for name in dict.fromkeys([*expected, *found]) if expected.get(name) != found.get(name)]
    if differ:
        name, more = differ[0], f" (and {len(differ) - 1} more)" if len(differ) > 1 else ""
        raise RuleBroken(f"closed: {name} is {found.get(name, 'missing')}, the baseline's {expected.get(name)}{more}")
    plain.load_state_dict(fitted.network.state_dict())
    scored = FittedGPT(plain.to(fitted.device), alphabet, history=fitted.history, steps=fitted.steps)
    decoder, other = fitted.decoder(2), scored.decoder(2)
    if type(decoder) is not GPTDecoder:
        raise RuleBroken(f"closed: the decoder must be GPTDecoder (got {type(decoder).__name__})")
    for ids in torch.arange(2 * plain.block_size).remainder(len(alphabet)).view(-1, 2):
        difference = float((decoder.step(ids) - other.step(ids)).abs().max())
        if not difference <= _MAX_DIFFERENCE:
            raise RuleBroken(f"closed: a log-probability is {difference:.2g} off the plain network with its weights")
    return scored


def _architecture(network: Transformer) -> dict[str, str]:
    shapes = {name: f"{tuple(weight.shape)} {weight.dtype}" for name, weight in network.state_dict().items()}
    heads = sorted({block.heads for block in network.block_list()})
    return {**shapes, "heads": str(heads), "block_size": str(network.block_size)}


def window_predictions(task: Task, fitted: Fitted) -> Tensor:
    """The predictions of the validation text; those of a network for whole windows at once, which is faster."""
    if not isinstance(fitted, FittedGPT):
        return task.inference.predictions(fitted, task.test_split)
    lead, rows = task.inference.windows(task.test_split)  # type: ignore[attr-defined]
    with torch.inference_mode():
        found = torch.cat([fitted.network(part)[:, lead:].flatten(0, 1) for part in rows.to(fitted.device).split(64)])
    return found[: len(task.test_split)].log_softmax(1).cpu()
