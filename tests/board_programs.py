"""Naive programs for the public boards, and an interpreter of grid programs in plain Python."""

import math
import operator
from itertools import combinations

from sutrolib.meters.programs.grid_cost import naive_matmul

BINARY = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.floordiv}
BINARY |= {"and": operator.and_, "or": operator.or_, "xor": operator.xor}
UNARY = {"copy": operator.pos, "not": operator.invert, "abs": operator.abs}
PREDICATES = {name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")}


def matmul_text(n, separator="\n"):
    program = naive_matmul(n)
    body = [f"{i.operator} {','.join(map(str, (i.target, *i.sources)))}" for i in program.instructions]
    return separator.join([_cells(program.inputs), *body, _cells(program.outputs)])


def symmetry_text(n):
    """Compare the two ends of each pair, then join the answers in cell 1."""
    pairs = [f"cmp {i},{i},{n + 1 - i},eq" for i in range(1, n // 2 + 1)]
    return "\n".join([_cells(range(1, n + 1)), *pairs, *(f"and 1,{i}" for i in range(2, n // 2 + 1)), "1"])


def parity_text(shape, subsets=None):
    """Test every subset (or the first so many) on every row, and label with the mask of those that fit, or give it."""
    n, x, y = shape.n, 1, 1 + shape.n * shape.train
    test = y + shape.train
    inputs = range(1, test + n * shape.test)
    mask = inputs[-1] + 1
    labels, fits, one = mask + n, mask + n + shape.test, mask + n + shape.test + 1
    body = [f"set {mask + bit},0" for bit in range(n)]
    for subset in list(combinations(range(n), shape.k))[:subsets]:
        body.append(f"set {fits},1")
        for row in range(shape.train):
            first, *others = (x + row * n + bit for bit in subset)
            body += [f"copy {one},{first}", *(f"xor {one},{cell}" for cell in others)]
            body += [f"cmp {one},{one},{y + row},eq", f"and {fits},{one}"]
        body += [f"or {mask + bit},{fits}" for bit in subset]
    for row in range(shape.test):
        body.append(f"set {labels + row},0")
        for bit in range(n):
            body += [f"and {one},{mask + bit},{test + row * n + bit}", f"xor {labels + row},{one}"]
    outputs = range(labels, labels + shape.test) if shape.test else range(mask, mask + n)
    return "\n".join([_cells(inputs), *body, _cells(outputs)])


def interpret(text, values, bits):
    """Outputs and cost, in whole numbers that wrap at so many bits. ZeroDivisionError as Python has it."""
    first, *body, last = text.split("\n")
    wrap = 1 << bits
    cells, cost = dict(zip(map(int, first.split(",")), values, strict=True)), 0
    for line in body:
        name, rest = line.split(" ")
        target, *words = rest.split(",")
        predicate = words.pop() if name == "cmp" else None
        if name == "set":
            value = int(words[0])
        else:
            sources = [int(word) for word in words]
            if name in BINARY and len(sources) == 1:
                sources.insert(0, int(target))
            read = [cells[cell] for cell in sources]
            cost += sum(math.isqrt(cell - 1) + 1 for cell in sources)
            if name == "select":
                value = read[1] if read[0] else read[2]
            else:
                value = (PREDICATES[predicate] if predicate else (BINARY | UNARY)[name])(*read)
        cells[int(target)] = (int(value) + wrap // 2) % wrap - wrap // 2
    outputs = [int(cell) for cell in last.split(",")]
    return [cells[cell] for cell in outputs], cost + sum(math.isqrt(cell - 1) + 1 for cell in outputs)


def _cells(cells):
    return ",".join(map(str, cells))
