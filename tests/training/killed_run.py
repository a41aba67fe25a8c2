"""Trains a tiny run that ends itself with SIGKILL: `killed_run.py DATA WORKDIR DTYPE [WHERE...]`.

WHERE is `half N`: at the N-th save of last.keras, with the file half written.
"""

import dataclasses
import os
import signal
import sys

import keras

from keras_pixdt import presets
from keras_pixdt.training import trainer


def preset(dtype):
    """All that has a state of its own: two phases, averages, mirroring."""
    return dataclasses.replace(
        presets.get("demo"), image_size=16, width=1 / 32, discriminator_width=1 / 32,
        phases=((1, 1e-3, 16), (1, 1e-4, 32)), dtype=dtype, ema_momentum=0.9,
    )  # fmt: skip


def train(data, workdir, dtype, callbacks=()):
    trainer.train(
        preset(dtype), data, workdir, epochs=4, seed=5, save_every=4, verbose=0,
        callbacks=callbacks,
    )  # fmt: skip


def die():
    os.kill(os.getpid(), signal.SIGKILL)


class Die(keras.callbacks.Callback):
    def __init__(self, epoch, batch):
        super().__init__()
        self.place = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            die()


def die_at_save(count):
    replace = os.replace
    saves = []

    def replace_or_die(old, new):
        if new.name == "last.keras":
            saves.append(new)
            if len(saves) == count:
                with open(old, "r+b") as file:
                    file.truncate(os.path.getsize(old) // 2)
                die()
        replace(old, new)

    os.replace = replace_or_die


if __name__ == "__main__":
    data, workdir, dtype, *where = sys.argv[1:]
    if where:
        die_at_save(int(where[1]))
    train(data, workdir, dtype)
