"""Labels that are constant in every trial: losses that cannot move are refused, and LFAN's other loss can."""

import pytest
import torch

from support.corpora import touch
from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.workflow.plan import make_plan

BASE = {
    "faces": {"backend": "dlib", "model": "hog"},
    "features": {"vggish_weights": "seeded", "bodies": {"source": "face_box"}},
    "folds": {"scheme": "official"},
}
CLIPS = {"a": (0.5, -0.5), "b": (-0.5, 0.25), "c": (0.1, 0.2)}
PARTITIONS = {"a": "train", "b": "train", "c": "validation"}


def plan_of(folder, block, labels=None, rows=None, **changes):
    """Plan of a table of three clips: labels in its columns, or in files of ``rows`` lines each."""
    touch(*(folder / f"{name}.mp4" for name in CLIPS))
    lines = ["media,partition,valence,arousal" if rows is None else "media,partition,annotation_va"]
    for name, (valence, arousal) in CLIPS.items():
        if rows is None:
            lines.append(f"{name}.mp4,{PARTITIONS[name]},{valence},{arousal}")
            continue
        lines.append(f"{name}.mp4,{PARTITIONS[name]},{name}.txt")
        values = [f"{valence},{arousal}", *rows.get(name, [f"{valence},{arousal}"] * 2)]
        (folder / f"{name}.txt").write_text("\n".join(["valence,arousal", *values]) + "\n")
    (folder / "trials.csv").write_text("\n".join(lines) + "\n")
    raw = {"corpus": {"layout": "table", "root": str(folder)}, "systems": block, "labels": labels or {}}
    return make_plan(BASE | raw | changes)


LFAN = {"lfan": {"variants": ["unimodal"], "targets": ["valence"]}}


def test_a_loss_within_windows_is_refused_with_the_cure(tmp_path):
    with pytest.raises(
        InputError,
        match=r"constant within every training trial.*\n  - lfan/unimodal/valence: set recipe\.loss_over: batch",
    ):
        plan_of(tmp_path, LFAN)


def test_the_loss_over_the_batch_is_planned(tmp_path):
    block = {"lfan": LFAN["lfan"] | {"recipe": {"loss_over": "batch"}}}
    assert len(plan_of(tmp_path, block).runs.trainings()) == 1
    block["lfan"]["recipe"]["batch"] = 1
    with pytest.raises(InputError, match=r"recipe\.loss_over: batch with a recipe\.batch of at least 2"):
        plan_of(tmp_path, block)


def test_given_weights_are_not_trained_and_not_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        plan_of(tmp_path, {"lfan": LFAN["lfan"] | {"trained": str(tmp_path / "absent")}})
    assert "constant" not in str(caught.value)


@pytest.mark.parametrize(
    ("system", "block", "refused"),
    [
        ("tsav", {"targets": ["va"]}, ""),
        ("m3t", {"variants": ["audio"], "targets": ["va"]}, ""),
        ("m3t", {"variants": ["audio"], "targets": ["va"], "recipe": {"batch": 1}}, "or recipe.loss: mse"),
        ("m3t", {"variants": ["audio"], "targets": ["va"], "recipe": {"batch": 1, "loss": "mse"}}, ""),
        ("ntua", {"variants": ["visual"], "targets": ["va"]}, ""),
        ("ntua", {"variants": ["visual"], "targets": ["va"], "recipe": {"batch": 1}}, "recipe.batch of at least 2"),
        ("cnu_adl", {"targets": ["va"], "recipe": {"chunk": 32}}, ""),
        ("cnu_adl", {"targets": ["va"], "recipe": {"chunk": 33}}, "recipe.chunk of at most half of recipe.batch"),
        ("cnu_adl", {"variants": ["image"], "targets": ["va"], "recipe": {"chunk": 33}}, ""),
    ],
)
def test_other_systems_need_frames_of_several_trials_in_a_batch(tmp_path, system, block, refused):
    if not refused:
        assert plan_of(tmp_path, {system: block}).runs.trainings()
        return
    with pytest.raises(InputError, match="constant within every training trial") as caught:
        plan_of(tmp_path, {system: block})
    assert refused in str(caught.value)


def test_annotation_files_say_whether_labels_change(tmp_path):
    with pytest.raises(InputError, match="constant within every training trial"):
        plan_of(tmp_path, LFAN, rows={})
    assert plan_of(tmp_path, LFAN, rows={"b": ["0.3,0.25"]}).runs.trainings()
    with pytest.raises(InputError, match="constant"):  # the held-out trial does not help
        plan_of(tmp_path, LFAN, rows={"c": ["0.3,0.25"]})
    with pytest.raises(InputError, match="constant"):  # nor does another column, nor a value that is no label
        plan_of(tmp_path, LFAN, rows={"b": ["-0.5,0.75", "-5,-5"]})
    with pytest.raises(InputError, match="constant within every training trial"):
        plan_of(tmp_path, LFAN, {"per_clip": True}, rows=dict.fromkeys(CLIPS, ()))


def loss_of(mode, loss_over, outputs, label):
    settings = systems.spec("lfan").small | {"loss_over": loss_over}
    recipe = systems.build_recipe("lfan", "unimodal", "valence", mode, settings)
    batch = {"label": label, "counts": torch.ones(label.shape[:2], dtype=torch.bool)}
    return recipe.loss(outputs, batch)


@pytest.mark.parametrize("mode", ["corrected", "faithful"])
def test_over_the_batch_the_loss_sees_what_tells_clips_apart(mode):
    """Two windows with labels 0.5 and -0.5, predicted 0.2 and -0.2: by hand 2 * 0.1 / (0.25 + 0.04) with population moments."""
    label = torch.tensor([0.5, -0.5])[:, None, None].expand(2, 40, 1)
    outputs = (label * 0.4).clone().requires_grad_()
    assert float(loss_of(mode, "window", outputs.detach(), label)) == pytest.approx(1, abs=1e-5)
    loss = loss_of(mode, "batch", outputs, label)
    unbiased = 80 / 79 if mode == "faithful" else 1  # variances with 1 / (N - 1)
    assert loss.item() == pytest.approx(1 - 0.2 / (0.29 * unbiased), abs=1e-6)
    loss.backward()
    assert float(outputs.grad.abs().min()) > 1e-4
