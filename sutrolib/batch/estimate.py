"""About how long a notebook takes here: from its published run, scaled to this machine."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sutrolib.batch.stored import StoredResults
from sutrolib.core import paths
from sutrolib.core.format import duration
from sutrolib.core.markdown import finding_in
from sutrolib.core.provenance import reference_seconds

_here = functools.cache(reference_seconds)


def expected_seconds(notebook: Path, parameters: Mapping[str, Any]) -> float | None:
    """Seconds that a notebook takes here with these parameters, from its kernel's start.

    None if the published run says nothing of them: it had other parameters, and only the profile ``anew`` adds what
    its stored results took.
    """
    try:
        published = finding_in(notebook)
        seconds, scale = published["seconds"], _here() / published["reference_seconds"]
        profile = parameters.get("profile")
        same = {**parameters, "profile": "quick"} == {**published["parameters"], "profile": "quick"}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not same or profile not in (published["parameters"].get("profile"), "anew"):
        return None
    return float(scale * (seconds + (_stored_seconds(notebook.stem) if profile == "anew" else 0.0)))


def _stored_seconds(name: str) -> float:
    """Seconds that a notebook's stored results took."""
    stored = StoredResults.read(paths.stored_results(name))
    return sum(seconds for seconds, _ in stored.results.values()) if stored else 0.0


def estimate_text(seconds: float | None) -> str:
    """The estimate in words; None is the time of a notebook that was not timed with these parameters."""
    return f"about {duration(seconds)} on this machine" if seconds is not None else "unknown for these parameters"
