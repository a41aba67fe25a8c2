"""All scores of a converter on one split, as the papers define them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pixdt.data.images import to_float, to_uint8
from keras_pixdt.data.pairs import DomainSet, PairSet
from keras_pixdt.judges import attributes
from keras_pixdt.judges.classifier import classify
from keras_pixdt.metrics import consistency, kid_fid, pixel, retrieval, uncertainty

# 60 as in Kwon et al. 2019, Tables 1 and 2.
_RECALL_AT = (1, 5, 10, 20, 60)
_PHOTO_RECALL_AT = (10,)
_PIXEL_SCORES = {"rmse": pixel.rmse, "ssim": pixel.ssim, "c_ssim": pixel.color_ssim}
_TRIPLETS = 10_000
_KID_LARGEST_SUBSET = 1000  # as Binkowski et al. 2018
# Below it the subsets, of half the images each, say nothing.
_KID_FEWEST_IMAGES = 20


def evaluate(
    convert: Callable[[np.ndarray], np.ndarray],
    pair_sets: Mapping[str, PairSet],
    *,
    split: str = "test",
    gallery: str = "split",
    embedder: keras.Model | None = None,
    inception: keras.Model | None = None,
    attribute_classifier: attributes.AttributeClassifier | None = None,
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
        convert: maps photos, float32 `(b, size, size, 3)` in [-1, 1], to images of the same
            shape and range. The last batch may be smaller.
        pair_sets: the splits; `split` is scored, the others only add product images.
        split: which split to score.
        gallery: the product images among which the right one is looked for: those of the
            `"split"`, as Kwon et al. 2019 do, or of `"all"` splits. Duplicates of a product
            are one entry.
        embedder: maps images to features whose cosines compare products, such as the result
            of `train_embedder` (of training products only) or `densenet121_embedder`. Without
            one, only the pixel scores are computed.
        inception: maps images to features, what `inception_v3_features` returns, by which
            distributions are compared as well.
        attribute_classifier: of training products only, what `train_attribute_classifier`
            returns; it judges what converted images show.
        reverse: whether `convert` goes from the product to the person (Yoo et al. 2016, Fig. 6).
            Its results are compared with each photo of the product; only the pixel scores are
            defined.
        batch_size: images per call of `convert`.
        seed: of the random subsets behind `kid_*` and `consistency`.

    Returns:
        Plain Python values, ready for JSON; None where a score is not defined, with the reason
        in `notes`:

        - `rmse`, `ssim`, `c_ssim`: means over the photos (see `metrics.pixel`).
        - `recall@1`, `@5`, `@10`, `@20`, `@60`: share of photos whose product is among the first k,
          for each k smaller than the gallery. Ties count against the converter.
        - `median_rank`, `gallery_size`, and `chance_recall@10`, of a random order.
        - `photo_recall@10`, `photo_median_rank`: the same with the photo itself, unconverted, in
          the place of the converted image: what the search gains from `convert`.
        - `kid_mean`, `kid_std`: distance (see `metrics.kid`) between the distributions of the
          converted images, one for each product, and of the product images of all splits. It is
          over the embedder's `features` if it has such a model (`ProductEmbedder`), else over
          its output, scaled to a mean square of 1; by subsets of half the smaller set, 1000 at
          most. Comparable only under one embedder.
        - `fid`: Fréchet distance (see `metrics.fid`) between the same two sets of features. Each
          needs more images than there are dimensions, or its covariance is singular. It is
          biased by the number of images, above 0 for equal distributions: comparable only under
          one embedder and for one split.
        - With `inception`: `kid_inception_mean`, `kid_inception_std`, `fid_inception`, the same
          over its features, as they are.
        - With `attribute_classifier`: `cat`, `att` and `classified_*`, the shares of converted
          images in which it sees the right category and the right other attributes (see
          `attribute_scores`); the same with `_of_products`, for the split's real products, which
          is what a perfect converter would get; and the chances, `chance_*`.
        - `consistency`: share of the comparisons of Yoo et al. 2016, Eq. 4, that hold among
          10,000 random triplets of converted images.
        - `standard_errors` (score -> its standard error), how far the score might be from that of
          all photos of the kind; how far from that of another training, they do not say. Scores
          that are means over photos have that of `metrics.standard_error`, with the photos of a
          product as one group; `consistency`, where a product is in two places of a triplet, that
          of both together; `kid_mean` has `kid_std`, how much it varies between halves of the
          images. Median ranks and `fid` have none.
        - `num_images`, `split`, `gallery`, `notes` (score -> reason).

    Raises:
        ValueError: an argument is not one of the choices, the split is empty, `inception` or
            `attribute_classifier` are given with `reverse`, or `convert` returns another shape,
            values outside [-1, 1], or values that are not finite.
    """
    _check(pair_sets, split, batch_size)
    if gallery not in ("split", "all"):
        raise ValueError(f"`gallery` must be 'split' or 'all'. Received: {gallery!r}")
    pairs = pair_sets[split]
    if not len(pairs):
        raise ValueError(
            f"The split {split!r} has no pairs to evaluate. Choose another split, or more data."
        )
    if reverse and (attribute_classifier is not None or inception is not None):
        raise ValueError(
            "`attribute_classifier` and `inception` look at products, and with `reverse` persons "
            "are drawn. Leave them out."
        )

    products, product_row = _distinct(pairs)
    truth = product_row[pairs.target_index]
    embed = None if embedder is None or reverse else _Embedder(embedder)
    # Photos of one product are converted alike, which would count as lack of variety.
    one_each = np.unique(truth, return_index=True)[1]
    pixel_scores: dict[str, list[np.ndarray]] = {name: [] for name in _PIXEL_SCORES}
    embeddings, features, photo_embeddings, predicted, drawn = [], [], [], [], []
    for start in range(0, len(pairs), batch_size):
        rows = slice(start, start + batch_size)
        source = to_float(pairs.sources[rows])
        target = to_float(pairs.targets[pairs.target_index[rows]])
        if reverse:
            source, target = target, source
        converted = _converted(convert, source, start)
        for name, score in _PIXEL_SCORES.items():
            pixel_scores[name].append(ops.convert_to_numpy(score(target, converted)))
        if embed is not None:
            embeddings.append(embed.embeddings(converted))
            features.append(embed.features(converted))
            photo_embeddings.append(embed.embeddings(source))
        if attribute_classifier is not None:
            predicted.append(attributes.predict_classes(attribute_classifier, converted))
        if inception is not None:
            drawn.append(to_uint8(converted[np.isin(np.arange(len(pairs))[rows], one_each)]))

    means = {name: np.concatenate(values) for name, values in pixel_scores.items()}
    scores: dict[str, Any] = {name: float(v.mean(dtype=np.float64)) for name, v in means.items()}
    notes: dict[str, str] = {}
    errors: dict[str, float | None] = {}
    # Duplicates never straddle splits, so each split is made distinct by itself.
    others = [_distinct(other)[0] for name, other in pair_sets.items() if name != split]
    every_product = [products, *others]
    galleries = every_product if gallery == "all" else [products]
    size = sum(len(images) for images in galleries)
    chance = min(10, size) / size
    photo_recall_at = [k for k in _PHOTO_RECALL_AT if k < size]
    if embed is None:
        scores |= dict.fromkeys([f"recall@{k}" for k in _RECALL_AT if k < size])
        scores |= {"median_rank": None, "gallery_size": size, "chance_recall@10": chance}
        scores |= dict.fromkeys([f"photo_recall@{k}" for k in photo_recall_at])
        scores |= {"photo_median_rank": None}
        scores |= dict.fromkeys(["kid_mean", "kid_std", "fid", "consistency"])
        for name in (name for name, value in scores.items() if value is None):
            notes[name] = "not defined from product to person" if reverse else "needs an embedder"
    else:
        queries = np.concatenate(embeddings)
        entries = _in_batches(embed.embeddings, galleries, batch_size)
        rank = retrieval.ranks(queries, entries, truth)
        scores |= {f"recall@{k}": retrieval.recall_at_k(rank, k) for k in _RECALL_AT if k < size}
        means |= {f"recall@{k}": rank <= k for k in _RECALL_AT if k < size}
        scores |= {
            "median_rank": retrieval.median_rank(rank),
            "gallery_size": size,
            "chance_recall@10": chance,
        }
        rank = retrieval.ranks(np.concatenate(photo_embeddings), entries, truth)
        scores |= {f"photo_recall@{k}": retrieval.recall_at_k(rank, k) for k in photo_recall_at}
        means |= {f"photo_recall@{k}": rank <= k for k in photo_recall_at}
        scores["photo_median_rank"] = retrieval.median_rank(rank)
        fake = np.concatenate(features)[one_each]
        real = _in_batches(embed.features, every_product, batch_size)
        scores |= _kid(fake, real, seed, notes, "products") | _fid(fake, real, notes)
        scores["consistency"], errors["consistency"] = _consistency(queries, truth, seed, notes)
    if inception is not None:
        fake, real = (
            _in_batches(inception.predict_on_batch, images, batch_size)
            for images in ([np.concatenate(drawn)], every_product)
        )
        scores |= _kid(fake, real, seed, notes, "products", "kid_inception")
        scores |= _fid(fake, real, notes, "fid_inception")
    if attribute_classifier is not None:
        seen = np.concatenate(predicted)
        found, of_photos = _classified(attribute_classifier, seen, pairs, truth, notes)
        scores |= found
        errors |= of_photos
    errors |= {name: uncertainty.standard_error(values, truth) for name, values in means.items()}
    errors |= _kid_errors(scores)
    return scores | {
        "standard_errors": _known(errors),
        "num_images": len(pairs),
        "split": split,
        "gallery": gallery,
        "notes": notes,
    }


