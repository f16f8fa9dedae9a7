"""What the workflow plans for CNU_ADL: files by the recipe, stored vectors, the published fusions."""

from pathlib import Path

import pytest

from support.corpora import touch, write_annotation
from support.lists import training_files
from wildaffect.errors import InputError
from wildaffect.workflow.plan import make_plan

FOLDERS = {
    "va": ("VA_Set", "valence,arousal", "0.1,0.2"),
    "expr": ("EXPR_Set", "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise", "0"),
}
MEMBERS = [f"cnu_adl/{name}" for name in ("image", "frames_stat", "stat_bilstm")]
FUSIONS = {
    "t57": {"members": MEMBERS, "target": "va", "method": "mean", "clip": "none"},
    "t58": {"members": MEMBERS[:2], "target": "expr", "method": "weighted", "weights": [2, 1], "clip": "none"},
}


@pytest.fixture
def plan_of(tmp_path, root):
    """Plan of a corpus of three videos annotated for both tasks and a test video."""
    touch(*(tmp_path / "batch1" / f"{video}.mp4" for video in "abcz"))
    for folder, header, row in FOLDERS.values():
        for name, trials in (("Training_Set", "ab"), ("Validation_Set", "c")):
            for trial in trials:
                write_annotation(tmp_path / "annotations" / folder / name / f"{trial}.txt", 3, header, row)
    (tmp_path / "va_test_set.txt").write_text("z\n")

    def plan(block, **changes):
        raw = {"corpus": {"root": str(tmp_path), "edition": "abaw1"}, "faces": {"backend": "dlib", "model": "hog"},
               "folds": {"scheme": "official"}, "systems": {"cnu_adl": block}, "submission": {"editions": ["abaw1"]}}  # fmt: skip
        return make_plan(raw | changes)

    return plan


def test_a_job_reads_the_crops_that_its_recipe_names(plan_of):
    for crops in ("cnu224", "cnu_aligned224"):
        plan = plan_of({"targets": ["mtl"], "recipe": {"crops": crops}})
        assert plan.inputs.templates() == [crops] and plan.inputs.features() == []
        for instance in plan.instances:
            files = training_files(plan.inputs, instance)
            assert {Path(path).parent.name for path in files["crops"]} == {crops}
            assert files["persons"] == files["features"] == []


def test_stored_vectors_are_made_once_for_all_variants_and_targets(plan_of, tmp_path):
    (tmp_path / "face.safetensors").touch()
    embedding = {"network": "vggface_resnet50", "weights": str(tmp_path / "face.safetensors"), "crops": "cnu224"}
    block = {"variants": ["frames_stat", "stat_bilstm"], "recipe": {"face_features": "embed.cnu"}}
    plan = plan_of(block, features={"embeddings": {"cnu": embedding}})
    wanted = {tuple(training_files(plan.inputs, instance)["features"]) for instance in plan.instances}
    assert wanted == {tuple(f"results/features/embed.cnu/{trial}.npy" for trial in "abc")}
    with pytest.raises(
        InputError, match=r"a system asks for 'embed\.cnu', which is neither built in nor described here"
    ):
        plan_of(block)


def test_the_published_fusions_can_be_declared(plan_of):
    plan = plan_of({"targets": ["va", "expr"]}, score={"ensembles": FUSIONS})
    paths = plan.outputs.validation()
    assert "results/predictions/ensemble/t57/va/fold0/validation.parquet" in paths
    assert "results/predictions/ensemble/t58/expr/fold0/validation.parquet" in paths
    both = plan_of({"targets": ["mtl"]}, score={"ensembles": FUSIONS})
    assert "results/predictions/ensemble/t58/expr/fold0/validation.parquet" in both.outputs.validation()
