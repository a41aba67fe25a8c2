"""Trains tiny runs from records, on JAX, where TensorFlow is not installed.

    python -m tests.training.stored_run FOLDER DATA_DIR [WHERE...]

With WHERE, as in `killed_run`, the run in FOLDER/killed ends itself with SIGKILL. Without, it is
continued to its end, and another one without interruption is in FOLDER/whole.
"""

import importlib.machinery
import pathlib
import sys


class WithoutTensorFlow(importlib.machinery.PathFinder):
    """Finds all modules but TensorFlow."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        """Nothing for TensorFlow."""
        return None if name.split(".")[0] == "tensorflow" else super().find_spec(name, path, target)


if __name__ == "__main__":
    sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = WithoutTensorFlow

    from keras_pixdt.training import trainer
    from tests.training import killed_run

    folder, data_dir, *where = sys.argv[1:]

    def train(name, *callbacks):
        trainer.train(
            killed_run.preset("float32"), "tfds:lookbook/tiny", pathlib.Path(folder, name),
            data_options={"data_dir": data_dir}, epochs=2, seed=5, save_every=2, verbose=0,
            callbacks=callbacks,
        )  # fmt: skip

    if where:
        train("killed", killed_run.Die(*map(int, where)))
    train("killed")
    train("whole")
    assert not [name for name in sys.modules if name.split(".")[0] == "tensorflow"]
