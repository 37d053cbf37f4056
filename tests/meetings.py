"""Executed notebooks made up for tests of decks and comparisons; nothing is run."""

import base64
import io
import json

from PIL import Image

from sutrolib.core.markdown import FINDING_TYPE

WHEN = "2026-03-10T12:00:00.000000+00:00"
UNTIL = "2026-03-12T00:00:00+00:00"


def png(colour=(200, 30, 30)):
    """A small picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (70, 40), colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def payload(**fields):
    """What ``Session.conclude`` hands on."""
    made = {
        "finding": "Half the width costs half. It still solves 4 of 4 seeds.",
        "sign": "turn back",
        "results": {"cost ratio": 0.5, "seeds solved, %": 100.0, "units": 25.0, "joules": None},
        "then": "Next: [11_next](11_next.ipynb), one change more.",
        "when": WHEN,
        "parameters": {"n_bits": 30, "seed": 0, "profile": "quick"},
        "kinds": {"cost ratio": "modelled", "seeds solved, %": "measured", "units": "counted", "joules": "measured"},
        "expected": {"cost ratio": [0.6, 0.9, "half is gone"], "seeds solved, %": [90, 100, "few bits"]},
    }
    return made | fields


def _labelled(label):
    about = {"image/png": {"alt": f"The figure {label}.", "label": label}}
    return {"output_type": "display_data", "metadata": about, "data": {"image/png": png((0, 90, 0))}}


def executed(
    folder, name="10_first", said=None, picture=None, alt="Cost by width.", error=None, papermill=None, more=()
):
    """Write an executed notebook, and return its path; ``said`` is its payload, {} for a run that came to no end.

    ``more`` are labels of further figures.
    """
    said = payload() if said is None else said
    declared = (
        "n_bits: int = 20  # bits, 3 to 200\nseed: int = 0  # first seed\n"
        'profile: str = "quick"  # quick, anew or full\n'
    )
    shown = {
        "output_type": "display_data",
        "metadata": {"image/png": {"alt": alt}},
        "data": {"image/png": picture or png()},
    }
    outputs = [shown, *(_labelled(label) for label in more)]
    if said:
        outputs.append({"output_type": "display_data", "metadata": {}, "data": {FINDING_TYPE: said}})
    if error:
        outputs.append({"output_type": "error", "ename": "ValueError", "evalue": error, "traceback": []})
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# A first study\n", "\n", "**Question.** Why?"]},
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": declared, "outputs": []},
        {"cell_type": "code", "metadata": {}, "source": "nb.show(figure)", "outputs": outputs},
    ]
    metadata = {"sutro": {"axis": "process", "step": "by-hand -> search"}}
    if papermill:
        metadata["papermill"] = papermill
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path
