"""Products of bits by tables, against products of matrices."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn import bit_products, columns
from convexsnn.columns import BitColumns


@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 35), st.integers(0, 2**32 - 1))
def test_products_by_tables_are_those_of_matrices(k: int, n: int, outputs: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    bits = torch.rand(k, n, generator=generator) < 0.5
    # Small integers, so that float32 sums are exact.
    X, Y = (torch.randint(-9, 9, (rows, outputs), generator=generator).to(torch.float32) for rows in (k, n))
    groups, D = bit_products.grouped(bits.to(torch.uint8)), bits.to(torch.float32).T
    product, total = bit_products.in_vectors(torch.zeros_like(Y), n), bit_products.sums_for(k, outputs, torch.float32)
    for times in (1, 2):  # products are added to what is there
        bit_products.add_product(groups, bit_products.in_vectors(X, k), product)
        assert torch.equal(torch.from_numpy(product)[:n, :outputs], times * (D @ X))
        bit_products.add_transposed(groups, bit_products.in_vectors(Y, n), total)
        assert torch.equal(torch.from_numpy(total)[:k, :outputs], times * (D.T @ Y))


@given(st.integers(0, 40), st.integers(1, 70), st.integers(1, 19), st.sampled_from([torch.float32, torch.float64]))
def test_packed_columns_are_multiplied_as_matrices(count: int, n: int, outputs: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(count + n)
    bits = torch.rand(count, n, generator=generator) < 0.5
    U = torch.randint(-9, 9, (n, outputs), generator=generator).to(dtype)
    found = bit_products.packed_product(BitColumns.of(bits).packed, U)
    assert found.dtype == dtype
    assert torch.equal(found, bits.to(dtype) @ U)


@given(
    st.integers(0, 1200),
    st.integers(1, 70),
    st.integers(1, 19),
    st.sampled_from([torch.float32, torch.float64]),
    st.booleans(),
)
def test_some_packed_columns_are_combined_as_matrices(
    count: int, n: int, outputs: int, dtype: torch.dtype, part: bool
) -> None:
    generator = torch.Generator().manual_seed(count + n)
    bits = torch.rand(count, n, generator=generator) < 0.5
    W = torch.randint(-9, 9, (count, outputs), generator=generator).to(dtype)
    used, D = torch.nonzero(torch.rand(count, generator=generator) < 0.7).flatten(), BitColumns.of(bits)
    start = 8 if part and n > 8 else 0  # rows between others: the bytes of a column do not follow one another
    packed = D.between(start, n).packed
    found = bit_products.packed_combination(packed, n - start, used, W[used])
    assert found.dtype == dtype
    assert torch.equal(found, bits[used, start:].T.to(dtype) @ W[used])


@pytest.mark.parametrize("threads", [1, 2])
def test_columns_of_many_entries_are_multiplied_by_tables(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "TABLE_ENTRIES", 0)
    generator, before = torch.Generator().manual_seed(3), torch.get_num_threads()
    bits = torch.rand(2100, 2501, generator=generator) < 0.3
    U = torch.randn(2501, 3, generator=generator, dtype=torch.float64)
    try:
        torch.set_num_threads(threads)
        D = BitColumns.of(bits)
        found = D.rmatmul(U)
        # Rows between others: the last byte has bits of rows that are not asked for.
        part = D.between(1000, 2001).rmatmul(U[1000:2001])
        W = torch.randn(2100, 3, generator=generator, dtype=torch.float64)
        combined = D.matmul(W)
    finally:
        torch.set_num_threads(before)
    assert torch.allclose(combined, bits.T.to(torch.float64) @ W, rtol=1e-12, atol=1e-12)
    assert torch.allclose(found, bits.to(torch.float64) @ U, rtol=1e-12, atol=1e-12)
    assert torch.allclose(part, bits[:, 1000:2001].to(torch.float64) @ U[1000:2001], rtol=1e-12, atol=1e-12)
