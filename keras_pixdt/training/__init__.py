"""Runs: build, fit, keep, score."""

from keras_pixdt import _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "keras_pixdt.judges.attributes": ["attribute_scores", "train_attribute_classifier"],
        "keras_pixdt.training.callbacks": [
            "AveragedWeights",
            "ImageGrid",
            "PlayerDivergedError",
            "StopOnDivergence",
        ],
        "keras_pixdt.training.checkpoint": ["Checkpoint"],
        "keras_pixdt.judges.classifier": ["train_classifier"],
        "keras_pixdt.training.devices": ["Distribution"],
        "keras_pixdt.training.peers": ["WorkerLostError"],
        "keras_pixdt.training.evaluation": ["evaluate"],
        "keras_pixdt.training.run": ["Run", "load_run", "train"],
        "keras_pixdt.training.schedule": ["Progress", "Schedule"],
        "keras_pixdt.judges.upscaler": ["train_upscaler"],
    },
    subpackages=["devices"],
)
