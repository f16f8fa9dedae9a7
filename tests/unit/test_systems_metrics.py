"""Metrics by which systems select epochs: the threshold of units, the ranked score, label spaces of the editions."""

import numpy as np
import pytest

from wildaffect.corpus import label_spaces
from wildaffect.scoring import scorer
from wildaffect.scoring.editions import get_task
from wildaffect.systems import toolbox
from wildaffect.systems.toolbox import RANKED, task_scores


def test_units_are_active_above_one_half():
    """Two units, four frames; 0.3, 0.4 and 0.5 are off, 0.51 and 0.7 are on."""
    truth = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], np.float32)
    prediction = np.array([[0.7, 0.4], [0.3, 0.51], [0.4, 0.5], [0.3, 0.7]])
    # First unit: one hit, one miss, F1 2/3. Second unit: all right, F1 1. Seven of eight decisions are right.
    scores = task_scores("au", truth, prediction)
    assert scores["au_f1"] == pytest.approx((2 / 3 + 1) / 2)
    assert scores["au_accuracy"] == pytest.approx(7 / 8)
    assert scores["criterion"] == pytest.approx(0.5 * scores["au_f1"] + 0.5 * scores["au_accuracy"])


def test_selection_and_scores_share_one_threshold():
    assert label_spaces.AU_THRESHOLD == 0.5
    assert scorer.AU_THRESHOLD is toolbox.AU_THRESHOLD is label_spaces.AU_THRESHOLD


@pytest.mark.parametrize("task", RANKED)
def test_the_ranked_score_is_that_of_the_first_edition(task):
    assert RANKED[task] == get_task("abaw1", task).score


@pytest.mark.parametrize(
    ("edition", "task", "names"),
    [
        ("abaw1", "va", label_spaces.VALENCE_AROUSAL),
        ("abaw1", "expr", label_spaces.EXPRESSIONS7),
        ("abaw3", "expr", label_spaces.EXPRESSIONS8),
        ("abaw1", "au", label_spaces.AU8),
        ("abaw2", "au", label_spaces.AU12),
    ],
)
def test_label_spaces_are_those_of_the_editions(edition, task, names):
    assert get_task(edition, task).parts[0].names == names
