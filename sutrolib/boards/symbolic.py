"""Is a grid program a matrix product? Decided exactly, for all numbers at once, as the public scorer does.

Every cell holds a polynomial in the inputs with whole coefficients, and a program is right if its outputs are the
polynomials sum over k of A[i, k] B[k, j] (github.com/cybertronai/sutro-problems, matmul). A product of degree above two
is refused, even where it would cancel later.

Polynomials are sparse dicts, not values at random points modulo a prime: the verdict is exact, without a probability
of error, and a program whose sums are about as long as its outputs takes 0.1 s for 10,000 instructions. A program that
piles up terms without end is refused instead of checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sutrolib.boards.grid_program import OPERATORS, BoardProgram, GridProgramError

MAX_TERMS = 20_000_000  # made in all while a program is checked

# A monomial is one number: input 1 <= v <= V is v, and the product of inputs u <= v is u * (V + 1) + v.
_Polynomial = Mapping[int, int]


def matmul_outputs_right(program: BoardProgram, n: int) -> list[bool]:
    """For each of the n * n outputs whether it is that of A B; inputs are A and then B, row by row.

    Raises GridProgramError for another number of inputs or outputs, another operator than add, sub, mul and copy, a
    product of degree above two, and more than 20,000,000 terms.
    """
    if (len(program.inputs), len(program.outputs)) != (2 * n * n, n * n):
        raise GridProgramError(
            f"a product of {n} x {n} matrices has {2 * n * n} inputs and {n * n} outputs "
            f"(got {len(program.inputs)} and {len(program.outputs)})"
        )
    base = 2 * n * n + 1
    found = _polynomials(program, base)
    wanted = [{(i * n + k + 1) * base + (n + k) * n + j + 1: 1 for k in range(n)} for i in range(n) for j in range(n)]
    return [one == other for one, other in zip(found, wanted, strict=True)]


def _polynomials(program: BoardProgram, base: int) -> Sequence[_Polynomial]:
    memory: dict[int, _Polynomial] = {cell: {v: 1} for v, cell in enumerate(program.inputs.tolist(), start=1)}
    terms = 0
    for number, (code, target, (a, b, _)) in enumerate(
        zip(program.operators.tolist(), program.targets.tolist(), program.sources.tolist(), strict=True)
    ):
        name = OPERATORS[code] if code < len(OPERATORS) else "cmp"
        left, right = memory[a], memory.get(b, {})
        if name == "copy":
            memory[target] = left
            continue
        if name == "mul":
            made = _product(left, right, base)
        elif name in ("add", "sub"):
            made = _sum(left, right, 1 if name == "add" else -1)
        else:
            raise GridProgramError(f"line {program.lines[number]}: {name} is no operation on polynomials")
        if made is None:
            raise GridProgramError(f"line {program.lines[number]}: a product of degree above two is not allowed")
        memory[target] = made
        terms += len(made)
        if terms > MAX_TERMS:
            raise GridProgramError(f"line {program.lines[number]}: over {MAX_TERMS:,} terms; use shorter sums")
    return [memory[cell] for cell in program.outputs.tolist()]


def _sum(left: _Polynomial, right: _Polynomial, sign: int) -> _Polynomial:
    total = dict(left)
    for monomial, coefficient in right.items():
        if updated := total.get(monomial, 0) + sign * coefficient:
            total[monomial] = updated
        else:
            del total[monomial]
    return total


def _product(left: _Polynomial, right: _Polynomial, base: int) -> _Polynomial | None:
    """The product, or None if its degree is above two. There are no constants, so each factor must have degree one."""
    if not left or not right:
        return {}
    if max(left) >= base or max(right) >= base:
        return None
    product: dict[int, int] = {}
    for u, first in left.items():
        for v, second in right.items():
            monomial = min(u, v) * base + max(u, v)
            product[monomial] = product.get(monomial, 0) + first * second
    return {monomial: coefficient for monomial, coefficient in product.items() if coefficient}
