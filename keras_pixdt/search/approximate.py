"""The approximate search of an index, for catalogues of more than a million products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from keras_pixdt.search import exact
from keras_pixdt.search.exact import Queries

if TYPE_CHECKING:
    from keras_pixdt.search.index import ProductIndex


class ApproximateSearch:
    """Searches part of an index: only the nearest k-means clusters are compared (faiss' IVF).

    See Jégou et al. 2011, Product Quantization for Nearest Neighbor Search, Section IV, without the
    quantization. A graph (HNSW) is as fast at the same recall, but takes thirty times as long to
    make, and every opened index makes one. The vectors are copied.

    `ProductIndex.approximate` makes it from the products in the index at that time.
    """

    def __init__(self, index: ProductIndex, lists: int | None, probes: int | None):
        try:
            import faiss
        except ImportError as error:
            raise ImportError(
                "Approximate search needs faiss, which is not installed. "
                'Get it with: pip install "keras_pixdt[search]"'
            ) from error
        count = len(index)
        if lists is None:
            # A power of two: faiss 1.15 takes 20 times as long for 1,025 clusters as for 1,024.
            lists = min(count, 1 << (round(4 * count**0.5).bit_length() - 1))
        probes = min(lists, max(8, lists // 64)) if probes is None else probes
        if not 1 <= probes <= lists <= count:
            raise ValueError(
                f"`lists` and `probes` must be in 1 <= probes <= lists <= {count}, the number of "
                f"products. Received: lists={lists}, probes={probes}"
            )
        self._index = index
        # faiss declares the base class of all indexes, which lacks the settings of this one.
        self._faiss = cast(
            "Any",
            faiss.index_factory(index.dimensions, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT),
        )
        self._faiss.cp.min_points_per_centroid = 1  # or faiss warns of small catalogues
        self._faiss.cp.max_points_per_centroid = 64
        self._faiss.train(index.vectors)
        self._faiss.add(index.vectors)
        self._faiss.nprobe = probes

    def search(self, queries: Queries, k: int = 10) -> tuple[Any, np.ndarray]:
        """See `ProductIndex.search`; the scores are exact, but a near product may be missing."""
        rows, scores = self.nearest(queries, k)
        return self._index._ids_at(rows), scores

    def nearest(self, queries: Queries, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """See `search`, but gives rows instead of ids, as `ProductIndex.nearest` does."""
        checked, k = exact.check(self._index.vectors, queries, k, self._index._name)
        _, found = self._faiss.search(checked, k)
        scores = np.empty(found.shape, np.float32)
        for i, row in enumerate(found):
            if row.min() < 0:  # the clusters that were looked at have fewer products
                found[i], scores[i] = self._index.nearest(checked[i], k)
            else:
                found[i], scores[i] = exact.rank(self._index.vectors, checked[i], row.copy(), k)
        return (found[0], scores[0]) if np.ndim(queries) == 1 else (found, scores)
