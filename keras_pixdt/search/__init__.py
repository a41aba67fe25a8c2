"""Finding products by image."""

from keras_pixdt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "keras_pixdt.judges.embedder": [
            "ProductEmbedder",
            "densenet121_embedder",
            "inception_v3_features",
            "train_embedder",
        ],
        "keras_pixdt.search.approximate": ["ApproximateSearch"],
        "keras_pixdt.search.embedding": ["embed", "fingerprint"],
        "keras_pixdt.search.index": ["ProductIndex"],
    },
)
