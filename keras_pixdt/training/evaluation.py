"""All scores of a converter on one split, as the papers define them.

`evaluate` scores pairs. Its results are plain Python values, ready for JSON. A score that is not
defined is None, with the reason in `notes`:

- `rmse`, `ssim`, `c_ssim`: means over the photos (see `metrics.pixel`).
- With `perceptual`: `lpips` and `dists`, means over the photos (see `metrics.perceptual`).
- With `find_masks`: `mask_iou`, the mean intersection over union of the masks that it finds in the
  photos and the products' own (see `PairSet.masks`), or what is not white in their images.
- `recall@1`, `@5`, `@10`, `@20`, `@60`: share of photos whose product is among the first k, for
  each k smaller than the gallery. Ties count against the converter.
- `median_rank`, `gallery_size`, and `chance_recall@10`, which a random order would reach.
- `photo_recall@10`, `photo_median_rank`: the same with the unconverted photo instead of the
  converted image, which shows how much `convert` helps the search.
- `kid_mean`, `kid_std`: distance (see `metrics.kid`) between the distributions of the converted
  images, one for each product, and of the product images of all splits. It is computed over the
  embedder's `features` if it has such a model (`ProductEmbedder`), otherwise over its output,
  scaled to a mean square of 1. Subsets have half the size of the smaller set, at most 1000. Values
  can only be compared under the same embedder.
- `fid`: Fréchet distance (see `metrics.fid`) between the same two sets of features. Each set needs
  more images than dimensions, otherwise its covariance is singular. It is biased by the number of
  images and above 0 even for equal distributions, so values can only be compared under the same
  embedder and for the same split.
- With `inception`: `kid_inception_mean`, `kid_inception_std`, `fid_inception`, the same over its
  unscaled features.
- With `attribute_classifier`: `cat`, `att` and `classified_*`, the shares of converted images in
  which it sees the right category and the right other attributes (see `attribute_scores`); the same
  with `_of_products`, for the split's real products, which is what a perfect converter would get;
  and the chances, `chance_*`.
- `consistency`: share of the comparisons of Yoo et al. 2016, Eq. 4, that hold among 10,000 random
  triplets of converted images.
- `standard_errors` (score -> its standard error): how far the score might be from the score over
  all photos of this kind. They do not say how far it might be from the score of another training
  run. For means over photos they come from `metrics.standard_error`, with the photos of a product
  as one group. For `consistency`, where each triplet has two products, both are combined.
  `kid_mean` has `kid_std`, which says how much it varies between halves of the images. Median ranks
  and `fid` have none.
- `num_images`, `split`, `gallery`, `notes` (score -> reason).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pixdt.choices import GALLERIES, as_height_width, shown_size
from keras_pixdt.data.images import to_float, to_uint8
from keras_pixdt.data.pairs import DomainSet, PairSet, take_rows
from keras_pixdt.judges import attributes
from keras_pixdt.metrics import consistency, pixel, retrieval, uncertainty
from keras_pixdt.metrics.perceptual import SMALLEST, Distance
from keras_pixdt.models.appearance_flow import garment_mask
from keras_pixdt.training.measures import (
    Convert,
    Measure,
    Scores,
    check,
    features_of,
    in_batches,
    means,
    measured,
    measured_images,
)

# 60 as in Kwon et al. 2019, Tables 1 and 2.
_RECALL_AT = (1, 5, 10, 20, 60)
_PHOTO_RECALL_AT = (10,)
_PIXEL_SCORES = {"rmse": pixel.rmse, "ssim": pixel.ssim, "c_ssim": pixel.color_ssim}
_TRIPLETS = 10_000


def evaluate(
    convert: Convert,
    pair_sets: Mapping[str, PairSet],
    *,
    split: str = "test",
    gallery: str = "split",
    embedder: keras.Model | None = None,
    inception: keras.Model | None = None,
    attribute_classifier: attributes.AttributeClassifier | None = None,
    find_masks: Convert | None = None,
    perceptual: Mapping[str, Distance | str] | None = None,
    reverse: bool = False,
    batch_size: int = 128,
    seed: int = 0,
) -> dict[str, Any]:
    """Converts the photos of a split, once, and scores the results.

    Example:
        >>> pair_sets = keras_pixdt.data.load_pairs("rendered")
        >>> embedder = keras_pixdt.search.train_embedder(pair_sets["train"].targets)
        >>> scores = evaluate(model.converter.predict_on_batch, pair_sets, embedder=embedder)
        >>> scores["recall@10"], scores["chance_recall@10"]

    Args:
        convert: maps photos, float32 `(b, photo_height, photo_width, 3)` in [-1, 1], to images of
            the targets' size and the same range. The last batch may be smaller.
        pair_sets: the splits; only `split` is scored, the others just add product images.
        split: which split to score.
        gallery: the product images to search: those of the `"split"`, as in Kwon et al. 2019, or of
            `"all"` splits. Duplicates of a product are one entry.
        embedder: maps images to features whose cosines compare products, such as the result
            of `train_embedder` (of training products only) or `densenet121_embedder`. Without
            one, only the pixel scores are computed.
        inception: the result of `inception_v3_features`, which maps images to features;
            distributions are then compared by these too.
        attribute_classifier: the result of `train_attribute_classifier` on training products only;
            it judges what converted images show.
        find_masks: maps photos as `convert` gets them to masks of the products' size, float32
            `(b, height, width, 1)` in [0, 1].
        perceptual: distances of two sets of images, or the reason why one is missing, by name: the
            result of `metrics.perceptual.load_present`.
        reverse: whether `convert` goes from the product to the person (Yoo et al. 2016, Fig. 6).
            Its results are compared with each photo of the product, and only the pixel scores and
            those of `perceptual` are defined.
        batch_size: images per call of `convert`.
        seed: seed of the random subsets for `kid_*` and `consistency`.

    Returns:
        The scores that the module's documentation lists.

    Raises:
        ValueError: an argument is not one of the choices, the split is empty, `inception`,
            `attribute_classifier` or `find_masks` are given with `reverse`, or `convert` returns
            another shape, values outside [-1, 1], or values that are not finite.
    """
    photos = _Photos(pair_sets, split, gallery, reverse, batch_size)
    if reverse and any(f is not None for f in (attribute_classifier, inception, find_masks)):
        raise ValueError(
            "`attribute_classifier`, `inception` and `find_masks` look at products, and with "
            "`reverse` persons are drawn. Leave them out."
        )
    embedder = None if reverse else embedder
    distances = photos.large_enough(perceptual or {})
    seen = photos.measure(convert, embedder, inception, attribute_classifier, find_masks, distances)
    photos.average(seen, distances)
    photos.search(embedder, seen, seed)
    if inception is not None:
        photos.compare(inception, seen["drawn"], seed)
    if attribute_classifier is not None:
        photos.classify(attribute_classifier, seen["classes"])
    return photos.scores.result(
        num_images=len(photos.pairs), split=split, gallery=gallery, notes=photos.scores.notes
    )


class _Photos:
    """The photos of a split, and the data to score them."""

    def __init__(
        self,
        pair_sets: Mapping[str, PairSet],
        split: str,
        gallery: str,
        reverse: bool,
        batch_size: int,
    ) -> None:
        check(pair_sets, split, batch_size)
        if gallery not in GALLERIES:
            raise ValueError(f"`gallery` must be 'split' or 'all'. Received: {gallery!r}")
        self.pairs = pairs = pair_sets[split]
        if not len(pairs):
            raise ValueError(
                f"The split {split!r} has no pairs to evaluate. Choose another split, or more data."
            )
        self._reverse, self._batch_size = reverse, batch_size
        products, product_row = _distinct(pairs)
        # Duplicates never straddle splits, so each split is deduplicated separately.
        others = [_distinct(other)[0] for name, other in pair_sets.items() if name != split]
        self._products = [products, *others]
        self._gallery = self._products if gallery == "all" else [products]
        self._truth = product_row[pairs.target_index]
        # Photos of one product give similar images, which would count as a lack of variety.
        self._one_each = np.unique(self._truth, return_index=True)[1]
        self.scores = Scores(self._truth)

    def large_enough(self, perceptual: Mapping[str, Distance | str]) -> dict[str, Distance | str]:
        """The distances, each replaced by the reason if the images are too small for them."""
        drawn = self.pairs.photo_size if self._reverse else self.pairs.image_size
        if min(as_height_width(drawn)) >= SMALLEST:
            return dict(perceptual)
        reason = (
            f"images must have {SMALLEST} px or more on each side, and have {shown_size(drawn)}"
        )
        return dict.fromkeys(perceptual, reason)

    def measure(
        self,
        convert: Convert,
        embedder: keras.Model | None,
        inception: keras.Model | None,
        classifier: attributes.AttributeClassifier | None,
        find_masks: Convert | None,
        perceptual: Mapping[str, Distance | str],
    ) -> dict[str, np.ndarray]:
        """Converts the photos, once, and keeps the data from which scores are computed."""
        pairs = self.pairs
        measures: dict[str, Measure] = {
            name: (score, "target", "converted")
            for name, score in (*_PIXEL_SCORES.items(), *perceptual.items())
            if not isinstance(score, str)
        }
        if embedder is not None:
            measures["embeddings"] = embedder.predict_on_batch, "converted"
            measures["features"] = features_of(embedder), "converted"
            measures["photos"] = embedder.predict_on_batch, "source"
        if classifier is not None:
            predict = functools.partial(attributes.predict_classes, classifier)
            measures["classes"] = predict, "converted"
        if inception is not None:
            measures["drawn"] = to_uint8, "converted"
        if find_masks is not None:

            def iou(photos: np.ndarray, masks: np.ndarray) -> Any:
                return pixel.mask_iou(find_masks(photos), masks)

            measures["mask_iou"] = iou, "source", "mask"

        def read(rows: slice) -> dict[str, np.ndarray]:
            person = to_float(pairs.sources[rows])
            product = to_float(pairs.targets[pairs.target_index[rows]])
            ends = (product, person) if self._reverse else (person, product)
            batch = dict(zip(("source", "target"), ends, strict=True))
            if find_masks is not None:
                batch["mask"] = self._masks(pairs.target_index[rows], product)
            return batch

        return measured(convert, read, len(pairs), self._batch_size, measures)

    def average(
        self, seen: Mapping[str, np.ndarray], perceptual: Mapping[str, Distance | str]
    ) -> None:
        """The scores that are means over the photos."""
        for name in (*_PIXEL_SCORES, *perceptual, "mask_iou"):
            if name in seen:
                self.scores.mean(name, seen[name])
            elif name in perceptual:
                self.scores.undefined([name], str(perceptual[name]))

    def _masks(self, rows: np.ndarray, products: np.ndarray) -> np.ndarray:
        if self.pairs.masks is None:
            return ops.convert_to_numpy(garment_mask(products))
        return self.pairs.masks[rows][..., None] / np.float32(255)

    def search(
        self, embedder: keras.Model | None, seen: Mapping[str, np.ndarray], seed: int
    ) -> None:
        """The scores that need an embedder."""
        scores = self.scores
        size = sum(len(images) for images in self._gallery)
        recalls, photo_recalls = (
            {f"recall@{k}": k for k in at if k < size} for at in (_RECALL_AT, _PHOTO_RECALL_AT)
        )
        names = [*recalls, "median_rank", "gallery_size", "chance_recall@10"]
        names += [f"photo_{name}" for name in (*photo_recalls, "median_rank")]
        names += ["kid_mean", "kid_std", "fid", "consistency"]
        reason = "not defined from product to person" if self._reverse else "needs an embedder"
        scores.undefined(names, reason)
        scores.put("gallery_size", size)
        scores.put("chance_recall@10", min(10, size) / size)
        if embedder is None:
            return
        entries = in_batches(embedder.predict_on_batch, self._gallery, self._batch_size)
        both = (("", "embeddings", recalls), ("photo_", "photos", photo_recalls))
        for prefix, queries, recall_at in both:
            rank = retrieval.ranks(seen[queries], entries, self._truth)
            for name, k in recall_at.items():
                scores.mean(f"{prefix}{name}", rank <= k)
            scores.put(f"{prefix}median_rank", retrieval.median_rank(rank))
        real = in_batches(features_of(embedder), self._products, self._batch_size)
        scores.distances(seen["features"][self._one_each], real, seed)
        self._consistency(seen["embeddings"], seed)

    def compare(self, inception: keras.Model, drawn: np.ndarray, seed: int) -> None:
        """The distances of converted images and products by the features of Inception."""
        fake, real = (
            in_batches(inception.predict_on_batch, images, self._batch_size)
            for images in ([drawn[np.sort(self._one_each)]], self._products)
        )
        self.scores.distances(fake, real, seed, "_inception")

    def _consistency(self, queries: np.ndarray, seed: int) -> None:
        """Eq. 4 over random triplets, where the split has any."""
        truth = self._truth
        counts = np.bincount(truth)
        if counts.max() < 2 or np.count_nonzero(counts) < 2:
            reason = "needs two photos of one product and a photo of another"
            self.scores.undefined(["consistency"], reason)
            return
        triplets = consistency.sample_triplets(truth, _TRIPLETS, seed)
        shares = consistency.triplet_shares(*(queries[rows] for rows in triplets.T))
        errors = (uncertainty.standard_error(shares, truth[triplets[:, i]]) for i in (0, 2))
        both = [error for error in errors if error is not None]
        error = math.hypot(*both) if len(both) == 2 else None
        self.scores.put("consistency", float(shares.mean()), error)

    def classify(self, classifier: attributes.AttributeClassifier, predicted: np.ndarray) -> None:
        """What a classifier sees in converted images, and in the products themselves."""
        pairs, scores = self.pairs, self.scores
        known = pairs.attributes or ({},) * len(pairs.targets)
        shown = [known[row] for row in pairs.target_index]
        found = attributes.score_classes(classifier, predicted, shown)
        of_products = attributes.attribute_scores(classifier, pairs.targets, known)
        found |= {
            f"{name}_of_products": share
            for name, share in of_products.items()
            if not name.startswith("chance_")
        }
        scores.values |= found
        missing = [name for name, share in found.items() if share is None]
        scores.undefined(missing, "the products, or the training products, have no such attribute")
        scores.errors |= attributes.standard_errors(classifier, predicted, shown, self._truth)


def evaluate_domains(
    convert: Convert,
    domain_sets: Mapping[str, DomainSet],
    *,
    split: str = "test",
    embedder: keras.Model | None = None,
    batch_size: int = 128,
    seed: int = 0,
) -> dict[str, Any]:
    """Converts the sources of a split, once, and scores the results without pairs.

    Args:
        convert: see `evaluate`.
        domain_sets: the splits; the sources of `split` are converted, and compared with the
            targets of all of them.
        split: which split to score.
        embedder: see `evaluate`.
        batch_size: images per call of `convert`.
        seed: seed of the random subsets for `kid_*`.

    Returns:
        Plain Python values, ready for JSON: `kid_mean` and `kid_std`, see `evaluate`, between
        the converted images and the target images of all splits; their
        `standard_errors`; `num_images`, `split`, `notes`.

    Raises:
        ValueError: see `evaluate`.
    """
    check(domain_sets, split, batch_size)
    sources, scores = domain_sets[split].sources, Scores()
    if embedder is None:
        scores.undefined(["kid_mean", "kid_std"], "needs an embedder")
    else:
        features = features_of(embedder)
        seen = measured_images(convert, sources, batch_size, {"fake": (features, "converted")})
        targets = [domains.targets for domains in domain_sets.values()]
        scores.kid(seen["fake"], in_batches(features, targets, batch_size), seed, "images")
    return scores.result(num_images=len(sources), split=split, notes=scores.notes)


def evaluate_reconstruction(
    reconstruct: Convert, sources: np.ndarray, batch_size: int = 128
) -> dict[str, Any]:
    """Scores images that are converted and converted back, against the originals.

    Args:
        reconstruct: maps images, float32 `(b, size, size, 3)` in [-1, 1], to the same.
        sources: uint8 `(n, size, size, 3)`.
        batch_size: images per call of `reconstruct`.

    Returns:
        `reconstruction_rmse` and `reconstruction_ssim`: means over the images (see
        `metrics.pixel`); `standard_errors` of both, of images that are independent.

    Raises:
        ValueError: `reconstruct` breaks a rule for `convert` of `evaluate`.
    """
    measures: dict[str, Measure] = {
        f"reconstruction_{name}": (_PIXEL_SCORES[name], "source", "converted")
        for name in ("rmse", "ssim")
    }
    return means(measured_images(reconstruct, sources, batch_size, measures))


def _distinct(pairs: PairSet) -> tuple[np.ndarray, np.ndarray]:
    """One product image per group of duplicates, and each product's row among these."""
    _, first, row = np.unique(pairs.group_id, return_index=True, return_inverse=True)
    return take_rows(pairs.targets, first), row
