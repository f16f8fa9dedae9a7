"""Processes that read samples: what they share, how they fail, and that they go with the process that started them."""

import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import get_worker_info

from support import runs
from support.runs import ArrayImages
from wildaffect.errors import InputError
from wildaffect.systems.types import TrialData
from wildaffect.training.batches import Batches, watched_workers
from wildaffect.training.inputs import CachedImages, cache_images
from wildaffect.training.runtime import divide_threads, open_fabric


class Numbers:
    """Samples that are their index; ``fail`` is called with it before."""

    def __init__(self, fail=lambda index: None):
        self._fail = fail

    def __len__(self):
        return 12

    def read(self, index, rng):
        self._fail(index)
        drawn = -1.0 if rng is None else rng.random()
        return {"x": np.array([index, drawn]), "reader": np.array(os.getpid())}


def raise_at_seven(index):
    if index == 7:
        raise InputError("c.arrow: the crop of frame 7 is damaged. Delete it and run again.")


def die_at_seven(index):
    if index == 7 and get_worker_info():
        os.kill(os.getpid(), signal.SIGKILL)


def read(batches, *arguments):
    return [(part["x"].tolist(), count) for part, count in batches.read(*arguments)]


def test_every_pass_has_its_own_order_and_random_numbers_whoever_reads():
    alone, helped = (Batches(Numbers(), 5, open_fabric("cpu"), workers) for workers in (0, 2))
    for order, seed in ((np.arange(12), (1, 0)), (np.arange(12)[::-1], (1, 1)), (np.array([4, 4, 2]), None)):
        found = read(helped, order, seed)
        assert found == read(alone, order, seed)
        assert [index for part, _ in found for index, _ in part] == order.tolist()
        assert [count for _, count in found] == ([5, 5, 2] if len(order) == 12 else [3])
        drawn = [value for part, _ in found for _, value in part]
        assert drawn == [
            -1.0 if seed is None else np.random.default_rng([*seed, k]).random() for k in range(len(order))
        ]


def test_workers_stay_from_pass_to_pass():
    batches = Batches(Numbers(), 3, open_fabric("cpu"), workers=2)
    passes = [{int(part["reader"][0]) for part, _ in batches.read(np.arange(12))} for _ in range(2)]
    assert passes[0] == passes[1] and len(passes[0]) == 2 and os.getpid() not in passes[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_of_the_input_arrives_as_it_was_raised(workers):
    with pytest.raises(InputError) as caught:
        read(Batches(Numbers(raise_at_seven), 5, open_fabric("cpu"), workers), np.arange(12))
    assert str(caught.value) == "c.arrow: the crop of frame 7 is damaged. Delete it and run again."


def test_a_worker_that_is_killed_is_one_plain_message():
    message = r"a process that reads samples ended without a result .*fewer threads.*memory"
    with pytest.raises(InputError, match=message), watched_workers():
        read(Batches(Numbers(die_at_seven), 5, open_fabric("cpu"), workers=2), np.arange(12))


class Dropped:
    """What only a collection of garbage ends; it writes down which process did."""

    def __init__(self, path):
        self.itself, self.path = self, path

    def __del__(self):
        self.path.write_text(str(os.getpid()))


def test_what_this_process_dropped_is_for_no_worker_to_end(tmp_path):
    """Among it are readers of an earlier pass, which a worker would try to stop."""
    gc.disable()
    try:
        Dropped(tmp_path / "ended")
        read(Batches(Numbers(lambda index: gc.collect()), 5, open_fabric("cpu"), workers=1), np.arange(12))
        assert not (tmp_path / "ended").exists()
    finally:
        gc.enable()
    gc.collect()
    assert (tmp_path / "ended").read_text() == str(os.getpid())


def test_other_errors_stay_what_they_are():
    def fail(index):
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"), watched_workers():
        read(Batches(Numbers(fail), 5, open_fabric("cpu"), workers=1), np.arange(12))


class Counted(ArrayImages):
    """Images that count how many of them were decoded."""

    decoded = 0

    def read(self, rows):
        self.decoded += len(rows)
        return super().read(rows)


def images(count=6, side=4):
    faces = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return faces, Counted(faces)


def test_what_one_process_decoded_no_other_decodes_again():
    faces, source = images()
    cached = CachedImages(source)
    reader = multiprocessing.get_context("fork").Process(target=cached.read, args=(np.array([1, 3, 3]),))
    reader.start()
    reader.join(60)
    np.testing.assert_array_equal(cached.read(np.array([3, 1])), faces[[3, 1]])
    assert reader.exitcode == 0 and source.decoded == 0
    np.testing.assert_array_equal(cached.read(np.arange(6)), faces)
    assert source.decoded == 4
    with pytest.raises(IndexError):
        cached.read(np.array([6]))


def test_as_many_trials_are_kept_as_fit():
    sources = [Counted(np.zeros((count, 512, 512, 3), np.uint8)) for count in (2, 9, 3)]  # 1.5, 6.75 and 2.25 MiB
    trials = [TrialData(str(k), np.arange(3.0), {"a": source}, {}) for k, source in enumerate(sources)]
    for limit, kept in ((0, [False] * 3), (2, [True, False, False]), (4, [True, False, True]), (11, [True] * 3)):
        found = [isinstance(trial.crops["a"], CachedImages) for trial in cache_images(trials, limit)]
        assert found == kept


def test_room_for_features_comes_before_images():
    sources = [ArrayImages(np.zeros((2, 512, 512, 3), np.uint8))] * 2  # 1.5 MiB
    trials = [TrialData(str(k), np.arange(2.0), {"a": source}, {}) for k, source in enumerate(sources)]
    found = {
        limit: [
            (trial.room, isinstance(trial.crops["a"], CachedImages))
            for trial in cache_images(trials, limit, lambda trial: 2**19)
        ]
        for limit in (0, 1, 3, 4)
    }
    assert found == {
        0: [(0, False), (0, False)],
        1: [(2**19, False), (2**19, False)],
        3: [(2**19, True), (2**19, False)],
        4: [(2**19, True), (2**19, True)],
    }


def test_a_jobs_threads_are_divided_among_those_that_compute_and_those_that_read():
    assert [divide_threads(threads, "cpu") for threads in (1, 2, 7, 8, 16)] == [(1, 0), (2, 0), (7, 0), (7, 1), (14, 2)]
    assert [divide_threads(threads, "cuda") for threads in (1, 2, 16)] == [(1, 0), (1, 1), (1, 15)]


PROGRAM = """
import pickle, sys, torch, multiprocessing
step = torch.optim.Adam.step
def told(*arguments, **options):
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    return step(*arguments, **options)
torch.optim.Adam.step = told
from support.runs import train
train(**pickle.load(open(sys.argv[1], "rb")))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_is_left_when_a_training_is_ended(tmp_path, root, how):
    corpus = runs.Corpus(tmp_path)
    arguments = corpus.train_arguments("r", recipe=runs.TINY | {"epochs": 500}, workers=2)
    (tmp_path / "arguments").write_bytes(pickle.dumps(arguments))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "scripts"), str(root / "tests")])}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "arguments")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        children = [int(pid) for pid in process.stdout.readline().split()]
        process.send_signal(how)
        process.stdout.close()
    assert len(children) >= 2
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in children):
            break
        time.sleep(0.1)
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
