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

from collections.abc import Mapping
from typing import TYPE_CHECKING

import keras
import numpy as np
from absl import logging

from keras_pixdt.data.pairs import DomainSet
from keras_pixdt.judges import classifier
from keras_pixdt.training.trainer import SOURCE_CLASSIFIER

if TYPE_CHECKING:
    from keras_pixdt.training.run import Run

JUDGE = "judge.keras"
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
