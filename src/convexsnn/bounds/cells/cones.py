"""What compiled code knows of a batch of regions, and of the states that decide in them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# A region of more facets is not cut, as their set is one number of 64 bits.
MOST_FACETS = 63
ONE = np.uint64(1)
NONE = np.uint64(0)


class FormTable(NamedTuple):
    """States as compiled code reads them.

    Attributes
    ----------
    node : int64 array of shape (S,)
        Of the decision tree; -1 for the planes on which a parameter is 0.
    form : float64 array of shape (S, r)
        Over the sum of its absolute entries, each within half a unit in the last place. Forms that move with the leak
        have r entries for each power of it (`polynomials`).
    error : float64 array of shape (S,)
        Of forms that move with the leak: by how much their coefficients are off at most, all together.
    next : int64 array of shape (S, 2)
        The first of the states that follow silence or a spike; -1 where they are not made yet.
    first : int64 array of shape (N + 1,)
        As in `DecisionTree`.
    """

    node: NDArray
    form: NDArray
    error: NDArray
    next: NDArray
    first: NDArray


class Cones(NamedTuple):
    """The geometry of a batch of B regions.

    Attributes
    ----------
    ray : float64 array of shape (R, r + 1)
        Rays of largest entry 1, and how far the product with a form can be off. Rays that move with the leak have r
        entries for each power of it, and their error (`polynomials`).
    zeros : uint64 array of shape (R,)
        The facets of its region on which a ray lies, as bits.
    rays : int64 array of shape (B + 1,)
        The rays of region b are rays[b] .. rays[b + 1] - 1.
    facet : int64 array of shape (F,)
        2 * state + 1 for a form that is negative on the region, 2 * state for one that is not.
    facets : int64 array of shape (B + 1,)
    """

    ray: NDArray
    zeros: NDArray
    rays: NDArray
    facet: NDArray
    facets: NDArray