def evaluate_domains(
    convert: Callable[[np.ndarray], np.ndarray],
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
        seed: of the random subsets behind `kid_*`.

    Returns:
        Plain Python values, ready for JSON: `kid_mean` and `kid_std`, see `evaluate`, between
        the converted images and the target images of all splits; their
        `standard_errors`; `num_images`, `split`, `notes`.

    Raises:
        ValueError: see `evaluate`.
    """
    _check(domain_sets, split, batch_size)
    sources = domain_sets[split].sources
    scores: dict[str, Any] = {"kid_mean": None, "kid_std": None}
    notes: dict[str, str] = {}
    if embedder is None:
        notes |= dict.fromkeys(scores, "needs an embedder")
    else:
        embed = _Embedder(embedder)
        features = []
        for start in range(0, len(sources), batch_size):
            source = to_float(sources[start : start + batch_size])
            features.append(embed.features(_converted(convert, source, start)))
        fake = np.concatenate(features)
        targets = [domains.targets for domains in domain_sets.values()]
        scores = _kid(fake, _in_batches(embed.features, targets, batch_size), seed, notes, "images")
    errors = _known(_kid_errors(scores))
    return scores | {
        "standard_errors": errors, "num_images": len(sources), "split": split, "notes": notes,
    }  # fmt: skip


def evaluate_reconstruction(
    reconstruct: Callable[[np.ndarray], np.ndarray], sources: np.ndarray, batch_size: int = 128
) -> dict[str, Any]:
    """Scores what is converted and converted back by what it was.

    Args:
        reconstruct: maps images, float32 `(b, size, size, 3)` in [-1, 1], to the same.
        sources: uint8 `(n, size, size, 3)`.
        batch_size: images per call of `reconstruct`.

    Returns:
        `reconstruction_rmse` and `reconstruction_ssim`: means over the images (see
        `metrics.pixel`); `standard_errors` of both, of images that are independent.

    Raises:
        ValueError: `reconstruct` returns what `convert` of `evaluate` may not.
    """
    names = ("rmse", "ssim")
    scores: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for start in range(0, len(sources), batch_size):
        source = to_float(sources[start : start + batch_size])
        back = _converted(reconstruct, source, start)
        for name in names:
            scores[name].append(ops.convert_to_numpy(_PIXEL_SCORES[name](source, back)))
    return _means_and_errors(
        {f"reconstruction_{name}": np.concatenate(values) for name, values in scores.items()}
    )


def evaluate_labels(
    convert: Callable[[np.ndarray], np.ndarray],
    domain_sets: Mapping[str, DomainSet],
    target_classifier: keras.Model,
    source_classifier: keras.Model | None = None,
    *,
    split: str = "test",
    batch_size: int = 128,
) -> dict[str, Any]:
    """Judges converted images by the labels of what they were converted from.

    Taigman et al. 2017, Table 1: the accuracy of a classifier of the second domain.

    Differs from the paper:
      - G learns from MNIST's test images there, and the judge from its training images (Sec. 5.1),
        as in `pixdt reproduce`. In a run G learns from the training split of both domains, as every
        model does, and the judge from the other splits of the second.

    Args:
        convert: see `evaluate`.
        domain_sets: the splits, with labels of the same classes in both domains.
        target_classifier: of the second domain, `keras_pixdt.judges.classifier` has it. It must
            not have learned from the targets of "train": these say how good it is.
        source_classifier: of the first one, if there is one.
        split: which split to score.
        batch_size: images per call of `convert`.

    Returns:
        `accuracy`, of the target classifier on converted images; `accuracy_unconverted`, on the
        images as they were; `accuracy_targets`, on the targets of "train", whichever split is
        scored: it has not seen them, and what it does not know of these it cannot judge; and
        `accuracy_source_classifier`, of the source classifier on the images as they were;
        `standard_errors` of all, of images that are independent.

    Raises:
        ValueError: see `evaluate`, or labels are missing.
    """
    _check(domain_sets, split, batch_size)
    if "train" not in domain_sets:
        raise ValueError(
            "`domain_sets` must have 'train', whose targets tell how good the target classifier "
            f"is. Received: {sorted(domain_sets)}"
        )
    domains, unseen = domain_sets[split], domain_sets["train"]
    if domains.source_labels is None or unseen.target_labels is None:
        raise ValueError(
            f"The sources of the split {split!r} and the targets of 'train' must have labels."
        )
    right: dict[str, list[np.ndarray]] = {}

    def judge(name: str, judge: keras.Model, images: np.ndarray, labels: np.ndarray) -> None:
        right.setdefault(name, []).append(classify(judge, images) == labels)

    for start in range(0, len(domains.sources), batch_size):
        rows = slice(start, start + batch_size)
        source, labels = to_float(domains.sources[rows]), domains.source_labels.index[rows]
        judge("accuracy", target_classifier, _converted(convert, source, start), labels)
        judge("accuracy_unconverted", target_classifier, source, labels)
        if source_classifier is not None:
            judge("accuracy_source_classifier", source_classifier, source, labels)
    for start in range(0, len(unseen.targets), batch_size):
        rows = slice(start, start + batch_size)
        labels = unseen.target_labels.index[rows]
        judge("accuracy_targets", target_classifier, to_float(unseen.targets[rows]), labels)
    return _means_and_errors({name: np.concatenate(parts) for name, parts in right.items()})


def _means_and_errors(values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The means of scores of independent images, and their standard errors."""
    errors = {name: uncertainty.standard_error(v) for name, v in values.items()}
    means = {name: float(v.mean(dtype=np.float64)) for name, v in values.items()}
    return means | {"standard_errors": _known(errors)}


def _kid_errors(scores: Mapping[str, Any]) -> dict[str, float | None]:
    """The spread of KID over its subsets, which stands in for its standard error."""
    kinds = ("kid", "kid_inception")
    return {f"{kind}_mean": scores.get(f"{kind}_std") for kind in kinds}


def _known(errors: Mapping[str, float | None]) -> dict[str, float]:
    return {name: error for name, error in errors.items() if error is not None}


def _check(sets: Mapping[str, Any], split: str, batch_size: int) -> None:
    if split not in sets:
        raise ValueError(f"`split` must be one of {sorted(sets)}. Received: {split!r}")
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size}")


