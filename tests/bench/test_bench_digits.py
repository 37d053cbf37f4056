"""Reading whitened digits by kernel ridge regression: errors and times on 5,000 + 5,000 real digits of MNIST.

The digits are not part of this repository; without a copy of them beside it the bench is skipped.
"""

import statistics
import time
from pathlib import Path

import numpy as np
import pytest

from sutrolib.boards.digit_reader import DigitReader
from sutrolib.boards.submission import load_reader
from sutrolib.core.paths import ROOT
from sutrolib.problems.whitened_digits import draw

COPY = ROOT.parent / "shared" / "data" / "mnist" / "mnist10k.npz"
LEARNED = DigitReader(updates=1, centres=2500, first_width=8.0, first_ridge=0.01, power=1.0, width=5.0)
READERS = {"plain": DigitReader(), "learned metric": LEARNED}


@pytest.mark.skipif(not Path(COPY).exists(), reason="no copy of 10,000 digits of MNIST beside the repository")
def test_errors_and_times_on_real_digits():
    digits = np.load(COPY)
    tasks = [draw(digits["x"], digits["y"], 5000, 5000, seed) for seed in range(5)]
    print("\nreader: error, % (median of 5 draws, from, to); s (median, from, to)")
    for name, model in READERS.items():
        method, errors, times = load_reader(model.text()), [], []
        for task in [tasks[0], *tasks]:
            began = time.perf_counter()
            found = method(task.train.x, task.train.y[:, 0], task.test.x)
            times.append(time.perf_counter() - began)
            errors.append(100 * (found != task.test.y[:, 0]).double().mean().item())
        shown = [f"{statistics.median(v):.2f} ({min(v):.2f} to {max(v):.2f})" for v in (errors[1:], times[1:])]
        print(f"  {name:15} {shown[0]}; {shown[1]}")
        assert max(errors) < 90
