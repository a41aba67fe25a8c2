"""The TFDS data set `lookbook`; importing this package registers it."""

from tfds_lookbook.lookbook.lookbook_dataset_builder import Builder, LookBookConfig

__all__ = ["Builder", "LookBookConfig"]
