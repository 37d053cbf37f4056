"""Exams made up for tests: runs with given numbers, and a scale that takes a second."""

import dataclasses
import random

from builders import measurement

from sutrolib.exam.entries import BASELINE, CLOSED, OPEN, Entry, Scale
from sutrolib.exam.record import new_record
from sutrolib.meters.base import Kind, Reading
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.problems.text import WindowedText

SHAPE = {"layers": 1, "heads": 2, "width": 8, "block_size": 8, "batch": 4, "warmup": 1}
TINY = Scale(
    "tiny",
    WindowedText(characters=3000, context=8, min_context=4),
    GPT(**SHAPE, max_steps=4),
    2,
    {
        CLOSED: (Entry("other rate", GPT(**SHAPE, max_steps=3, lr=3e-3), "fewer updates"),),
        OPEN: (Entry("bigram", KneserNey(2), "counts"), Entry("trigram", KneserNey(3), "counts more")),
    },
)


def with_windows(record, watts=lambda reading: 28.0):
    """The record with a window for every estimate, so that it has this power."""
    for runs in record.measurements.values():
        for seed, run in runs.items():
            readings = (
                dataclasses.replace(r, detail={"runs": 2, "window_s": 2 * r.value / watts(r)})
                if r.kind == Kind.ESTIMATED
                else r
                for r in run.readings
            )
            runs[seed] = dataclasses.replace(run, readings=tuple(readings))
    return record


def fake_run(
    seed, energy=100.0, seconds=10.0, loss=2.0, accuracy=0.5, size=1000.0, work=1.0, kind=Kind.ESTIMATED, **fields
):
    """A run with these numbers, each a little different for every seed."""
    draw = random.Random(f"{energy} {seconds} {loss} {accuracy} {seed}")
    named = "joules" if kind is Kind.MEASURED else "codecarbon"
    readings = (
        Reading("time", seconds * draw.uniform(0.99, 1.01), "s", Kind.MEASURED),
        Reading(named, energy * draw.uniform(0.99, 1.01), "J", kind),
        Reading("inference-time", seconds / 100, "s", Kind.MEASURED),
        Reading(f"inference-{named}", energy / 100, "J", kind),
        Reading("model-size", size, "B", Kind.COUNTED),
        Reading("operations", 1e12 * work, "operations", Kind.COUNTED),
        Reading("cache-energy", 10 * work, "J", Kind.MODELLED),
    )
    scores = {"loss": loss + draw.uniform(-0.001, 0.001), "accuracy": accuracy + draw.uniform(-0.001, 0.001)}
    return measurement(seed=seed, **({"readings": readings, "score": -scores["loss"], "scores": scores} | fields))


def record_of(baseline=None, seeds=5, **candidate):
    """A finished record of the tiny closed division with runs of these numbers."""
    record = new_record(TINY, CLOSED, seeds)
    for name, numbers in ((BASELINE, baseline or {}), ("other rate", candidate)):
        record.measurements[name] = {seed: fake_run(seed, **numbers) for seed in range(seeds)}
    return record


def with_entry(model, division=OPEN, problem=TINY.problem, **fields):
    """The tiny scale with this model as the only entry of a division."""
    return dataclasses.replace(TINY, problem=problem, entries={division: (Entry("entry", model, "it", **fields),)})


class InThisProcess:
    """In place of FreshProcess: the runs of an exam without a process, for tests of what they compute."""

    def __init__(self, threads=1):
        self.run = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def start(self, run, text):
        self.run = run

    def call(self, method):
        return getattr(self.run, method)()

    def end(self):
        self.run = None
