"""The report names every model that a result depends on, and nothing else."""

import json

import pyarrow as pa

from wildaffect.report.runs import notes, uncompared, used_models
from wildaffect.tables import write_table


def test_models_of_a_run(tmp_path):
    schema = pa.schema([("frame", pa.int32())])
    detector = {"backend": "dlib", "files": {"points.dat": "aa"}, "licence": "no commercial use"}
    for video in "ab":
        write_table(tmp_path / f"{video}.parquet", schema.empty_table(), schema, detector)
    weights = {"name": "seeded", "trained": False, "sha256": None, "note": "a random projection"}
    abouts = {
        "mfcc39": {"id": "mfcc39", "weights": None, "notice": "Computed with openSMILE"},
        "vggish128": {"id": "vggish128", "weights": weights, "notice": "Architecture of somebody"},
    }
    for name, about in abouts.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(about))
    run = {"initial_weights": [{"part": "spatial", "file": "models/face.pth", "sha256": "bb"}]}
    (tmp_path / "run.json").write_text(json.dumps(run))
    found = used_models(
        [tmp_path / "a.parquet", tmp_path / "b.parquet"],
        [tmp_path / "mfcc39.json", tmp_path / "vggish128.json"],
        [{"system": "lfan", "path": tmp_path / "run.json"}],
    )
    assert [(entry["name"], entry["source"], entry["trained"]) for entry in found] == [
        ("face.pth", "initial weights of lfan", True),
        ("openSMILE", "feature mfcc39", None),
        ("points.dat", "dlib", True),
        ("seeded", "feature vggish128", False),
        ("vggish128", "feature vggish128", None),
    ]


def test_notes_say_what_is_approximate():
    block = {"recipe": {"epochs": 3}, "trained": None, "mode": "corrected"}
    config = {"features": {"vggish_weights": "seeded", "bodies": {"source": "face_box"}}, "systems": {"lfan": block}}
    text = " ".join(notes(config))
    assert (
        "Body boxes were not detected" in text
        and "random projection" in text
        and "epochs" in text
        and "corrected mode" in text
    )
    features = {"vggish_weights": "vggish", "bodies": None}
    given = {"features": features, "systems": {"lfan": block | {"trained": "runs", "recipe": {}}}}
    assert len(notes(given)) == 2 and "given weights (runs)" in " ".join(notes(given))


def test_notes_name_units_without_training_labels(tmp_path):
    runs = []
    for fold, units in enumerate((["AU20"], ["AU20"], [])):
        path = tmp_path / f"{fold}.json"
        path.write_text(json.dumps({"unlabelled": units}))
        runs.append({"system": "tsav", "variant": "two_stream", "target": "mtl" if fold < 2 else "va", "path": path})
    config = {"features": {"vggish_weights": "vggish", "bodies": None}, "systems": {}}
    (note,) = notes(config, runs)
    assert note.startswith("tsav/two_stream/mtl was trained without labels of AU20,")


def test_weights_of_unknown_origin_are_named_once(tmp_path):
    schema = pa.schema([("frame", pa.int32())])
    about = {"system": "lfan", "variant": "unimodal", "target": "valence", "inputs_compared": False}
    tables = {
        "fold0": about,
        "fold1": about,
        "fused": {"fusion": {}, "members": [about, about | {"target": "arousal"}]},
        "smoothed": {
            "smoothed": {"members": [{"lfan/x/va": about}, about | {"inputs_compared": True, "target": "va"}]}
        },
        "other": {},
    }
    for name, metadata in tables.items():
        write_table(tmp_path / name, schema.empty_table(), schema, metadata)
    found = uncompared([tmp_path / name for name in tables])
    assert [line.partition(" were")[0] for line in found] == [
        "What the weights of lfan/unimodal/valence",
        "What the weights of lfan/unimodal/arousal",
    ]
