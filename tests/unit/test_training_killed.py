"""Training as a process of its own that is killed at a random step, more than once, and started again."""

import os
import pickle
import random
import signal
import subprocess
import sys

import pandas as pd
import pytest

from support import runs, tsav
from support.runs import train

pytestmark = pytest.mark.slow

# Tells every optimiser step, before it is made.
PROGRAM = """
import pickle, sys, torch
step = torch.optim.Adam.step
def told(*arguments, **options):
    print("step", flush=True)
    return step(*arguments, **options)
torch.optim.Adam.step = told
from support.runs import train
train(**pickle.load(open(sys.argv[1], "rb")))
"""

# Per system: its corpus, recipe (LFAN begins a new phase with every epoch), and optimiser steps per epoch.
CASES = {
    "lfan": (
        runs.Corpus,
        runs.TINY | {"epochs": 3, "backbone_training": "gradual", "minimum_rate": 1e-2},
        3,
    ),
    "tsav": (tsav.Corpus, tsav.TINY | {"epochs": 3, "augment": True, "accumulate": 2}, 3),
}


def start_and_kill(arguments, at, root, pause):
    """Run the training until step ``at`` (from 1) is announced and ``pause`` seconds longer, then kill it; its exit status."""
    (arguments["output"].parent / "arguments").write_bytes(pickle.dumps(arguments))
    command = [sys.executable, "-c", PROGRAM, str(arguments["output"].parent / "arguments")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "scripts"), str(root / "tests")])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for number, _ in enumerate(process.stdout, 1):
            if number == at:
                try:
                    process.wait(pause)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGKILL)
                break
        process.stdout.read()
    return process.returncode


@pytest.mark.parametrize("system", CASES)
def test_killed_at_random_steps_and_started_again_it_ends_with_the_same_weights(system, tmp_path, root):
    make, recipe, steps = CASES[system]
    corpus, seed = make(tmp_path), random.SystemRandom().randrange(10**6)
    chance = random.Random(seed)
    train(**corpus.train_arguments("whole", recipe=recipe))
    arguments = corpus.train_arguments("killed", recipe=recipe)
    arguments["output"].parent.mkdir()
    for at in (chance.randint(1, steps * recipe["epochs"] - 1), chance.randint(1, steps)):
        status = start_and_kill(arguments, at, root, chance.uniform(0, 0.02))
        assert status == -signal.SIGKILL, f"chance seeded with {seed}"
        assert not arguments["output"].exists(), f"chance seeded with {seed}"
    train(**arguments)
    whole, again = corpus.folder / "whole" / "run", arguments["output"]
    assert (whole / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes(), f"seed {seed}"
    histories = [pd.read_csv(folder / "history.csv").drop(columns="seconds") for folder in (whole, again)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
