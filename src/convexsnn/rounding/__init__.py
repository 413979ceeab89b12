"""Numbers whose rounding is known: products and sums without error, and the two values of a certificate as bounds."""

from convexsnn.rounding.enclosures import (
    Bound,
    dictionary_kappa,
    enclose_dual,
    enclose_primal,
    grouped_kappa,
    pattern_kappa,
)
from convexsnn.rounding.products import Product, exact_product, exact_sums, exact_transposed

__all__ = [
    "Bound",
    "Product",
    "dictionary_kappa",
    "enclose_dual",
    "enclose_primal",
    "exact_product",
    "exact_sums",
    "exact_transposed",
    "grouped_kappa",
    "pattern_kappa",
]
