"""A trained network in the form that nanoGPT's own sample.py loads (github.com/karpathy/nanoGPT)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sutrolib.models.language.transformer import FittedGPT

DATASET = "shakespeare_char"
_NAMES = {  # ours and nanoGPT's
    "characters.": "transformer.wte.",
    "positions.": "transformer.wpe.",
    "blocks.": "transformer.h.",
    "norm_1.": "ln_1.",
    "norm_2.": "ln_2.",
    "qkv.": "attn.c_attn.",
    "attended.": "attn.c_proj.",
    "up.": "mlp.c_fc.",
    "down.": "mlp.c_proj.",
}


def nanogpt_weights(fitted: FittedGPT) -> dict[str, Tensor]:
    """The weights under nanoGPT's names."""
    found = {}
    for name, weight in fitted.network.state_dict().items():
        renamed = "transformer.ln_f.weight" if name == "norm.weight" else name
        for ours, theirs in _NAMES.items():
            renamed = renamed.replace(ours, theirs)
        found[renamed] = weight.detach().cpu().clone()
    return found | {"lm_head.weight": found["transformer.wte.weight"]}


def export(fitted: FittedGPT, folder: Path) -> Path:
    """Write ``ckpt.pt``, and return it. Raises OSError where that fails.

    The codes of the characters are those of nanoGPT's ``shakespeare_char`` where the alphabet is, in the same order.
    """
    network = fitted.network
    arguments: dict[str, Any] = {
        "n_layer": len(network.block_list()),
        "n_head": network.block_list()[0].heads,
        "n_embd": network.positions.weight.shape[1],
        "block_size": network.block_size,
        "vocab_size": len(fitted.alphabet),
        "bias": False,
        "dropout": network.dropout,
    }
    content = {"model": nanogpt_weights(fitted), "model_args": arguments, "config": {"dataset": DATASET}}
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / "ckpt.pt")
    return folder / "ckpt.pt"


def sample(fitted: FittedGPT, characters: int, seed: int, temperature: float = 0.8, start: str = "\n") -> str:
    """Text that the network writes after ``start``: each character drawn from its predictions at this temperature."""
    generator, decoder = torch.Generator().manual_seed(seed), fitted.decoder(1)
    text = list(start)
    for character in text[:-1]:
        decoder.step(torch.tensor([fitted.alphabet.index(character)]))
    while len(text) < len(start) + characters:
        log_probabilities = decoder.step(torch.tensor([fitted.alphabet.index(text[-1])]))
        shares = (log_probabilities / temperature).softmax(1)
        text.append(fitted.alphabet[int(torch.multinomial(shares, 1, generator=generator))])
    return "".join(text)
