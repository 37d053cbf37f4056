"""Records of a walk that nobody took."""

import dataclasses

from sutrolib.core.cube import path_to_b
from sutrolib.measurement.walk_records import Sign, StepRecord

RATIO = {"value": 0.5, "low": 0.4, "high": 0.6, "points": [0.5]}
EXPECTED = {"quantity": "ratio", "value": 0.6, "low": 0.3, "high": 1.0, "because": "a guess"}


def record(number, sign=Sign.GO, order=1, repeats=None, **named):
    plan = {"rule": {"remedy": "more budget"}, "expectation": EXPECTED}
    step = path_to_b()[number - 1]
    about = {"number": number, "sign": sign, "order": order, "plan": plan, "why": "why", "attempt": 1}
    about |= {"end": dataclasses.asdict(step.end), "axis": str(step.axis), "when": "2026-11-29T12:00:00+00:00"}
    about |= {"inherited": {"name": "old", "lr": 0.1}, "champion": {"name": "old", "lr": 0.25}, "studies": []}
    about |= {"quantities": {"ratio": RATIO, "solved": 1.0}, "learned": f"It learned {number}."}
    blank = {field.name: "" for field in dataclasses.fields(StepRecord)}
    empty = {name: {} for name in ("kept", "start", "spent", "machine", "versions")}
    return StepRecord(**{**blank, **empty, **about, "repeats": repeats, **named})


def walked(*signs):
    """Records of steps 1, 2, ... with these signs."""
    return [record(number, sign, number) for number, sign in enumerate(signs, 1)]
