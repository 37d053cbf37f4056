"""Paired timings: alternated, with medians and quartiles."""

import statistics
import time


def seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def alternate(works, rounds):
    for work in works.values():
        work()  # warm up
    found = [{name: seconds(work) for name, work in works.items()} for _ in range(rounds)]
    return {name: [times[name] for times in found] for name in works}


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"
