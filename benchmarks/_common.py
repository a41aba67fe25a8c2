"""Helpers of the benchmarks: processes, turns, options, and writing results."""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import logging
import multiprocessing
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")

_SPAWN = multiprocessing.get_context("spawn")  # a fresh interpreter: nothing heavy is inherited


class Process:
    """An object that is made in its own process and called from here.

    Args:
        make: class or function of a module that makes the object.
        arguments: its arguments.
        wait: whether to wait until the object is made; if not, `answer` waits.

    Attributes:
        about: the object's attribute `about`; None if it has none, or without `wait`.

    Raises:
        RuntimeError: the object could not be made, or the process ended.
    """

    def __init__(self, make: Callable[..., Any], *arguments: Any, wait: bool = True) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()
        self.about = self.answer() if wait else None

    def tell(self, method: str) -> None:
        """Calls a method of the object, without waiting."""
        self._pipe.send(method)

    def answer(self) -> Any:
        """Waits for the method's result."""
        try:
            answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"a process ended with code {self._process.exitcode}") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask(self, method: str) -> Any:
        """Calls a method of the object and waits for its result."""
        self.tell(method)
        return self.answer()

    def end(self) -> None:
        """Ends the process without waiting, because it has nothing to save."""
        self._process.kill()


def _serve(pipe: Any, make: Callable[..., Any], arguments: Sequence[Any]) -> None:
    """Runs in the process: makes the object, then answers until it is ended."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.disable(logging.WARNING)
    try:
        made = make(*arguments)
        pipe.send(getattr(made, "about", None))
        while True:
            pipe.send(getattr(made, pipe.recv())())
    except EOFError:  # the parent is gone
        return
    except Exception as error:
        pipe.send(RuntimeError(f"{make.__name__} {arguments[0]!r}: {error!r}"))
        raise


@contextlib.contextmanager
def processes(
    make: Callable[..., Any], kinds: Sequence[str], *arguments: Any
) -> Iterator[dict[str, Process]]:
    """Starts a process for each kind with `make(kind, *arguments)`; they end with the context."""
    running: dict[str, Process] = {}
    try:
        for kind in kinds:  # one after the other: they would slow each other down
            running[kind] = Process(make, kind, *arguments)
        yield running
    finally:
        for process in running.values():
            process.end()


def apart(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """Calls a function of a module in its own process, and returns the result."""
    with _SPAWN.Pool(1) as pool:
        return pool.apply(function, arguments)


def in_turns(calls: Mapping[Key, Callable[[], Answer]], rounds: int) -> dict[Key, list[Answer]]:
    """Calls A B C A B C ..., so that other work on the machine slows all of them down.

    Returns:
        For each, the results of its calls.
    """
    answers: dict[Key, list[Answer]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            answers[key].append(call())
    return answers


def seconds(call: Callable[[], object]) -> float:
    """Measures how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser for the options of a benchmark, with `--output`."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--output", type=pathlib.Path, help="JSON file to write")
    return made


def write_json(options: argparse.Namespace, results: Any, packages: Sequence[str]) -> None:
    """Writes results with machine, versions and commit; does nothing without `--output`.

    Args:
        options: options of the benchmark.
        results: the figures.
        packages: distributions on which the figures depend; those not installed are left out.
    """
    path = options.output
    if path is None:
        return
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=pathlib.Path(__file__).parent,
    ).stdout.strip()
    versions = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    report = {
        "results": results,
        "options": {
            name: str(value) if isinstance(value, pathlib.Path) else value
            for name, value in vars(options).items()
            if name != "output"
        },
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "versions": versions,
        "commit": commit or "unknown",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
