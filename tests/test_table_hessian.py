"""Products with the Hessian by tables, against products of matrices."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn.columns import BitColumns
from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers.active_set.coupled import table_hessian
from convexsnn.solvers.active_set.coupled.table_hessian import TableHessian


@given(
    st.integers(1, 40),
    st.integers(1, 90),
    st.lists(st.integers(1, 20), min_size=1, max_size=3),
    st.sampled_from([torch.float32, torch.float64]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_products_are_those_of_matrices(
    k: int, n: int, sizes: list[int], dtype: torch.dtype, coupled: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    ends = torch.tensor(sizes).cumsum(0).tolist()
    blocks = tuple(range(end - size, end) for end, size in zip(ends, sizes, strict=True)) if len(sizes) > 1 else ()
    bits = torch.rand(k, n, generator=generator) < 0.5
    # Small integers, so that sums are exact in any order.
    diagonal, vector, X = (torch.randint(-4, 5, (rows, ends[-1]), generator=generator).to(dtype) for rows in (n, n, k))
    curvature = RowMatrices(diagonal, vector if coupled else None, blocks)
    D = bits.to(dtype).T
    assert torch.equal(TableHessian(BitColumns.of(bits)).product(curvature, X), D.T @ curvature.apply(D @ X))


def test_products_are_the_same_for_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_hessian, "BLOCK_ROWS", 2**7)
    generator, before = torch.Generator().manual_seed(0), torch.get_num_threads()
    columns = BitColumns.of(torch.rand(50, 1001, generator=generator) < 0.5)
    # Memory that lies output by output, as the other ways to multiply like it.
    curvature = RowMatrices(*(torch.rand(12, 1001, generator=generator).T for _ in range(2)))
    X, found = torch.randn(50, 12, generator=generator), list[torch.Tensor]()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(TableHessian(columns).product(curvature, X))
    finally:
        torch.set_num_threads(before)
    D = columns.dense(torch.float64)
    exact = D.T @ curvature.apply((D @ X.to(torch.float64)).to(torch.float64))
    assert torch.allclose(found[0].to(torch.float64), exact, rtol=1e-4, atol=1e-2)
    assert all(torch.equal(found[0], other) for other in found[1:])
