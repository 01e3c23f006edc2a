"""A forest of decision trees as plain arrays: grown by scikit-learn, walked here, kept without pickle.

Not covered: growing (`pipelines/faq_fit.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
_LEAF = -1


@dataclass(frozen=True)
class Forest:
    """Trees of two classes, all nodes in one row; `roots` are where each begins. A leaf's `share` is its second class's."""

    roots: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    split: NDArray[np.float32]
    share: NDArray[np.float32]

    @classmethod
    def grown(cls, forest: Any) -> Self:
        """From a fitted scikit-learn forest."""
        trees = [estimator.tree_ for estimator in forest.estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]

        def children(name: str) -> NDArray[np.int32]:
            found = (getattr(tree, name) for tree in trees)
            moved = [np.where(rows < 0, _LEAF, rows + root) for rows, root in zip(found, roots, strict=True)]
            return np.concatenate(moved).astype(np.int32)

        values = np.concatenate([tree.value[:, 0, :] for tree in trees])
        return cls(
            roots.astype(np.int32),
            children("children_left"),
            children("children_right"),
            np.concatenate([tree.feature for tree in trees]).astype(np.int32),
            np.concatenate([tree.threshold for tree in trees]).astype(np.float32),
            (values[:, 1] / values.sum(axis=1)).astype(np.float32),
        )

    @classmethod
    def of(cls, arrays: Arrays) -> Self:
        """From what `arrays` gave.

        Raises:
            KeyError: an array is missing.
        """
        return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that it is made of, by name."""
        return dict(vars(self))

    def probability(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """The mean share of the second class over all trees, one for each row."""
        nodes = np.repeat(self.roots[np.newaxis], len(rows), axis=0)
        line = np.arange(len(rows))[:, np.newaxis]
        while True:
            inner = self.left[nodes] != _LEAF
            if not inner.any():
                mean: NDArray[np.float64] = self.share[nodes].astype(np.float64).mean(axis=1)
                return mean
            goes_left = rows[line, np.maximum(self.feature[nodes], 0)] <= self.split[nodes]
            nodes = np.where(inner, np.where(goes_left, self.left[nodes], self.right[nodes]), nodes)
