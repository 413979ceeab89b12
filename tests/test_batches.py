"""Sequences that are read batch by batch give what the whole array gives, to the last bit."""

import itertools

import numpy as np
import pytest
import torch

from convexsnn import Exact, Gaussian, Kernels, Reservoir, SpikingClassifier, SpikingRegressor, as_batches, prefixes
from convexsnn.dictionary import build_dictionary
from convexsnn.prefixes import equal_prefixes
from convexsnn.sequences import as_sequences
from convexsnn.verification import verify
from convexsnn.witnesses import Architecture, gaussian

SMALL = Gaussian(depth=2, branches=1, last=40)


def bits(n=61, T=6, d=3, seed=0):
    """Coarse numbers, so that some sequences are equal; and labels."""
    draws = np.random.default_rng(seed)
    X = draws.integers(-1, 2, size=(n, T, d)).astype(float)
    X[-5:] = X[:5]
    return X, (X[:, 0, 0] * X[:, -1, 1] > 0).astype(int)


def ragged(n=40, seed=1):
    draws = np.random.default_rng(seed)
    return [draws.integers(-1, 2, size=(steps, 2)).astype(float) for steps in draws.integers(1, 6, n)]


def cut(*arrays, size=7):
    return [tuple(a[start : start + size] for a in arrays) for start in range(0, len(arrays[0]), size)]


def assert_same_fit(one, other):
    assert one.certificate_ == other.certificate_
    assert torch.equal(one.trained_.W, other.trained_.W)
    assert torch.equal(one.trained_.U, other.trained_.U)
    assert one.trained_.data_digest == other.trained_.data_digest
    assert one.beta_ == other.beta_


@pytest.mark.parametrize("loss", ["logistic", "cross_entropy"])
@pytest.mark.parametrize("per_step", [False, True])
def test_a_fit_from_batches_is_that_from_the_whole_array(loss, per_step):
    X, y = bits()
    y = np.repeat(y[:, None], X.shape[1], axis=1) if per_step else y
    model = SpikingClassifier(witnesses=SMALL, loss=loss, beta=0.1, per_step=per_step, intercept=True, random_state=0)
    whole = model.fit(X, y)
    batches = as_batches(cut(X, y))
    again = SpikingClassifier(**model.get_params(deep=False)).fit(batches)
    assert_same_fit(whole, again)
    np.testing.assert_array_equal(whole.predict(X), again.predict(batches))
    assert again.score(batches) == whole.score(X, y)
    assert again.problem(batches).objective(again.network_) == whole.problem(X, y).objective(whole.network_)
    assert verify(whole.trained_, whole.certificate_, whole.problem(batches)).problems == ()


def test_sequences_of_unequal_length_are_padded_to_the_longest_of_all():
    X = ragged()
    y = np.array([len(x) % 2 for x in X])
    model = SpikingClassifier(witnesses=SMALL, beta=0.1, random_state=0)
    whole = model.fit(X, y)
    again = SpikingClassifier(**model.get_params(deep=False)).fit(as_batches(cut(X, y)))
    assert_same_fit(whole, again)
    steps = [np.arange(len(x)) % 2 for x in X]
    model = SpikingClassifier(witnesses=SMALL, beta=0.1, per_step=True, random_state=0)
    again = SpikingClassifier(**model.get_params(deep=False)).fit(as_batches(cut(X, steps)))
    assert_same_fit(model.fit(X, steps), again)


def test_several_betas_hold_out_the_same_sequences():
    X, y = bits()
    given = gaussian(Architecture(n_features=3, depth=2, branches=1, last=30), torch.Generator().manual_seed(1))
    model = SpikingClassifier(witnesses=given, beta=(0.3, 0.03), random_state=0)
    again = SpikingClassifier(**model.get_params(deep=False)).fit(as_batches(cut(X, y)))
    assert_same_fit(model.fit(X, y), again)


