"""Speed as ratios within one run: alternated, medians and quartiles. Nothing here asserts a time."""

from timing import alternate, quartiles

from sutrolib.meters import TorchTrace
from sutrolib.models.parity.gf2 import GF2Elimination
from sutrolib.models.parity.mlp import TwoLayerNetwork
from sutrolib.problems.parity import SparseParity

ROUNDS = 15


def traced(model, task):
    with TorchTrace():
        model.fit(task, 0)


def test_gf2_sgd_and_tracing_against_each_other():
    task = SparseParity().sample(0).for_training()
    gf2, sgd, fused = GF2Elimination(), TwoLayerNetwork(), TwoLayerNetwork(update="fused")
    times = alternate(
        {
            "GF(2)": lambda: gf2.fit(task, 0),
            "SGD": lambda: sgd.fit(task, 0),
            "SGD, fused": lambda: fused.fit(task, 0),
            "SGD, traced": lambda: traced(sgd, task),
        },
        ROUNDS,
    )
    print(f"\nn=20, k=3; median [quartiles] of {ROUNDS} alternating rounds")
    for name, values in times.items():
        ratio = [value / base for value, base in zip(values, times["SGD"], strict=True)]
        print(f"  {name:12} {quartiles(values)} s   {quartiles(ratio)} times SGD")
    assert gf2.fit(task, 0).subset == SparseParity().secret(0)
