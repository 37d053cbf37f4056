"""Measurements made up for tests; nothing is trained."""

import dataclasses

from sutrolib.measurement.measure import Measurement
from sutrolib.meters.base import Kind, Reading


def measurement(
    seed=0, cost=10.0, seconds=1.0, score=1.0, kind=Kind.COUNTED, when="2026-01-02T03:04:05.000006+00:00", **fields
):
    readings = (
        Reading("time", seconds, "s", Kind.MEASURED, {"runs": 3}),
        Reading("cost", cost, "units", kind, {"by_operator": {"mm": 7}}),
    )
    made = {
        "problem": {"name": "sparse parity", "n": 20, "k": 3},
        "model": {"name": "made up", "hidden": 5},
        "prior_knowledge": "nothing",
        "seed": seed,
        "score_name": "accuracy",
        "score": score,
        "target": 0.99,
        "readings": readings,
        "rungs": {"process": "by-hand", "problem": "parity"},
        "when": when,
    }
    return Measurement(**(made | fields))


def busy(run, load=0.4):
    """The run with every reading in a window of time taken on a machine of this load."""
    seen = ("counted", "modelled")  # whatever else the machine does
    readings = (dataclasses.replace(r, detail={**r.detail, "load": load}) for r in run.readings if r.kind not in seen)
    others = (r for r in run.readings if r.kind in seen)
    return dataclasses.replace(run, readings=(*readings, *others))


def study(**fields):
    made = {"process": "search", "metric": "cost", "problem": {"name": "sparse parity"}, "best": None}
    return made | {"n_trials": 0, "trials": []} | fields
