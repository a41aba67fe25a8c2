"""Two workers train one PixelDTGAN together, on this machine, with one command.

    python examples/multi_worker.py

It starts this file once for each worker, with the environment variable TF_CONFIG that a cluster's
scheduler would set on each machine, and shows their output. Each worker trains on its half of every
batch; the network is the one that a single process would train. Under a minute on two cores.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import threading

BATCH_SIZE = 16  # of all workers together


def train(arguments: argparse.Namespace) -> None:
    """What each worker does: two lines more than a script for one device."""
    import keras

    from keras_pixdt import PixelDTGAN, data, metrics
    from keras_pixdt.training import devices

    distribution = devices.start("multi_worker", worker_timeout_s=60)
    keras.utils.set_random_seed(0)

    pairs = data.load_pairs("rendered", num_products=arguments.products, image_size=32)
    train = data.triplets(pairs["train"], BATCH_SIZE)
    test = data.triplets(
        pairs["test"], BATCH_SIZE, shuffle=False, irrelevant=False, drop_remainder=False
    )

    with distribution.scope():
        model = PixelDTGAN(image_size=32, width=0.0625, l1_weight=100.0)
        adam = keras.optimizers.Adam(1e-3, beta_1=0.5)
        model.compile(adam, metrics=[metrics.RootMeanSquaredError()])
    with distribution.watch():  # a clear error if the other worker is lost
        model.fit(
            distribution.feed(train),
            validation_data=distribution.feed(test),
            epochs=arguments.epochs,
            shuffle=False,
            verbose=2,
        )


def start_workers(count: int, command: list[str]) -> int:
    """Runs a command once for each worker; returns 0 if all of them ended well."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]  # free ports
    addresses = [f"localhost:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    workers = []
    for index in range(count):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        workers.append(
            subprocess.Popen(
                command,
                # TensorFlow's oneDNN kernels for CPUs fail between workers.
                env={**os.environ, "TF_CONFIG": json.dumps(task), "TF_ENABLE_ONEDNN_OPTS": "0"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )

    def show(index: int) -> None:
        for line in workers[index].stdout:
            print(f"worker {index}: {line}", end="", flush=True)
        if workers[index].wait():  # the others would wait for it
            for worker in workers:
                worker.terminate()

    readers = [threading.Thread(target=show, args=(index,)) for index in range(count)]
    try:
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    finally:
        for worker in workers:
            worker.kill()  # has no effect on workers that have ended
    return max(abs(worker.wait()) for worker in workers)


def main() -> int:
    """Runs the example."""
    parser = argparse.ArgumentParser(description="PixelDTGAN on two workers.")
    parser.add_argument("--products", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    if "TF_CONFIG" in os.environ:
        train(arguments)
        return 0
    return start_workers(arguments.workers, [sys.executable, __file__, *sys.argv[1:]])


if __name__ == "__main__":  # the processes that draw import this file
    sys.exit(main())
