"""Rows of columns on several ranks: the same products, steps and certificates for every number of ranks."""

from dataclasses import replace

import pytest
import torch

from convexsnn.columns import BitColumns, pack_bits
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.problem import Problem
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.ranks import Alone
from convexsnn.search import SearchSettings, search
from convexsnn.sequences import Sequences
from convexsnn.sharded import FEW_PARTS, MANY_ROWS, PARTS, ShardedColumns, rows_of_rank
from convexsnn.solvers import solve
from ranks import on_processes, on_threads

N, P, C = 101, 12, 3


def draw():
    g = torch.Generator().manual_seed(0)
    bits = torch.rand(N, P, generator=g) < 0.4
    labels = torch.randint(C, (N,), generator=g)
    return bits, labels


def plain_of(bits):
    return BitColumns(pack_bits(bits.T.contiguous()), len(bits))


def sharded(bits, ranks):
    return ShardedColumns(plain_of(bits[rows_of_rank(len(bits), ranks)]), len(bits), ranks)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 12])
def test_products_are_those_of_one_rank(size):
    bits, _ = draw()
    g = torch.Generator().manual_seed(1)
    W = torch.randn(P, C, generator=g, dtype=torch.float64)
    U = torch.randn(N, C, generator=g, dtype=torch.float64)
    index, rows = torch.tensor([3, 0, 7]), torch.tensor([100, 2, 50])

    def work(ranks):
        columns = sharded(bits, ranks)
        some = columns.take(index)
        return (
            columns.matmul(W),
            columns.rmatmul(U),
            columns.squares(U[:, 0].abs()),
            some.dense(),
            some.rows(rows).dense(),
        )

    alone = work(Alone())
    for result in on_threads(size, work):
        assert all(map(torch.equal, result, alone))
    whole = plain_of(bits)
    plain = whole.matmul(W), whole.rmatmul(U), whole.squares(U[:, 0].abs()), whole.take(index).dense(), None
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(alone[:4], plain[:4], strict=True))
    assert torch.equal(alone[4], bits[rows][:, index].to(torch.float64))


@pytest.mark.parametrize("size", [2, 7, 16, 32, 96])
def test_many_rows_are_spread_over_more_ranks(size):
    n, g = MANY_ROWS + 5, torch.Generator().manual_seed(0)
    bits = torch.rand(n, 3, generator=g) < 0.4
    U, whole = torch.randn(n, 2, generator=g, dtype=torch.float64), plain_of(bits)

    def work(ranks):
        own = rows_of_rank(n, ranks)
        return ShardedColumns(whole.between(own.start, own.stop), n, ranks).rmatmul(U)

    alone = work(Alone())
    assert all(torch.equal(result, alone) for result in on_threads(size, work))
    assert torch.allclose(alone, bits.to(torch.float64).T @ U, atol=1e-9)


@pytest.mark.parametrize(
    ("loss", "penalty"),
    [("logistic", "l1"), ("cross_entropy", "l1"), ("cross_entropy", "group"), ("squared", "l1"), ("hinge", "l1"),
     ("squared", "ridge"), ("squared", "elastic")],
)  # fmt: skip
def test_solutions_and_certificates_are_those_of_one_rank(loss, penalty):
    bits, labels = draw()
    chosen = LOSSES[loss]
    targets = chosen.encode(
        labels % 2 if loss in ("logistic", "hinge") else labels, 2 if loss in ("logistic", "hinge") else C
    )

    def work(ranks):
        columns = sharded(bits, ranks)
        program = ConvexProgram(columns, targets, chosen, PENALTIES[penalty], 0.02, uniform_weights(N))
        return solve(program)

    alone = work(Alone())
    assert alone.certificate.holds(1e-6)
    for size in (2, 3, 4):
        for result in on_threads(size, work):
            assert result.certificate == alone.certificate
            assert torch.equal(result.W, alone.W)
            assert torch.equal(result.U, alone.U)
    whole = plain_of(bits)
    plain = solve(ConvexProgram(whole, targets, chosen, PENALTIES[penalty], 0.02, uniform_weights(N)))
    assert abs(plain.certificate.primal - alone.certificate.primal) <= 2e-6 * plain.certificate.primal


def test_searches_are_those_of_one_rank():
    """Where no validation data join them, branches are made smaller by all ranks, each of which has its own."""
    g = torch.Generator().manual_seed(0)
    X = torch.randint(2, (60, 4, 2), generator=g).to(torch.float64)
    sequences, loss = Sequences(X, torch.full((60,), 4)), LOSSES["cross_entropy"]
    targets = loss.encode((X[:, 0, 0] != X[:, -1, 1]).to(torch.int64), 2)
    quick = SearchSettings(
        depth=2, width=4, population=16, generations=4, rounds=4, prune=20, oracles=("restarts", "refinement")
    )

    problem = Problem(sequences, targets, loss, PENALTIES["l1"], 0.002)

    def work(ranks):
        return search(problem.over(ranks), quick)

    alone = work(Alone())
    assert not search(problem.over(Alone()), replace(quick, prune=0)).network.equals(alone.network)
    for size in (2, 3):
        for result in on_processes(size, work):
            assert result.network.equals(alone.network)
            assert [e.global_bound for e in result.history] == [e.global_bound for e in alone.history]


def test_refusals():
    bits, _ = draw()
    columns = plain_of(bits)
    with pytest.raises(ValueError, match="own must hold rows 0 to 48 on rank 0, got 101 rows"):
        ShardedColumns(columns, N, Alone(0, 2))
    with pytest.raises(
        ValueError, match="at most 12 ranks, and from 262144 rows on over 96: got 13 ranks for 101 rows"
    ):
        ShardedColumns(columns, N, Alone(0, FEW_PARTS + 1))
    with pytest.raises(ValueError, match="got 97 ranks for 262144 rows"):
        rows_of_rank(MANY_ROWS, Alone(0, PARTS + 1))


def test_two_processes_of_torch_distributed():
    """The same through gloo, each rank a process of its own."""
    g = torch.Generator().manual_seed(1)
    W = torch.randn(P, C, generator=g, dtype=torch.float64)

    def work(ranks):
        columns = sharded(draw()[0], ranks)
        scores = columns.matmul(W)
        return scores, columns.rmatmul(scores), columns.take(torch.tensor([3, 0])).dense()

    expected = work(Alone())
    for result in on_processes(2, work):
        assert all(map(torch.equal, result, expected))
