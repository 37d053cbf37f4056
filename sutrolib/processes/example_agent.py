"""An example of an external agent: hill climbing, in a file to copy and change. It needs nothing but Python.

The starting point of each family comes first. Then one setting of the best trial so far is changed a little, until the
result is new. The best trial is the cheapest that solves the problem, or the one with the best score while none does.
All randomness comes from the number of the trial, so that the same request has the same answer.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Mapping
from typing import Any

STEP_STD = 0.2  # standard deviation of a change, as a share of the range
MAX_TRIES = 200


def proposal(request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request."""
    space = {about["family"]: about for about in request["space"]}
    starts = [{"family": about["family"], "settings": about["start"]} for about in request["space"]]
    number: int = request["number"]
    if number < len(starts):
        return starts[number]
    history = [trial for trial in request["history"] if trial["family"] in space]
    best = min(history, key=rank) if history else starts[0]
    dimensions = space[best["family"]]["settings"]
    tried = [trial["settings"] for trial in history if trial["family"] == best["family"]]
    rng = random.Random(number)
    settings = dict(best["settings"])
    for _ in range(MAX_TRIES if dimensions else 0):
        name = rng.choice(list(dimensions))
        settings = {**best["settings"], name: changed(best["settings"][name], dimensions[name], rng)}
        if settings not in tried:
            break
    return {"family": best["family"], "settings": settings}


def rank(trial: Mapping[str, Any]) -> tuple[bool, float]:
    """Smaller is better: trials that solve the problem by their cost, before the others by their score."""
    if trial["cost"] is not None:
        return False, trial["cost"]
    return True, -trial["score"] if trial["score"] is not None else math.inf


def changed(value: Any, dimension: Mapping[str, Any], rng: random.Random) -> Any:
    """Another of the choices, or a number nearby in the range."""
    if "choices" in dimension:
        return rng.choice([other for other in dimension["choices"] if other != value] or [value])
    low, high = dimension["low"], dimension["high"]
    if dimension["log"]:
        found = math.exp(math.log(value) + STEP_STD * math.log(high / low) * rng.gauss(0, 1))
    else:
        found = value + STEP_STD * (high - low) * rng.gauss(0, 1)
    found = min(max(found, low), high)
    return round(found) if dimension["integer"] else found


if __name__ == "__main__":
    print(json.dumps(proposal(json.loads(sys.stdin.readline()))))
