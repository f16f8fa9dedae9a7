"""LFAN's settings that are this project's: features of one's choice, one cycle of the learning rate."""

import pandas as pd
import pytest
import torch

from support.corpora import touch
from support.runs import TINY, Corpus, train
from wildaffect.errors import InputError
from wildaffect.systems import build_recipe, resolve_settings, spec
from wildaffect.workflow.plan import make_plan


def needed(mode, **settings):
    return spec("lfan").needs("multimodal", mode, resolve_settings("lfan", settings)).features


def test_the_defaults_are_the_published_recipe():
    settings = resolve_settings("lfan")
    assert (settings.scheduler, settings.causal, settings.dropout) == ("plateau", True, 0.1)
    assert needed("corrected") == ("vggish128", "mfcc39")
    assert needed("faithful") == ("vggish128.indexed", "mfcc39.indexed")


def test_features_are_indexed_in_faithful_mode_where_they_can_be():
    chosen = ["egemaps25", "egemaps88", "import.words", "mfcc39.indexed"]
    assert needed("corrected", features=chosen) == tuple(chosen)
    assert needed("faithful", features=chosen) == ("egemaps25.indexed", "egemaps88", "import.words", "mfcc39.indexed")
    assert spec("lfan").needs("unimodal", "corrected", resolve_settings("lfan", {"features": chosen})).features == ()


@pytest.mark.parametrize("features", [["ntua_mel"], [], ["mfcc39", "mfcc39"]])
def test_features_without_rows_of_frames_none_and_the_same_twice_are_refused(features):
    with pytest.raises(InputError, match=r"recipe.*features"):
        resolve_settings("lfan", {"features": features})


def test_one_cycle_and_gradual_release_are_refused_when_planned(tmp_path):
    touch(tmp_path / "a.mp4")
    (tmp_path / "trials.csv").write_text("media\na.mp4\n")
    raw = {"corpus": {"layout": "table", "root": str(tmp_path)}}
    with pytest.raises(InputError, match=r"systems\.lfan\.recipe.*one_cycle.*use backbone_training: all or frozen"):
        make_plan(raw | {"systems": {"lfan": {"recipe": {"scheduler": "one_cycle"}}}})
    # What the preset says of the face network counts, not what the recipe leaves out.
    preset = {"preset": "small_data", "scheduler": "one_cycle"}
    assert resolve_settings("lfan", preset).backbone_training == "frozen"
    with pytest.raises(InputError, match="one_cycle would begin anew in each phase"):
        resolve_settings("lfan", {"preset": "small_data", "backbone_training": "gradual"})


def rates(highest, steps):
    """Learning rates of PyTorch's own cycle."""
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=highest)
    scheduler, found = torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=steps), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_one_cycle_follows_the_steps_and_no_smallest_rate_ends_it(tmp_path):
    """9 windows of three trials make 5 steps of two; the published minimum_rate is above the first rates of this cycle."""
    corpus = Corpus(tmp_path)
    recipe = TINY | {"epochs": 3, "batch": 2, "learning_rate": 1e-5, "scheduler": "one_cycle"}
    record = train(**corpus.train_arguments("cycle", recipe=recipe))
    samples = record["data"]["train"]["samples"]
    steps = -(-samples // 2)
    history = pd.read_csv(tmp_path / "cycle" / "run" / "history.csv")
    assert history["lr"].tolist() == pytest.approx(rates(1e-5, 3 * steps)[::steps])
    assert history["lr"][0] < resolve_settings("lfan").minimum_rate


def test_the_small_data_preset_runs_in_one_phase_without_returning_to_the_best():
    recipe = build_recipe("lfan", "multimodal", "va", "corrected", {"preset": "small_data", "features": ["egemaps25"]})
    schedule = recipe.schedule
    assert (schedule.phases, schedule.reload_best, schedule.scheduler_per_step) == (1, False, True)
    assert sum(parameter.numel() for parameter in recipe.model().parameters()) < 1_000_000
