import pytest
import torch

from sutrolib.boards.annealing import AnnealedProgram, Annealing
from sutrolib.boards.attention_teacher import AttentionTeacher
from sutrolib.boards.lazy_rows import LazyRows
from sutrolib.boards.loop_nest import LoopNest
from sutrolib.boards.optimizer_files import OptimizerFile
from sutrolib.boards.parity_mask import MaskDecoder
from sutrolib.boards.scoring import score
from sutrolib.boards.submission import load_optimizer
from sutrolib.boards.task import BoardCost, BoardTask, best_studies
from sutrolib.measurement.measure import measure_program
from sutrolib.processes.budget import SearchBudget
from sutrolib.processes.samplers import RandomSearch
from sutrolib.processes.space import space_of


def test_a_search_from_the_plain_program_keeps_the_program_found_and_its_lineage():
    space = space_of(AnnealedProgram("matmul-4", steps=2000), "rounds")
    study = Annealing().improve(BoardTask(), space, BoardCost("matmul-4"), SearchBudget(trials=4))
    costs = [trial.cost for trial in study.trials]
    assert [trial.proposal.settings["rounds"] for trial in study.trials] == [0, 1, 2, 3]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]
    stored = study.to_dict()
    assert score(stored["found"]["program"], "matmul-4").cost == stored["best"]["cost"] == costs[-1]


def test_it_ends_after_the_last_round():
    space = space_of(AnnealedProgram("symmetry-6", steps=10), "rounds")
    space = space_of(
        space.families[0].model, rounds=space.families[0].dimensions["rounds"].__class__(0, 1, integer=True)
    )
    study = Annealing().improve(BoardTask("symmetry-6"), space, BoardCost("symmetry-6"), SearchBudget(trials=5))
    assert (len(study.trials), study.stopped) == (2, "all rounds are done")


def test_a_board_without_a_plain_program_says_which_have_one():
    with pytest.raises(ValueError, match=r"caffeine has no plain program here; .* matmul-4"):
        AnnealedProgram("caffeine").text()


@pytest.mark.parametrize(("board", "share"), [("matmul-4", 0.5), ("parity-mask32", 0.3), ("parity-mask32", 1.1)])
def test_a_share_below_the_easiest_level_is_refused(board, share):
    with pytest.raises(ValueError, match=rf"share must be .* to 1 for {board} \(got {share}\)"):
        BoardTask(board, share)


def test_the_masks_that_are_found_are_exact_and_fewer_choices_cost_less_and_find_fewer():
    few, many = (score(MaskDecoder(4, 8, 0, choices).text(), "parity-mask32") for choices in (9, 44))
    assert few.cost < many.cost < many.level.best
    assert 0.5 < few.share < 0.8 < many.share < 1


def test_a_cheap_search_that_does_not_reach_its_level_today_is_not_the_best():
    def study(model, cost):
        problem = {"name": BoardTask.name, "board": "parity-mask32", "share": 0.5}
        return {"problem": problem, "best": {"cost": cost}, "found": {"program": model.text()}}

    few, enough, dear = study(MaskDecoder(choices=1), 1), study(MaskDecoder(), 3), study(MaskDecoder(), 4)
    assert best_studies([dear, few, enough]) == {("parity-mask32", 0.4): enough}
    assert best_studies([few]) == {}


def test_lazy_elimination_reads_fewer_numbers_and_is_right():
    whole, lazy = (score(LazyRows(whole, sure=0.9).text(), "parity-dmd") for whole in (1, 200))
    assert whole.share == lazy.share == 1
    assert lazy.cost < min(whole.cost, lazy.level.best)


@pytest.mark.parametrize("method", ["adam", "muon", "soap"])
def test_an_optimizer_from_a_text_learns(method):
    make = load_optimizer(OptimizerFile(method, lr=0.01, decay=1.0).text())
    task = AttentionTeacher(updates=30, width=8, length=8, train=64, evaluation=64, batch=16)
    never = torch.optim.SGD
    assert task.score(make) < task.score(lambda parameters: never(parameters, lr=0.0))


def test_any_process_searches_among_files():
    space = space_of(LazyRows(), "whole")
    study = RandomSearch().improve(
        BoardTask("parity-dmd", 0.95), space, BoardCost("parity-dmd"), SearchBudget(trials=2)
    )
    assert study.kind == "modelled"
    assert "def solve(" in study.to_dict()["found"]["program"]


def test_a_file_that_fails_is_a_failed_run_with_the_reason():
    class Wrong(LazyRows):
        def text(self):
            return "def solve(x, y, n_bits, k_sparse):\n    return 1 / 0\n"

    run = measure_program(BoardTask("parity-dmd", 0.95), Wrong(), BoardCost("parity-dmd"), 0)
    assert "ZeroDivisionError" in run.failure


def test_a_loop_nest_is_the_product_in_any_order_and_its_copies_make_it_cheaper():
    tiled = LoopNest("matmul-4", tile_i=2, tile_j=2, inner_loops="jik", snake_inner=True)
    for model in (LoopNest("matmul-4"), tiled):
        found = score(model.text(), "matmul-4")
        assert found.valid
        assert found.cost < model.operations().cost
    with pytest.raises(ValueError, match="symmetry-6 asks for none"):
        LoopNest("symmetry-6").text()
