"""An example of an outside agent: hill climbing, in a file to copy and change. It needs nothing but Python.

The starting point of each family comes first. Then one setting of the best trial so far is changed a little, until it
is something that was not tried: the cheapest trial that solves the problem, or the one with the best score while none
does. All randomness comes from the number of the trial, so that the same question has the same answer.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Mapping
from typing import Any

STEP = 0.2  # standard deviation of a change, as a share of the range
TRIES = 200


def proposal(question: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a question."""
    space = {about["family"]: about for about in question["space"]}
    starts: list[dict[str, Any]] = [start(about) for about in question["space"]]
    number: int = question["number"]
    if number < len(starts):
        return starts[number]
    history = [trial for trial in question["history"] if trial["family"] in space]
    best = min(history, key=rank) if history else starts[0]
    dimensions = space[best["family"]]["settings"]
    tried = [trial["settings"] for trial in history if trial["family"] == best["family"]]
    rng = random.Random(number)
    settings = dict(best["settings"])
    for _ in range(TRIES if dimensions else 0):
        name = rng.choice(list(dimensions))
        settings = {**best["settings"], name: changed(best["settings"][name], dimensions[name], rng)}
        if settings not in tried:
            break
    return {"family": best["family"], "settings": settings}


def start(about: Mapping[str, Any]) -> dict[str, Any]:
    """The starting point of a family; what lies outside of the space there is moved into it."""
    settings = {name: within(about["start"][name], dimension) for name, dimension in about["settings"].items()}
    return {"family": about["family"], "settings": settings}


def within(value: Any, dimension: Mapping[str, Any]) -> Any:
    """The value of a dimension that is nearest to ``value``, the first of the choices where it is none of them."""
    if "choices" in dimension:
        return value if value in dimension["choices"] else dimension["choices"][0]
    return min(max(value, dimension["low"]), dimension["high"])


def rank(trial: Mapping[str, Any]) -> tuple[bool, float]:
    """Smaller is better: what solves the problem by its cost, before what does not by its score."""
    if trial["cost"] is not None:
        return False, trial["cost"]
    return True, -trial["score"] if trial["score"] is not None else math.inf


def changed(value: Any, dimension: Mapping[str, Any], rng: random.Random) -> Any:
    """Another of the choices, or a number of the range that is not far."""
    if "choices" in dimension:
        return rng.choice([other for other in dimension["choices"] if other != value] or [value])
    low, high = dimension["low"], dimension["high"]
    if dimension["log"]:
        found = math.exp(math.log(value) + STEP * math.log(high / low) * rng.gauss(0, 1))
    else:
        found = value + STEP * (high - low) * rng.gauss(0, 1)
    found = within(found, dimension)
    return round(found) if dimension["whole"] else found


if __name__ == "__main__":
    print(json.dumps(proposal(json.loads(sys.stdin.readline()))))
