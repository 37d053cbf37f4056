"""Models that try to train at no cost, in a module of their own, as the exam's processes import them."""

import atexit
import dataclasses
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

from sutrolib.core.paths import ROOT
from sutrolib.core.types import FailedRun
from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import FittedNGram, KneserNey
from sutrolib.models.language.transformer import FittedGPT

DAEMON = "import time; time.sleep(61.25)"
_REMEMBERED = []


def busy(seconds):
    """Compute for so many CPU seconds."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


@dataclasses.dataclass(frozen=True)
class TrainsWhenRead(GPT):
    """Returns at once; a hook trains when the network is first used."""

    def fit(self, task, seed, budget=None):
        network = self.network(len(task.alphabet), seed).eval()
        network.blocks[0].register_forward_pre_hook(lambda module, given: busy(1))
        return FittedGPT(network, task.alphabet)


@dataclasses.dataclass(frozen=True)
class LazyFittedGPT(FittedGPT):
    def __getattribute__(self, name):
        return super().__getattribute__(name)


@dataclasses.dataclass(frozen=True)
class ReturnsItsOwnClass(GPT):
    def fit(self, task, seed, budget=None):
        return LazyFittedGPT(self.network(len(task.alphabet), seed).eval(), task.alphabet)


@dataclasses.dataclass(frozen=True)
class FittedLate(FittedNGram):
    """Trains once, beyond its first thousand predictions."""

    def decoder(self, streams):
        if streams > 8 and not _REMEMBERED:
            busy(1)
            _REMEMBERED.append(1)
        return super().decoder(streams)


@dataclasses.dataclass(frozen=True)
class TrainsAtFirstPrediction(KneserNey):
    def fit(self, task, seed, budget=None):
        fitted = super().fit(task, seed, budget)
        return FittedLate(fitted.alphabet, fitted.orders)


def hiding_places():
    """Where an earlier training could leave its weights."""
    return [
        *(Path(os.environ[name]) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR")),
        *(Path(place) for place in (tempfile.gettempdir(), "/tmp", "/dev/shm", "/var/tmp", Path.cwd())),
        *(ROOT, ROOT / "data", ROOT / "data" / "exam", ROOT / "sutrolib"),
        *(Path(place) for place in sys.path if Path(place).is_dir()),
    ]


@dataclasses.dataclass(frozen=True)
class KeepsItsWeightsOnDisk(KneserNey):
    def fit(self, task, seed, budget=None):
        for place in hiding_places():
            file = place / "weights-of-an-attack"
            if file.exists():
                raise FailedRun(f"found the weights of an earlier training in {place}")
        for place in hiding_places():
            try:
                (place / "weights-of-an-attack").write_text("weights")
            except OSError:
                continue
        return super().fit(task, seed, budget)


@dataclasses.dataclass(frozen=True)
class Remembers(KneserNey):
    """Keeps its result in memory for the next repetition."""

    def fit(self, task, seed, budget=None):
        if _REMEMBERED:
            raise FailedRun("found the weights of an earlier repetition")
        _REMEMBERED.append(1)
        return super().fit(task, seed, budget)


@dataclasses.dataclass(frozen=True)
class GoesOnTraining(KneserNey):
    """Leaves a thread, a process, and a process of a process behind."""

    def fit(self, task, seed, budget=None):
        threading.Thread(target=busy, args=(60,), daemon=True).start()
        threading.Thread(target=time.sleep, args=(60,)).start()
        subprocess.Popen([sys.executable, "-c", DAEMON], start_new_session=True)
        started = (
            f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {DAEMON!r}], start_new_session=True)"
        )
        subprocess.run([sys.executable, "-c", started], check=True)
        atexit.register(print, "an exit handler ran", file=sys.stderr)
        return super().fit(task, seed, budget)


@dataclasses.dataclass(frozen=True)
class PatchesTheJudge(KneserNey):
    def fit(self, task, seed, budget=None):
        from sutrolib.exam import evaluate
        from sutrolib.problems.text_evaluation import StreamInference

        fitted = super().fit(task, seed, budget)
        torch.Tensor.gather = lambda self, *_: torch.zeros(len(self), 1)
        evaluate.MeasurementPasses.keep_scores = lambda passes, found: passes.scores.update(loss=0.0)
        StreamInference.check_distributions = lambda self, found: found
        time.perf_counter = lambda: 0.0
        return fitted


class Reduced:
    def __reduce__(self):
        return exec, ("import sys; print('an attack ran', file=sys.stderr)",)

    def __setstate__(self, state):
        print("an attack ran", file=sys.stderr)


@dataclasses.dataclass(frozen=True)
class FittedReduced(FittedNGram):
    extra: object = None


@dataclasses.dataclass(frozen=True)
class HidesCode(KneserNey):
    def fit(self, task, seed, budget=None):
        fitted = super().fit(task, seed, budget)
        return FittedReduced(fitted.alphabet, fitted.orders, extra=(1, Reduced()))


@dataclasses.dataclass(frozen=True)
class SendsAPickle(KneserNey):
    """In place of the bytes of a model, those of a pickle that runs a command."""

    def fit(self, task, seed, budget=None):
        from sutrolib.exam import evaluate

        evaluate.to_bytes.__code__ = _pickled.__code__  # the function itself, which has been looked up by now
        return super().fit(task, seed, budget)


def _pickled(*_):
    import pickle

    from exam_attacks import Reduced

    return pickle.dumps(Reduced())


class Raised(Exception):
    __reduce__ = Reduced.__reduce__


@dataclasses.dataclass(frozen=True)
class RaisesCode(KneserNey):
    def fit(self, task, seed, budget=None):
        raise Raised("an error of its own")


@dataclasses.dataclass(frozen=True)
class Dies(KneserNey):
    def fit(self, task, seed, budget=None):
        os._exit(3)


@dataclasses.dataclass(frozen=True)
class LooksAround(KneserNey):
    """Fails with what a training finds in its process."""

    def fit(self, task, seed, budget=None):
        loaded = "torch._dynamo" in sys.modules
        raise FailedRun(
            f"{torch.get_num_threads()} {loaded} {Path.home() == Path(tempfile.gettempdir()) == Path.cwd()}"
        )