class _Embedder:
    """What is computed from images in batches: one vector to search by, one to compare sets by."""

    def __init__(self, model: keras.Model):
        self._model = model
        self._features = getattr(model, "features", None)

    def embeddings(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(self._model.predict_on_batch(images))

    def features(self, images: np.ndarray) -> np.ndarray:
        model = self._features or self._model
        # The cubic kernel of KID lets single outliers decide unless the lengths are equal.
        vectors = retrieval.unit_vectors(model.predict_on_batch(images))
        return vectors * np.sqrt(np.float32(vectors.shape[1]))


def _in_batches(
    function: Callable[[np.ndarray], np.ndarray], sets: list[np.ndarray], batch_size: int
) -> np.ndarray:
    """Applies a function of float images to sets of uint8 images; their results end to end."""
    return np.concatenate(
        [
            function(to_float(images[start : start + batch_size]))
            for images in sets
            for start in range(0, len(images), batch_size)
        ]
    )


def _distinct(pairs: PairSet) -> tuple[np.ndarray, np.ndarray]:
    """One product image of each group of duplicates, and the row of it for each product."""
    _, first, row = np.unique(pairs.group_id, return_index=True, return_inverse=True)
    return pairs.targets[first], row


def _converted(
    convert: Callable[[np.ndarray], np.ndarray], sources: np.ndarray, start: int
) -> np.ndarray:
    """The images that `convert` returns, once they are what it promises."""
    converted = ops.convert_to_numpy(convert(sources)).astype(np.float32)
    if converted.shape != sources.shape:
        raise ValueError(
            f"`convert` must return images of the shape it gets, {sources.shape}. "
            f"Received: {converted.shape}"
        )
    finite = np.isfinite(converted).all(axis=(1, 2, 3))
    if not finite.all():
        raise ValueError(
            f"`convert` returned values that are not finite for {np.sum(~finite)} of "
            f"{len(finite)} photos, first for photo {start + np.argmin(finite)} of the split. "
            "Did its training diverge?"
        )
    low, high = converted.min(), converted.max()
    # Half precision and quantisation overshoot a little.
    if low < -1.01 or high > 1.01:
        raise ValueError(
            "`convert` must return images in [-1, 1], x / 127.5 - 1 of uint8. "
            f"Received values from {low:.4g} to {high:.4g}"
        )
    return converted


def _kid(
    fake: np.ndarray,
    real: np.ndarray,
    seed: int,
    notes: dict[str, str],
    what: str,
    name: str = "kid",
) -> dict[str, float | None]:
    """KID by subsets of half the smaller set, so that the subsets of both sets vary."""
    names = (f"{name}_mean", f"{name}_std")
    if len(fake) < _KID_FEWEST_IMAGES:
        reason = (
            f"needs the converted images of at least {_KID_FEWEST_IMAGES} {what}, "
            f"there are {len(fake)}"
        )
        notes |= dict.fromkeys(names, reason)
        return dict.fromkeys(names)
    subset_size = min(_KID_LARGEST_SUBSET, min(len(fake), len(real)) // 2)
    scores = kid_fid.kid(fake, real, subset_size=subset_size, seed=seed)
    return dict(zip(names, scores, strict=True))


def _fid(
    fake: np.ndarray, real: np.ndarray, notes: dict[str, str], name: str = "fid"
) -> dict[str, float | None]:
    """FID, where both covariances can have full rank."""
    images, dimensions = min(len(fake), len(real)), fake.shape[1]
    if images <= dimensions:
        notes[name] = (
            f"needs more products than the features have dimensions, {dimensions}, "
            f"there are {images}"
        )
        return {name: None}
    return {name: kid_fid.fid(fake, real)}


def _classified(
    classifier: attributes.AttributeClassifier,
    predicted: np.ndarray,
    pairs: PairSet,
    truth: np.ndarray,
    notes: dict[str, str],
) -> tuple[dict[str, float | None], dict[str, float]]:
    """What the classifier sees in converted images, and beside it in the products themselves.

    With the standard errors of the former.
    """
    known = pairs.attributes or ({},) * len(pairs.targets)
    shown = [known[row] for row in pairs.target_index]
    scores = attributes.score_classes(classifier, predicted, shown)
    of_products = attributes.attribute_scores(classifier, pairs.targets, known)
    scores |= {
        f"{name}_of_products": share
        for name, share in of_products.items()
        if not name.startswith("chance_")
    }
    for name in (name for name, share in scores.items() if share is None):
        notes[name] = "the products, or the training products, have no such attribute"
    return scores, attributes.standard_errors(classifier, predicted, shown, truth)


def _consistency(
    queries: np.ndarray, truth: np.ndarray, seed: int, notes: dict[str, str]
) -> tuple[float | None, float | None]:
    """Eq. 4 over random triplets, where the split has any, and its standard error."""
    counts = np.bincount(truth)
    if counts.max() < 2 or np.count_nonzero(counts) < 2:
        notes["consistency"] = "needs two photos of one product and a photo of another"
        return None, None
    triplets = consistency.sample_triplets(truth, _TRIPLETS, seed)
    shares = consistency.triplet_shares(*(queries[rows] for rows in triplets.T))
    errors = (uncertainty.standard_error(shares, truth[triplets[:, i]]) for i in (0, 2))
    both = [error for error in errors if error is not None]
    return float(shares.mean()), math.hypot(*both) if len(both) == 2 else None
