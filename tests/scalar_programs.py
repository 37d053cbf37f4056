"""A tracer of plain Python programs with a list-based stack that is searched linearly, to compare with."""

import math
import operator
import random

import numpy as np

from sutrolib.models.kernels.matmul import matrix_product


def naive_depths(instructions, loaded, results):
    """Depths of the reads of ``instructions``, each a pair (values read, values pushed), on a list of values.

    The definition, step by step: price, move to the top, push, and drop what is not needed any more.
    """
    last = {}
    for index, (reads, _) in enumerate(instructions):
        last |= dict.fromkeys(reads, index)
    last |= dict.fromkeys(results, len(instructions))
    stack = [value for value in loaded if value in last]
    depths = []
    for index, (reads, pushes) in enumerate(instructions):
        depths += [len(stack) - stack.index(value) for value in reads]
        for value in reads:
            stack.remove(value)
            stack.append(value)
        stack += [value for value in pushes if value in last]
        for value in set(reads):
            if last[value] == index:
                stack.remove(value)
    return depths


class Listed:
    """A number that keeps its place on a list, with the two operators that a matrix product needs."""

    def __init__(self, instructions, number):
        self.instructions, self.number = instructions, number

    def _with(self, other):
        made = Listed(self.instructions, ("made", len(self.instructions)))
        self.instructions.append(((self.number, other.number), (made.number,)))
        return made

    __add__ = __mul__ = _with


def naive_product_depths(n):
    """Depths of the matrix product by the list-based tracer."""
    instructions = []
    A, B = ([[Listed(instructions, (name, i, j)) for j in range(n)] for i in range(n)] for name in "AB")
    C = matrix_product(A, B)
    loaded = [item.number for matrix in (B, A) for row in matrix for item in row]
    return naive_depths(instructions, loaded, [item.number for row in C for item in row])


class Noted:
    """A number that notes which values each instruction of a program reads and pushes."""

    def __init__(self, instructions, value):
        self.instructions, self.value, self.name = instructions, value, object()


def _instruction(compute, swapped=False):
    def method(self, *others):
        operands = (*others, self) if swapped else (self, *others)
        result = compute(*(operand.value if isinstance(operand, Noted) else operand for operand in operands))
        made = [Noted(self.instructions, value) for value in (result if isinstance(result, tuple) else (result,))]
        reads = [operand.name for operand in operands if isinstance(operand, Noted)]
        self.instructions.append((reads, [noted.name for noted in made]))
        return tuple(made) if isinstance(result, tuple) else made[0]

    return method


def _escape(compute):
    def method(self):
        self.instructions.append(([self.name], []))
        return compute(self.value)

    return method


for _name, _compute in {
    **{name: getattr(operator, f"__{name}__") for name in "add sub mul floordiv mod eq ne lt le gt ge neg abs".split()},
    **{"divmod": divmod, "pow": pow, "round": round, "floor": math.floor},
}.items():
    setattr(Noted, f"__{_name}__", _instruction(_compute))
    setattr(Noted, f"__r{_name}__", _instruction(_compute, swapped=True))
for _name, _compute in {"bool": bool, "int": int, "index": operator.index, "hash": hash}.items():
    setattr(Noted, f"__{_name}__", _escape(_compute))


def noted_depths(program, arguments):
    """Depths of the reads of a function of numbers and lists by the rules of ByteDMD's public description."""
    instructions, loaded = [], []

    def note(value):
        if isinstance(value, list):
            return [note(item) for item in value]
        loaded.append(Noted(instructions, value))
        return loaded[-1]

    def kept(value):
        if isinstance(value, np.ndarray | list | tuple):
            return [name for item in value for name in kept(item)]
        return [value.name] if isinstance(value, Noted) else []

    last_first = [note(argument) for argument in reversed(arguments)]
    result = program(*reversed(last_first))
    return naive_depths(instructions, [noted.name for noted in loaded], kept(result))


def random_program(seed):
    """A program of a list, a list of two pairs and a number, which stores, indexes, branches and returns at random."""

    def program(row, grid, x):
        rng = random.Random(seed)
        local, table = [x], {}
        for _ in range(rng.randrange(12)):
            p, q = (rng.choice(rng.choice((row, grid[0], grid[1], local))) for _ in range(2))
            step = rng.randrange(12)
            if step == 0:
                local.append(p + q)
            elif step == 1:
                row[rng.randrange(len(row))] = p * q % 7
            elif step == 2:
                table["ab"[rng.randrange(2)]] = p - q
            elif step == 3:
                local.extend(divmod(p, q % 3 + 1))
            elif step == 4:
                local.append(pow(p, q % 3, p % 5 + 1))
            elif step == 5:
                local.append(-p if p > q else abs(q))
            elif step == 6:
                row[p % len(row)] = row[q % len(row)] + 1
            elif step == 7:
                grid[0][p % 2], grid[1] = q, [p, q]
            elif step == 8:
                local.append(round(p, q % 2))
            elif step == 9:
                table[p % 3] = q
            elif step == 10:
                local.append(p * 2 if p and q else 2 - q)
            else:
                local.append(int(p) + math.floor(q))
        array = np.empty(len(local), object)
        for index, value in enumerate(local):
            array[index] = value
        return rng.choice((local, local[-1], table, {"in": local}, (local, [table, row]), [grid, (x,)], array, None))

    return program