@pytest.mark.parametrize(("most", "size"), [(1, 1), (6 * 3 * 5 + 1, 5), (10**6, 61)])
def test_long_sequences_are_read_fewer_at_a_time(most, size):
    X, y = bits()
    whole, batches = as_sequences(X), as_batches(lambda: cut(X, y))
    for source in (whole, batches):
        parts = list(source.in_numbers(most))
        assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
        assert torch.equal(torch.cat([part.values for part in parts]), whole.values)


def test_weights_come_with_the_batches_and_zero_leaves_out():
    X, y = bits()
    weight = np.arange(len(X)) % 3 / 2
    model = SpikingRegressor(witnesses=SMALL, beta=0.1, random_state=0)
    again = SpikingRegressor(**model.get_params(deep=False)).fit(as_batches(cut(X, y, weight)))
    assert_same_fit(model.fit(X, y, weight), again)


def test_a_reservoir_is_tuned_on_the_first_batch():
    X, y = bits()
    family = Reservoir(depth=2, branches=1, last=20, sample_size=16)
    model = SpikingClassifier(witnesses=family, beta=0.1, random_state=0)
    again = SpikingClassifier(**model.get_params(deep=False)).fit(as_batches(cut(X, y, size=16)))
    assert_same_fit(model.fit(X, y), again)


def test_kernels_are_drawn_from_the_first_batch():
    X, y = bits(T=9)
    X += 0.1 * np.random.default_rng(2).normal(size=X.shape)
    family = Kernels(last=30)
    model = SpikingClassifier(witnesses=family, beta=0.1, random_state=0).fit(as_batches(cut(X, y, size=50)))
    drawn = model.trained_.witnesses
    assert model.certificate_.holds(1e-6)
    again = SpikingClassifier(witnesses=drawn, beta=0.1, loss="squared", penalty="ridge", random_state=0).fit(X, y)
    assert_same_fit(again, model)


@pytest.mark.parametrize("witnesses", ["search", "surrogate", Exact(), "gaussian+search"])
def test_families_that_need_all_sequences_say_so(witnesses):
    X, y = bits()
    with pytest.raises(ValueError, match=r"needs all sequences in memory.*one of gaussian, heterogeneous, kernels"):
        SpikingClassifier(witnesses=witnesses).fit(as_batches(cut(X, y)))


def test_columns_may_be_in_a_file_which_leaves_nothing(tmp_path):
    X, y = bits()
    hidden = gaussian(Architecture(n_features=3, depth=2, branches=1, last=40), torch.Generator().manual_seed(0))
    whole = build_dictionary(hidden, as_sequences(X))
    batches = as_batches(cut(X, y), columns_in=tmp_path)
    filed = build_dictionary(hidden, batches)
    assert torch.equal(whole.columns.packed, filed.columns.packed)
    assert torch.equal(whole.column_of, filed.column_of)
    assert whole.spike_margin == filed.spike_margin
    assert list(tmp_path.iterdir()) == []
    again = SpikingClassifier(witnesses=SMALL, beta=0.1, random_state=0).fit(batches)
    assert_same_fit(SpikingClassifier(witnesses=SMALL, beta=0.1, random_state=0).fit(X, y), again)


@pytest.mark.parametrize("every_step", [False, True])
def test_equal_inputs_are_found_by_their_digests(every_step):
    for X in (bits()[0], ragged()):
        batches = as_batches(cut(X))
        expected = equal_prefixes(as_sequences(X), every_step=every_step)
        assert torch.equal(equal_prefixes(batches, every_step=every_step), expected)


@pytest.mark.parametrize("size", [1, 5, 7, 61, 100])
def test_chunks_do_not_depend_on_the_batches(size):
    X, _ = bits()
    whole, batches = as_sequences(X), as_batches(cut(X))
    for some in (slice(None), torch.tensor([0, 6, 7, 20, 60])):
        for one, other in itertools.zip_longest(whole.take(some).chunks(size), batches.take(some).chunks(size)):
            assert torch.equal(one.values, other.values)
            assert torch.equal(one.lengths, other.lengths)


