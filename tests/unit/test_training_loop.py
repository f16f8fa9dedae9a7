"""The epoch loop on a multi-task system with one sample per frame: phases, selection, stopping, accumulation, resuming."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from support.runs import FrameRecipe, frame_trials
from wildaffect.errors import InputError
from wildaffect.systems import build_recipe
from wildaffect.systems.base import Freezing, FrozenMode, trainable
from wildaffect.systems.types import Schedule
from wildaffect.training.loop import Checkpoint, Loop, in_blocks
from wildaffect.training.runtime import open_fabric

SCHEDULE = Schedule(epochs=4, batch=6)
RELEASING = Schedule(epochs=100, batch=24, phases=3, minimum_rate=1e-6, patience=20, reload_best=True)


def run(folder, recipe, report=lambda row: None, seed=1):
    trials = frame_trials()
    torch.manual_seed(seed)
    model = recipe.model()
    fitted = recipe.fit(trials.train)
    loop = Loop(
        recipe, model, recipe.samples(trials.train, fitted, "train"), recipe.samples(trials.validation, fitted, "validate"),
        trials.validation, fabric=open_fabric("cpu"), checkpoint=Checkpoint(folder), seed=seed, report=report,
    )  # fmt: skip
    return loop.run()


def equal(first, second):
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


def test_partly_annotated_trials_teach_both_tasks(tmp_path):
    progress, _ = run(tmp_path, FrameRecipe(Schedule(epochs=30, batch=6)))
    assert progress.best > -0.03  # squared error of valence; its variance is 0.25
    assert progress.reason == "all 30 epochs run"
    assert progress.best_epoch > 5


def test_lfan_has_the_schedule_tested_here():
    recipe = build_recipe("lfan", "multimodal", "valence", "faithful")
    assert recipe.schedule == replace(RELEASING, batch=8)


def test_without_improvement_phases_last_13_epochs_and_training_21(tmp_path):
    """LFAN spec 5.3: releases at epochs 0 and 13, stop before epoch 21."""
    recipe = FrameRecipe(RELEASING, scores=[0.5] * 40, rate=1e-5)
    progress, _ = run(tmp_path, recipe)
    rates = [row["lr"] for row in progress.history]
    assert rates[:7] == [1e-5] * 7
    assert rates[7:13] == pytest.approx([1e-6] * 6)
    assert rates[13:20] == [1e-5] * 7
    assert [row["phase"] for row in progress.history] == [0] * 13 + [1] * 8
    assert (progress.epoch, progress.best_epoch, progress.reason) == (21, 0, "no new best in 20 epochs")
    assert recipe.phases == [0, 1]


def test_one_improvement_per_phase_ends_after_39_epochs_by_rate(tmp_path):
    scores = [0.1] * 13 + [0.2] * 13 + [0.3] * 40
    progress, _ = run(tmp_path, FrameRecipe(RELEASING, scores=scores, rate=1e-5))
    assert [row["phase"] for row in progress.history] == [0] * 13 + [1] * 13 + [2] * 13
    assert progress.reason == "learning rate below 1e-06 in the last phase"


def test_patience_per_phase_reaches_the_last_phase(tmp_path):
    progress, _ = run(tmp_path, FrameRecipe(replace(RELEASING, patience_per_phase=True), scores=[0.5] * 60, rate=1e-5))
    assert progress.epoch == 39


def test_a_first_score_that_is_no_number(tmp_path):
    """LFAN spec B24."""
    progress, _ = run(tmp_path, FrameRecipe(SCHEDULE, scores=[math.nan, 0.1, math.nan, 0.05]))
    assert (progress.best_epoch, progress.best) == (1, 0.1)


def test_scores_that_never_are_numbers_leave_the_initial_weights(tmp_path):
    recipe = FrameRecipe(replace(SCHEDULE, patience=2), scores=[math.nan] * 4)
    progress, best = run(tmp_path, recipe)
    torch.manual_seed(1)
    assert equal(best, dict(recipe.model().state_dict()))
    assert (progress.best_epoch, progress.epoch) == (None, 3)


class Diverging(FrameRecipe):
    """Its loss is ``value`` from batch ``first`` on, counted over all epochs."""

    def __init__(self, first, value):
        super().__init__(SCHEDULE)
        self.calls, self._first, self._value = 0, first, value

    def loss(self, outputs, batch):
        self.calls += torch.is_grad_enabled()
        loss = super().loss(outputs, batch)
        return loss if self.calls <= self._first or not torch.is_grad_enabled() else loss * self._value


@pytest.mark.parametrize(
    ("first", "value", "place"), [(0, math.nan, "epoch 0, batch 0 of 4"), (6, math.inf, "epoch 1, batch 2 of 4")]
)
def test_a_loss_that_is_no_number_ends_training_at_once(tmp_path, first, value, place):
    recipe = Diverging(first, value)
    with pytest.raises(InputError, match=rf"the training loss is {value} in {place}"):
        run(tmp_path, recipe)
    assert recipe.calls == first + 1
    saved = Checkpoint(tmp_path).load()
    assert (saved[0].epoch if saved else 0) == first // 4


def test_a_loss_looked_at_later_is_told_by_its_batch(tmp_path):
    """As on a GPU, which is not waited for at every step."""
    trials, recipe = frame_trials(), Diverging(6, math.inf)
    fitted = recipe.fit(trials.train)
    loop = Loop(
        recipe, recipe.model(), recipe.samples(trials.train, fitted, "train"), recipe.samples(trials.validation, fitted, "validate"),
        trials.validation, fabric=open_fabric("cpu"), checkpoint=Checkpoint(tmp_path), seed=1,
    )  # fmt: skip
    loop._look = 3
    with pytest.raises(InputError, match="the training loss is inf in epoch 1, batch 2 of 4"):
        loop.run()
    assert recipe.calls == 7


def test_a_rate_that_is_far_too_high_ends_training_early(tmp_path):
    with pytest.raises(
        InputError, match=r"training loss is (inf|nan) in epoch 0, batch [1-3] of 4.*at learning rate 1e\+25"
    ):
        run(tmp_path, FrameRecipe(SCHEDULE, rate=1e25))


def test_reload_best_throws_worse_epochs_away(tmp_path):
    """With the reload, every later epoch starts from epoch 0's weights; the best stays that epoch's in either case."""
    saved = {}
    for reload in (False, True):
        folder = tmp_path / str(reload)
        checkpoint = Checkpoint(folder)
        _, best = run(folder, FrameRecipe(replace(SCHEDULE, reload_best=reload), scores=[0.9, 0.1, 0.2, 0.3]))
        saved[reload] = (best, checkpoint.load()[1]["model"])
    assert equal(saved[False][0], saved[True][0])
    assert equal(saved[True][0], saved[True][1])
    assert not equal(saved[False][0], saved[False][1])


def test_accumulated_batches_equal_one_large_batch(tmp_path):
    """Also for the last, smaller group: 24 samples in batches of 5 and groups of 2."""

    class Plain(FrameRecipe):
        def model(self):
            model = super().model()
            model[3].p = 0.0
            return model

        def configure_optimizer(self, model):
            return torch.optim.SGD(model.parameters(), lr=0.1)

        def epoch_indices(self, count, epoch, seed):
            return np.arange(20)

        def loss(self, outputs, batch):
            return (outputs[:, :1] - batch["x"].mean(dim=1)[:, :1]).square().mean()

    _, large = run(tmp_path / "a", Plain(Schedule(epochs=1, batch=20), scores=[1]))
    _, small = run(tmp_path / "b", Plain(Schedule(epochs=1, batch=5, accumulate=4), scores=[1]))
    _, separate = run(tmp_path / "c", Plain(Schedule(epochs=1, batch=5), scores=[1]))
    # augmentation is by position, so the samples are the same
    for key, value in large.items():
        torch.testing.assert_close(small[key], value, rtol=1e-5, atol=1e-6)
    assert any(not torch.allclose(separate[key], value, atol=1e-4) for key, value in large.items())


def test_blocks_are_shuffled_and_their_samples_stay_together():
    shuffled = np.array([7, 2, 9, 0, 3, 8, 1, 5, 4, 6])
    assert in_blocks(shuffled, 1, 10).tolist() == shuffled.tolist()
    assert in_blocks(shuffled, 4, 10).tolist() == [4, 5, 6, 7, 0, 1, 2, 3, 8, 9]
    assert in_blocks(shuffled[:5], 2, 10).tolist() == [6, 7, 2, 3, 8]
    assert in_blocks(shuffled[:0], 3, 10).tolist() == []


@given(st.integers(1, 200), st.integers(1, 70), st.floats(0, 1), st.integers(0, 9))
def test_blocks_of_a_subset_are_as_many_samples_each_once(count, size, part, seed):
    order = np.random.default_rng(seed).permutation(count)[: round(part * count)]
    drawn = in_blocks(order, size, count)
    assert len(drawn) == len(order) == len({*drawn.tolist()} & {*range(count)})
    assert {*(drawn // size).tolist()} <= {*(order // size).tolist()}


class Stop(Exception):
    pass


@pytest.mark.parametrize("stops", [[0], [2], [0, 1, 2, 3], [12, 14]])
def test_interrupted_equals_uninterrupted(tmp_path, stops):
    """Also across a change of phase (epoch 13) and with dropout, augmentation, Adam moments and plateau counters in play."""
    schedule = replace(RELEASING, epochs=18, batch=6) if max(stops) > 4 else replace(SCHEDULE, epochs=5)
    scores = [0.5, 0.4, 0.6, 0.55] + [0.5] * 20
    make = lambda done: FrameRecipe(schedule, scores=scores[done:], rate=1e-5 if max(stops) > 4 else 1e-2)  # noqa: E731
    whole, best = run(tmp_path / "whole", make(0))

    def stop_after(row):
        if row["epoch"] in stops:
            raise Stop

    done = 0
    for epoch in stops:
        with pytest.raises(Stop):
            run(tmp_path / "parts", make(done), report=stop_after, seed=1)
        done = epoch + 1
    parts, resumed = run(tmp_path / "parts", make(done))
    strip = [{key: value for key, value in row.items() if key != "seconds"} for row in parts.history]
    assert strip == [{key: value for key, value in row.items() if key != "seconds"} for row in whole.history]
    assert equal(best, resumed)
    assert parts.resumed_at == [epoch + 1 for epoch in stops]
    assert (parts.best, parts.best_epoch, parts.waited) == (whole.best, whole.best_epoch, whole.waited)


def test_death_within_an_epoch_repeats_that_epoch(tmp_path):
    class Dying(FrameRecipe):
        left = 7

        def loss(self, outputs, batch):
            self.left -= 1
            if self.left < 0:
                raise Stop
            return super().loss(outputs, batch)

    _, best = run(tmp_path / "whole", FrameRecipe(SCHEDULE))
    dying = Dying(SCHEDULE)
    dying.left = 4 + 4 + 4 + 2  # batches: 4 of training and 4 of validation per epoch
    with pytest.raises(Stop):
        run(tmp_path / "parts", dying)
    progress, resumed = run(tmp_path / "parts", FrameRecipe(SCHEDULE))
    assert progress.resumed_at == [1]
    assert equal(best, resumed)


def test_worker_processes_change_nothing(tmp_path):
    trials, results = frame_trials(), []
    for workers in (0, 1, 3):
        recipe = FrameRecipe(replace(SCHEDULE, epochs=2))
        torch.manual_seed(1)
        fitted = recipe.fit(trials.train)
        loop = Loop(
            recipe, recipe.model(), recipe.samples(trials.train, fitted, "train"),
            recipe.samples(trials.validation, fitted, "validate"), trials.validation,
            fabric=open_fabric("cpu"), checkpoint=Checkpoint(tmp_path / str(workers)), seed=1, workers=workers,
        )  # fmt: skip
        results.append(loop.run()[1])
    assert equal(results[0], results[1]) and equal(results[0], results[2])


class Sgd(FrameRecipe):
    """Without momentum, so that a step is the rate times the gradient."""

    def configure_optimizer(self, model):
        return torch.optim.SGD(trainable(model), lr=self.settings.learning_rate)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_gradients_are_scaled_down_to_the_norm_once_per_step(tmp_path, monkeypatch, accumulate):
    norms = []
    step = torch.optim.SGD.step

    def watched(self, *arguments, **options):
        gradients = [part.grad for group in self.param_groups for part in group["params"] if part.grad is not None]
        norms.append(float(torch.cat([part.flatten() for part in gradients]).norm()))
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.SGD, "step", watched)
    schedule = Schedule(epochs=2, batch=6, accumulate=accumulate)
    run(tmp_path / "free", Sgd(schedule))
    assert len(norms) == 2 * -(-4 // accumulate) and max(norms) > 0.02
    norms.clear()
    run(tmp_path / "limited", Sgd(replace(schedule, gradient_norm=0.02)))
    assert len(norms) == 2 * -(-4 // accumulate)
    assert max(norms) == pytest.approx(0.02, rel=1e-4)


def test_the_smallest_value_is_the_best_where_the_metric_is_minimised(tmp_path):
    class Minimised(FrameRecipe):
        maximise = False

    scores = [0.5, 0.3, 0.4, 0.35, 0.35]
    progress, _ = run(tmp_path / "a", Minimised(Schedule(epochs=5, batch=6), scores=scores))
    assert (progress.best_epoch, progress.best) == (1, 0.3)
    progress, _ = run(tmp_path / "b", Minimised(Schedule(epochs=9, batch=6, patience=2), scores=[*scores, 0.1]))
    assert (progress.epoch, progress.reason) == (4, "no new best in 2 epochs")
    falling = Minimised(Schedule(epochs=12, batch=6), scores=[1 - epoch / 20 for epoch in range(12)])
    assert [row["lr"] for row in run(tmp_path / "c", falling)[0].history] == [1e-2] * 12
    rising = Minimised(Schedule(epochs=9, batch=6), scores=[0.1 + epoch / 20 for epoch in range(9)])
    assert [row["lr"] for row in run(tmp_path / "d", rising)[0].history] == pytest.approx([1e-2] * 7 + [1e-3] * 2)


class WarmUp(Sgd):
    """The rate rises with every optimiser step: 0, 1, 2 … thousandths of the highest."""

    steps = None

    def configure_scheduler(self, optimizer, steps_per_epoch):
        self.steps = steps_per_epoch
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: step / 1000)


@pytest.mark.parametrize(("accumulate", "steps"), [(1, 4), (3, 2)])
def test_schedules_follow_optimiser_steps(tmp_path, accumulate, steps):
    recipe = WarmUp(Schedule(epochs=3, batch=6, accumulate=accumulate, scheduler_per_step=True))
    progress, _ = run(tmp_path, recipe)
    assert recipe.steps == steps
    assert [row["lr"] for row in progress.history] == pytest.approx([epoch * steps * 1e-5 for epoch in range(3)])


def test_schedules_per_step_continue_after_a_kill(tmp_path):
    schedule = Schedule(epochs=4, batch=6, scheduler_per_step=True)
    whole, best = run(tmp_path / "whole", WarmUp(schedule))

    def stop(row):
        if row["epoch"] == 1:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path / "parts", WarmUp(schedule), report=stop)
    parts, resumed = run(tmp_path / "parts", WarmUp(schedule))
    assert [row["lr"] for row in parts.history] == [row["lr"] for row in whole.history]
    assert equal(best, resumed)


@pytest.mark.parametrize("synchronised", [False, True])
@pytest.mark.parametrize("mode", FrozenMode)
def test_frozen_modules(mode, synchronised):
    """Batch norms of several GPUs are frozen as those of one."""
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2, momentum=0.3), nn.Dropout(0.5), nn.BatchNorm1d(2))
    if synchronised:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        assert isinstance(model[1], nn.SyncBatchNorm)
    freezing = Freezing(model, mode)
    freezing.freeze([model[0], model[1], model[2]])
    freezing.train()
    assert trainable(model) == [model[3].weight, model[3].bias]
    assert model[3].training and model[3].momentum == 0.1
    assert [model[1].training, model[2].training] == [mode is not FrozenMode.EVALUATION] * 2
    assert model[1].momentum == (0.0 if mode is FrozenMode.BATCH_STATISTICS else 0.3)
    if not synchronised:
        before = model[1].running_mean.clone()
        model(torch.randn(8, 2))
        assert torch.equal(before, model[1].running_mean) == (mode is not FrozenMode.DRIFTING)
    freezing.freeze([])
    freezing.train()
    assert len(trainable(model)) == 6 and model[1].training and model[1].momentum == 0.3


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_an_error():
    with pytest.raises(InputError, match="no CUDA device"):
        open_fabric("cuda")


def test_unknown_devices_and_precisions_are_named():
    with pytest.raises(InputError, match="tpu"):
        open_fabric("tpu")
    for precision in ("tf32", "float16"):
        with pytest.raises(InputError, match=f"{precision} needs a GPU"):
            open_fabric("cpu", precision)
    with pytest.raises(InputError, match="precision '8' is unknown"):
        open_fabric("cpu", "8")


def test_a_training_alone_in_a_job_of_several_tasks_is_alone(monkeypatch):
    """As PBS helpers and sbatch --ntasks leave it: the variables describe the job, not a group that srun started."""
    for name, value in {
        "SLURM_NTASKS": "2",
        "SLURM_JOB_NAME": "train",
        "SLURM_JOB_ID": "7",
        "SLURM_PROCID": "0",
    }.items():
        monkeypatch.setenv(name, value)
    assert open_fabric("cpu").world_size == 1
