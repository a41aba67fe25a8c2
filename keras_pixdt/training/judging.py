"""The judge of a Domain Transfer Network's run, and what each of its networks learns from.

A Domain Transfer Network's run uses its images as follows (Taigman et al. 2017, Sec. 5.1). Nothing
else learns from the judge's images. (In the paper, the judge learns from the training images of
MNIST, and G from the test images.)

| | |
| --- | --- |
| f | the first domain's images of "train", with their labels |
| G | both domains' images of "train", without labels |
| the judge | the second domain's images of all splits but "train", with their labels |
| what is judged | the first domain's images of the split that is scored, converted |

With `reverse` the two domains change places, except that f still belongs to the first. A
`target_classifier.keras` from an earlier version learned from the same images as G, so it is
ignored.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from absl import logging

from keras_pixdt.data.pairs import DomainSet
from keras_pixdt.judges import classifier
from keras_pixdt.training.measures import (
    Convert,
    Measure,
    check,
    in_batches,
    means,
    measured_images,
)

if TYPE_CHECKING:
    from keras_pixdt.training.run import Run

JUDGE = "judge.keras"
SOURCE_CLASSIFIER = "source_classifier.keras"  # of f
CLASSIFIER_SEED = 0
_JUDGE_STEPS = 200  # however few images the other splits have


def classifiers(
    run: Run, domains: Mapping[str, DomainSet]
) -> tuple[keras.Model, keras.Model | None] | None:
    """The judge of converted images by their labels, and f's classifier, if there is one.

    Only for a run with f whose two domains have the same classes.
    """
    training = run.preset.function_training()
    target, source = domains["train"].target_labels, domains["train"].source_labels
    if training is None or target is None or source is None or target.names != source.names:
        return None
    unseen = [
        (part.targets, part.target_labels.index)
        for split, part in domains.items()
        if split != "train" and part.target_labels is not None
    ]
    path, own = run.workdir / JUDGE, run.workdir / SOURCE_CLASSIFIER
    if not unseen and not path.exists():
        logging.warning("Converted images are not judged: only the split 'train' has labels")
        return None

    def trained() -> keras.Model:
        logging.info("Training the judge on targets that the model has not seen")
        images, labels = map(np.concatenate, zip(*unseen, strict=True))
        return classifier.train_classifier(
            images,
            labels,
            len(target.names),
            least_steps=_JUDGE_STEPS,
            width=training["width"],  # of f's architecture (Sec. 5.1)
            seed=CLASSIFIER_SEED,
        )

    judge = run.load_or_train(JUDGE, trained)
    has_own = own.exists() and not run.preset.reverse
    return judge, keras.models.load_model(own) if has_own else None


def evaluate_labels(
    convert: Convert,
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
      - In the paper and in `pixdt reproduce`, G learns from MNIST's test images, and the judge from
        its training images (Sec. 5.1). In a run, G learns from the training split of both domains,
        like every model, and the judge from the other splits of the second domain.

    Args:
        convert: see `evaluation.evaluate`.
        domain_sets: the splits, with labels of the same classes in both domains.
        target_classifier: classifier of the second domain, see `keras_pixdt.judges.classifier`. It
            must not have learned from the targets of "train", because these show how good it is.
        source_classifier: classifier of the first domain, if there is one.
        split: which split to score.
        batch_size: images per call of `convert`.

    Returns:
        The accuracies of the target classifier: `accuracy` on converted images,
        `accuracy_unconverted` on the original images, and `accuracy_targets` on the targets of
        "train", whichever split is scored. It has not seen those, and cannot judge what it does not
        recognize there. Also `accuracy_source_classifier`, the source classifier's accuracy on the
        original images, and the `standard_errors` of all of these, for independent images.

    Raises:
        ValueError: as for `evaluation.evaluate`, or labels are missing.
    """
    check(domain_sets, split, batch_size)
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
    judge = functools.partial(classifier.classify, target_classifier)
    measures: dict[str, Measure] = {
        "accuracy": (judge, "converted"),
        "accuracy_unconverted": (judge, "source"),
    }
    if source_classifier is not None:
        own = functools.partial(classifier.classify, source_classifier)
        measures["accuracy_source_classifier"] = own, "source"
    seen = measured_images(convert, domains.sources, batch_size, measures)
    right = {name: found == domains.source_labels.index for name, found in seen.items()}
    known = in_batches(judge, [unseen.targets], batch_size) == unseen.target_labels.index
    return means(right | {"accuracy_targets": known})