def test_all_sources_give_the_same(tmp_path):
    X, y = bits()
    lengths = np.full(len(X), 4)
    for i, (x, own, steps) in enumerate(cut(X, y, lengths)):
        np.savez(tmp_path / f"{i:03d}.npz", X=x, y=own, lengths=steps)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(X[:, :4]), torch.from_numpy(y)), batch_size=7
    )
    paths = sorted(tmp_path.glob("*.npz"))
    generator = lambda: iter(cut(X[:, :4], y))  # noqa: E731
    mappings = [{"X": x, "y": own} for x, own in cut(X[:, :4], y)]
    for source in (tmp_path, str(tmp_path), paths, loader, generator, mappings):
        batches = as_batches(source)
        (whole,) = batches.chunks(100)
        assert (len(batches), batches.n_features) == (61, 3)
        assert (whole.lengths == 4).all()
        np.testing.assert_array_equal(whole.values[:, :4], X[:, :4])
        np.testing.assert_array_equal(batches.y, y)


def changing(*passes):
    """A source that gives another list of batches in each pass."""
    left = list(passes)
    return lambda: left.pop(0)


def test_refusals_name_what_is_wrong():
    X, y = bits()
    batches = cut(X, y)
    with pytest.raises(ValueError, match="can be read only once"):
        as_batches(iter(batches))
    with pytest.raises(ValueError, match="must give batches, such as a DataLoader"):
        as_batches(3)
    with pytest.raises(ValueError, match="holds no batch"):
        as_batches([])
    with pytest.raises(ValueError, match="3 and of 2 features"):
        as_batches([X, X[:, :, :2]])
    with pytest.raises(ValueError, match="y with every batch or with none"):
        as_batches([(X, y), X])
    with pytest.raises(ValueError, match="61 sequences has y of 60"):
        as_batches([(X, y[1:])])
    with pytest.raises(ValueError, match=r"folder of \.npz files"):
        as_batches("/nowhere")
    with pytest.raises(ValueError, match="make it first"):
        as_batches(batches, columns_in="/nowhere")
    with pytest.raises(ValueError, match="y comes with the batches"):
        SpikingClassifier(witnesses=SMALL).fit(as_batches(batches), y)
    with pytest.raises(ValueError, match="lengths come with the batches"):
        SpikingClassifier(witnesses=SMALL).fit(as_batches(batches), lengths=np.ones(61, int))
    with pytest.raises(ValueError, match="must ascend"):
        as_batches(batches).take(torch.tensor([3, 2]))


@pytest.mark.parametrize("other", ["labels", "fewer", "lengths"])
def test_a_source_that_changes_between_passes_is_refused(other):
    X, y = bits()
    batches = cut(X, y)
    second = {"labels": batches[::-1][1:] + batches[-1:], "fewer": batches[:-1], "lengths": cut(X[:, :4], y)}[other]
    source = as_batches(changing(batches, second))
    with pytest.raises(ValueError, match="shuffle=False"):
        list(source.chunks(10))


def test_the_default_recipe_takes_batches_of_real_numbers():
    X, _ = bits(T=9)
    X += 0.1 * np.random.default_rng(2).normal(size=X.shape)
    y = (X[:, :3, 0].mean(axis=1) > 0).astype(int)
    model = SpikingClassifier(witnesses=Kernels(last=40, choose_windows=True), random_state=0)
    again = SpikingClassifier(**model.get_params(deep=False)).fit(as_batches(cut(X, y, size=61)))
    assert_same_fit(model.fit(X, y), again)


@pytest.mark.parametrize("every_step", [False, True])
def test_rows_whose_digests_begin_alike_are_told_apart(every_step, monkeypatch):
    """Where the first bytes of two digests are the same, all of them are compared."""
    X, _ = bits()
    expected = equal_prefixes(as_sequences(X), every_step=every_step)
    digests = prefixes._digests

    def alike(*arguments):
        return (bytes([digest[0] % 3]) + bytes(7) + digest for digest in digests(*arguments))

    monkeypatch.setattr(prefixes, "_digests", alike)
    assert torch.equal(equal_prefixes(as_batches(cut(X)), every_step=every_step), expected)
