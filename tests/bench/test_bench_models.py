"""Speed of the models of the problem axis, alternated, medians and quartiles. Nothing here asserts a time."""

import gpt as plain
import torch
from timing import alternate, quartiles

from sutrolib.models.language.gpt import GPT
from sutrolib.models.language.kneser_ney import KneserNey
from sutrolib.models.parity.gf2 import GF2Elimination, RobustGF2
from sutrolib.models.parity.guided_network import Curriculum
from sutrolib.problems.parity import HARDER, SparseParity
from sutrolib.problems.text import NextCharacter


def show(what, times, base):
    print(f"\n{what}; median [quartiles] of {len(times[base])} alternating rounds")
    for name, values in times.items():
        ratio = [value / other for value, other in zip(values, times[base], strict=True)]
        print(f"  {name:34} {quartiles(values)} s   {quartiles(ratio)} times {base}")


def test_the_parity_solvers_against_each_other():
    easy, noisy, wide = SparseParity(), HARDER["n=20, k=3, 10% noise"], HARDER["n=50, k=3"]
    tasks = [problem.sample(0) for problem in (easy, noisy, wide)]
    easy, noisy, wide = (task.for_training(("labels", "lessons")) for task in tasks)
    times = alternate(
        {
            "GF(2), n=20, k=3": lambda: GF2Elimination().fit(easy, 0),
            "noise-robust GF(2), 10 % noise": lambda: RobustGF2().fit(noisy, 0),
            "curriculum, n=50, k=3": lambda: Curriculum().fit(wide, 0),
        },
        11,
    )
    show("parity", times, "GF(2), n=20, k=3")


def test_the_step_of_nanogpt_against_an_eager_one():
    torch.manual_seed(0)
    model, eager = GPT(), plain.training_step()
    network = model.network(65, 0)
    optimizer, text = model.optimizer(network), torch.randint(65, (10_000,))
    within = torch.arange(65)

    def step():
        starts = torch.randint(len(text) - 64, (12, 1))
        model.update(network, network, optimizer, text[starts + within], 200)

    def three(work):
        return lambda: [work() for _ in range(3)]

    step()
    show(
        "three steps of nanoGPT, batch 12 of 64",
        alternate({"plain eager": three(eager), "ours": three(step)}, 15),
        "plain eager",
    )


def test_the_n_gram_by_its_order():
    task = NextCharacter().sample(0).for_training()
    times = alternate({f"{order}-gram": lambda order=order: KneserNey(order).fit(task, 0) for order in (2, 6, 7)}, 9)
    show("n-grams of Shakespeare", times, "6-gram")
