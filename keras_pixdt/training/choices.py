"""Choices for the options of a run, which the command line lists without loading Keras."""

STRATEGIES = ("none", "mirrored", "multi_worker", "tpu")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
# Validation score -> whether less is better.
SCORES = {"val_rmse": True, "val_ssim": False, "val_c_ssim": False}
CHECKPOINTS = ("final", "best")
EMBEDDERS = ("trained", "search", "densenet121")
GALLERIES = ("split", "all")
