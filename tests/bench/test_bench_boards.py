"""Scoring on the public boards: a matrix product of 16 x 16, and a program of many lines on 1,024 instances of masks.

Times are those of this machine, beside plain Python on the same work; the aims are 2 ms for the cost of 10,000
instructions, 0.5 s for their symbolic check, and 3 s for the masks. Nothing fails on a time.
"""

import random

from board_programs import interpret, matmul_text
from timing import alternate, quartiles, seconds

from sutrolib.boards.grid_text import parse
from sutrolib.boards.registry import BOARDS
from sutrolib.boards.symbolic import matmul_outputs_right
from sutrolib.meters.programs.grid_cost import naive_matmul

ROUNDS = 7


def mask_text(lines):
    """A program of the form of parity-mask32 with so many random instructions, most of them on near cells."""
    rng = random.Random(0)
    operators = ("xor", "and", "or", "add", "sub")
    body = [
        f"{rng.choice(operators)} {rng.randint(1, 99)},{rng.randint(1, 600)},{rng.randint(1, 99)}" for _ in range(lines)
    ]
    inputs = range(1, 595)
    constants = [f"set {cell},0" for cell in range(595, 601)]
    return "\n".join([",".join(map(str, inputs)), *constants, *body, ",".join(map(str, range(1, 33)))])


def test_a_matrix_product():
    text, plain = matmul_text(16), naive_matmul(16)
    program = parse(text, "v0")
    works = {
        "parse": lambda: parse(text, "v0"),
        "cost": lambda: program.cost,
        "symbolic check": lambda: matmul_outputs_right(program, 16),
        "cost, the meter": lambda: plain.cost,
    }
    times = alternate(works, ROUNDS)
    print(f"\n16 x 16, {len(program.targets):,} instructions; ms, median and quartiles of {ROUNDS}")
    for name, found in times.items():
        print(f"  {name:16} {quartiles([1000 * one for one in found])}")
    assert program.cost == plain.cost


def test_masks_on_1024_instances():
    board = BOARDS["parity-mask32"]
    inputs = board.instances()[0][:1024]
    parse(mask_text(1)).run(inputs)  # compiles
    print(f"\n{len(inputs):,} instances; s: parse, run, all of {len(inputs):,} by plain Python (from one), ratio")
    for lines in (100_000, 1_000_000):
        text = mask_text(lines)
        parsing = seconds(lambda text=text: parse(text))
        program = parse(text)
        running = seconds(lambda program=program: program.run(inputs))
        plain = len(inputs) * seconds(lambda text=text: interpret(text, inputs[0].tolist(), 8))
        print(f"  {lines:9,} lines {parsing:8.2f} {running:8.2f} {plain:10.0f} {plain / running:8.0f}")
        assert program.run(inputs[:1])[0].tolist() == interpret(text, inputs[0].tolist(), 8)[0]
