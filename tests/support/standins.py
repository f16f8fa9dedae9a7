"""A project whose given files and results are stand-ins: enough for everything that only plans."""

import os
from pathlib import Path

from support.corpora import write_annotation
from support.pipeline import Outcome, run_workflow, write_config

OLD = 1_600_000_000 * 10**9
PARTITIONS = {"a": "Train_Set", "b": "Train_Set", "c": "Validation_Set"}
TEST = "d"
PACK = ("det_500m.onnx", "1k3d68.onnx", "w600k_mbf.onnx")


def give(path: Path, text: str) -> Path:
    """A given file with an old time stamp, as archives unpack them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(OLD, OLD))
    return path


def give_everything(folder: Path) -> None:
    """One stand-in of each kind of file that a person can give."""
    for name in (*PARTITIONS, TEST):
        give(folder / f"corpus/{name}.mp4", f"video {name}")
        give(folder / f"external/{name}.npy", f"vectors {name}")
        give(folder / f"openpose/{name}/1_keypoints.json", f"body {name}")
    for name, partition in PARTITIONS.items():
        path = folder / f"corpus/VA_Estimation_Challenge/{partition}/{name}.txt"
        write_annotation(path, 3)
        os.utime(path, ns=(OLD, OLD))
    give(folder / "corpus/Valence_Arousal_Estimation_Challenge_test_set_release.txt", f"{TEST}\n")
    for name in PACK:
        give(folder / "models/buffalo_s" / name, f"\x08 as ONNX files begin: network {name}")
    for name in ("vggish.pth", "resnet.pth", "face.pth"):
        give(folder / "models" / name, f"weights {name}")
    give(folder / "overrides.csv", "trial,first_frame,last_frame,track,x,y\na,0,1,,,\n")
    give(folder / "sample.txt", "sample\n")


def settings(folder: Path) -> dict:
    """A configuration that uses everything of :func:`give_everything`."""
    return {
        "results_dir": str(folder / "results"),
        "corpus": {"layout": "affwild2", "root": str(folder / "corpus")},
        "folds": {"scheme": "official"},
        "models_dir": str(folder / "models"),
        "faces": {"backend": "retinaface", "model": "buffalo_s", "overrides": str(folder / "overrides.csv")},
        "features": {
            "vggish_weights": str(folder / "models/vggish.pth"),
            "import": {"net": {"path": str(folder / "external/{trial}.npy"), "columns": 3}},
            "embeddings": {
                "face": {"network": "resnet18", "weights": str(folder / "models/resnet.pth"), "crops": "arcface112"}
            },
            "bodies": {"source": "openpose", "path": str(folder / "openpose/{video}")},
        },
        "systems": {
            "lfan": {
                "variants": ["multimodal"],
                "targets": ["valence", "arousal"],
                "recipe": {"backbone": {"weights": str(folder / "models/face.pth")}},
            }
        },
        "submission": {"samples": {"va": str(folder / "sample.txt")}},
    }


def finish(project: Path, config: Path, *targets: str) -> Outcome:
    """Put a stand-in in place of every result and let Snakemake record them as made."""
    listed = run_workflow(project, config, "--summary", "--", *targets)
    assert listed.status == 0, listed.text[-3000:]
    for line in listed.text.splitlines():
        if "\t" not in line or line.startswith("output_file"):
            continue
        path = project / line.split("\t")[0]
        if "exports" in path.parts or path.parts[-2:] == ("report", "videos"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
    return run_workflow(project, config, "--touch", "--", *targets)


def configure(folder: Path, name: str = "config.yaml", **changes) -> Path:
    """Write :func:`settings` of ``folder`` with ``changes`` and return the file."""
    return write_config(folder / name, settings(folder) | changes)
