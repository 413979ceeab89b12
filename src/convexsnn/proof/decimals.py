"""Rigorous bounds in decimal arithmetic: exp and ln, and rationals rounded outwards.

The standard library's `decimal` rounds sums, products and quotients in the direction asked for, and its exp and ln
correctly to the nearest (documented), so the neighbour in the right direction is a bound.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, InvalidOperation, Overflow
from fractions import Fraction

DIGITS = 50
TRAPS = [InvalidOperation, Overflow]
UP = Context(prec=DIGITS, rounding=ROUND_CEILING, Emin=-(10**9), Emax=10**9, traps=TRAPS)
DOWN = Context(prec=DIGITS, rounding=ROUND_FLOOR, Emin=-(10**9), Emax=10**9, traps=TRAPS)
ZERO, ONE = Decimal(0), Decimal(1)


def quotient(numerator: int, denominator: int, context: Context) -> Decimal:
    """The quotient, rounded as `context` says."""
    # Ints become Decimals exactly whatever their length; only the division rounds.
    return context.divide(Decimal(numerator), Decimal(denominator))


def exp_up(x: Decimal) -> Decimal:
    """An upper bound of e^x."""
    return UP.next_plus(UP.exp(x))


def ln_up(x: Decimal) -> Decimal:
    """An upper bound of ln x, x > 0."""
    return UP.next_plus(UP.ln(x))


def softplus_up(x: Decimal) -> Decimal:
    """An upper bound of log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)."""
    # copy_abs and copy_negate do not round, unlike abs and -, which take the context of the thread.
    rest = ln_up(UP.add(ONE, exp_up(x.copy_abs().copy_negate())))
    return UP.add(x, rest) if x > 0 else rest


def xlogx_up(numerator: int, denominator: int) -> Decimal:
    """An upper bound of p ln p for p = numerator / denominator in [0, 1]; 0 at 0."""
    if numerator == 0:
        return ZERO
    log = min(ZERO, ln_up(quotient(numerator, denominator, UP)))
    return UP.multiply(quotient(numerator, denominator, DOWN), log)  # log <= 0, so the smaller p is the larger product


def decimal_text(value: Fraction, *, up: bool, digits: int = 12) -> str:
    """`value` as a decimal of so many digits, rounded up or down."""
    context = Context(prec=digits, rounding=ROUND_CEILING if up else ROUND_FLOOR)
    return f"{context.divide(Decimal(value.numerator), Decimal(value.denominator))}"
