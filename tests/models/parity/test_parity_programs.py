"""Programs for sparse parity: each way to write one finds the secret, priced or not; a search can read its space."""

import dataclasses
import re

import pytest
import torch

from sutrolib.core.types import Split, Task
from sutrolib.meters.programs.bytecode_check import UntraceableOperation
from sutrolib.meters.programs.write_stack import WriteStackMovement
from sutrolib.models.parity.gf2 import Inconsistent
from sutrolib.models.parity.programs import ParityProgram
from sutrolib.problems.parity import SparseParity, SparseSum, sign_accuracy

SMALL = SparseParity(n=8, k=3, n_train=40, n_test=1)
NEAREST = {"sample_order": "last loaded", "in_place": True, "packing": "column by column"}
FAMILIES = [
    {"family": "gf2 bits", "samples": 1},
    {"family": "gf2 rows", "samples": 1},
    {"family": "fourier", "samples": 40},
    {"family": "fourier", "samples": 8, "early_reject": True},
    *({"family": "match", "samples": 5, "subset_search": search} for search in ("subsets", "prefixes", "incremental")),
    *({"family": "eliminate", "consistency_test": test} for test in ("subsets", "prefixes", "signs")),
    {"family": "eliminate", "consistency_test": "prefixes", "copy_samples": True},
]


def priced(plan, problem, seed):
    with WriteStackMovement() as meter:
        fitted = plan.fit_by(meter.run, problem.sample(seed).for_training(), seed)
    return fitted, meter.reading


@pytest.mark.parametrize(
    "nearest", [{}, NEAREST, {**NEAREST, "bit_order": "descending", "packing": "sample by sample"}]
)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: "-".join(map(str, family.values())))
def test_every_family_finds_the_secret_of_20_seeds(family, nearest):
    plan = ParityProgram(**(nearest | family))
    for seed in range(20):
        assert plan.fit(SMALL.sample(seed).for_training(), seed).subset == SMALL.secret(seed)


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: "-".join(map(str, family.values())))
def test_secrets_of_other_sizes(family, k):
    problem = dataclasses.replace(SMALL, k=k)
    plan = ParityProgram(k=k, **(NEAREST | family))
    for seed in range(5):
        assert plan.fit(problem.sample(seed), seed).subset == problem.secret(seed)


@pytest.mark.parametrize("layout", ["inputs, labels", "labels, inputs", "samples"])
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: "-".join(map(str, family.values())))
def test_priced_programs_find_the_same_and_all_samples_are_loaded(family, layout):
    plan = ParityProgram(layout=layout, **(NEAREST | family))
    fitted, reading = priced(plan, SMALL, 1)
    assert fitted == plan.fit(SMALL.sample(1), 1)
    assert fitted.subset == SMALL.secret(1)
    assert reading.detail["loaded"] == 40 * (8 + 1)


def test_the_nearest_samples_are_the_cheapest():
    near, far = (
        ParityProgram(family="eliminate", consistency_test="signs", sample_order=o)
        for o in ("last loaded", "first loaded")
    )
    assert priced(near, SMALL, 0)[1].value < priced(far, SMALL, 0)[1].value


def test_the_decision_tree_on_the_public_setting():
    """Far below the public best of 19,153, and well within the naive program's tens of millions."""
    problem = SparseParity(n_train=500, n_test=1)
    plan = ParityProgram(family="eliminate", consistency_test="signs", sample_order="last loaded", in_place=True)
    for seed in range(10):
        fitted, reading = priced(plan, problem, seed)
        assert fitted.subset == problem.secret(seed)
        assert reading.value < 10_000


def test_a_search_that_keeps_its_numbers_on_the_stack_on_the_public_setting():
    problem = SparseParity(n_train=500, n_test=1)
    plan = ParityProgram(
        family="match", samples=10, subset_search="incremental", consistency_test="prefixes", **NEAREST
    )
    for seed in range(5):
        with WriteStackMovement(control_bits=100) as meter:
            fitted = plan.fit_by(meter.run, problem.sample(seed), seed)
        assert fitted.subset == problem.secret(seed)
        assert meter.reading.value < 19_153
    tree = ParityProgram(family="eliminate", consistency_test="signs")
    with pytest.raises(UntraceableOperation, match="out of the stack"), WriteStackMovement(control_bits=100) as meter:
        tree.fit_by(meter.run, problem.sample(0), 0)


def test_the_fields_say_what_a_search_may_choose():
    for spec in dataclasses.fields(ParityProgram):
        assert {"choices", "low"} & set(spec.metadata)
        if "choices" in spec.metadata:
            for choice in spec.metadata["choices"]:
                ParityProgram(**{spec.name: choice})


@pytest.mark.parametrize(
    "field",
    [
        {"family": "gf3"},
        {"k": 0},
        {"k": 7},
        {"samples": 0},
        {"samples": 2.5},
        {"sample_order": "random"},
        {"copy_samples": 2},
    ]
    + [
        {name: "?"}
        for name in ("bit_order", "in_place", "packing", "subset_search", "consistency_test", "layout", "early_reject")
    ],
    ids=str,
)
def test_fields_out_of_range_are_refused(field):
    name, value = next(iter(field.items()))
    with pytest.raises(ValueError, match=rf"{name} must be .*got {re.escape(repr(value))}"):
        ParityProgram(**field)


def test_what_no_parity_explains_is_refused():
    x = torch.ones(30, 5)
    x[::2, 0] = -1
    task = Task(Split(x, -x[:, :1]), None, sign_accuracy, "accuracy", 0.99)
    with pytest.raises(Inconsistent, match="k=3"):
        ParityProgram(family="match").fit(task, 0)
    with pytest.raises(ValueError, match="labels must be"):
        ParityProgram().fit(SparseSum().sample(0), 0)
    with pytest.raises(ValueError, match=r"takes fewer than 60 bits \(got 80\)"):
        ParityProgram(family="gf2 rows").fit(SparseParity(n=80, n_train=90).sample(0), 0)


def test_what_a_program_is_told_depends_on_its_family():
    assert ParityProgram().prior_knowledge == "that it is a parity without noise"
    assert ParityProgram(family="match").prior_knowledge == "that it is a parity without noise, and k"
