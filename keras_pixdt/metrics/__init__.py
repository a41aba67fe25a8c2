"""What the papers measure: pixels, retrieval, distributions and consistency."""

from keras_pixdt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "keras_pixdt.metrics.pixel": [
            "ColorSSIM",
            "RootMeanSquaredError",
            "SSIM",
            "color_ssim",
            "rmse",
            "ssim",
        ],
        "keras_pixdt.metrics.retrieval": ["median_rank", "nearest_rows", "ranks", "recall_at_k"],
        "keras_pixdt.metrics.kid_fid": ["fid", "kid"],
        "keras_pixdt.metrics.consistency": ["consistency_share", "cosine", "sample_triplets"],
        "keras_pixdt.metrics.uncertainty": ["standard_error"],
    },
)
