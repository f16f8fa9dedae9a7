"""Declared ensembles: resolved to files before anything runs, then fused."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from wildaffect.errors import InputError
from wildaffect.scoring import score
from wildaffect.scoring.editions import get_task, tracks
from wildaffect.scoring.ensembles import PredictedTarget, fuse_members, plan_ensemble, target_columns
from wildaffect.tables import read_metadata

VA, CLASSES = ("valence", "arousal"), get_task("abaw2", "expr").parts[0].names
HELD_OUT, TEST = {0: frozenset("ab"), 1: frozenset("cd"), 2: frozenset()}, frozenset("t")


def predicted(*columns, held_out=HELD_OUT, test=TEST):
    return PredictedTarget(columns, held_out, test)


OFFERS = {
    ("lfan", "multimodal", "valence"): predicted("valence"),
    ("lfan", "multimodal", "arousal"): predicted("arousal"),
    ("cnu_adl", "image", "mtl"): predicted(*VA, *CLASSES),
    ("cnu_adl", "image", "expr"): predicted(*CLASSES),
    ("cnu_adl", "frames_stat", "mtl"): predicted(*VA, *CLASSES),
    ("new", "wide", "expr"): predicted(*CLASSES, "Other"),
    ("new", "short", "va"): predicted(*VA, held_out={0: frozenset("ab")}),
    ("new", "part", "arousal"): predicted("arousal"),
}


def block(*members, target="va", method="mean", clip="late", weights=None):
    return {"members": list(members), "target": target, "method": method, "clip": clip, "weights": weights}


def test_members_are_resolved_to_targets():
    found = plan_ensemble("t57", block("cnu_adl/image", "cnu_adl/frames_stat", "lfan/multimodal"), OFFERS)
    assert found.members == (
        (("cnu_adl", "image", "mtl"),),
        (("cnu_adl", "frames_stat", "mtl"),),
        (("lfan", "multimodal", "valence"), ("lfan", "multimodal", "arousal")),
    )
    assert found.predicted.columns == VA and found.predicted.folds == (0, 1) and found.predicted.test == TEST
    assert len(found.sources) == 4
    # The target of that name comes first; another one can be named.
    both = plan_ensemble("t58", block("cnu_adl/image", "cnu_adl/image/mtl", target="expr"), OFFERS)
    assert both.members == ((("cnu_adl", "image", "expr"),), (("cnu_adl", "image", "mtl"),))
    assert both.predicted.columns == CLASSES


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (block("cnu_adl/imag"), "no member 'cnu_adl/imag'.*There are: lfan/multimodal, cnu_adl/image"),
        (block("cnu_adl"), "no member 'cnu_adl'"),
        (block("lfan/multimodal", "lfan/multimodal"), "named twice"),
        (block("lfan/multimodal", target="expr"), "does not predict target 'expr', only valence, arousal"),
        (block("new/part"), "does not predict target 'va', only arousal"),
        (block("cnu_adl/image", "new/wide", target="expr"), "Other.*only the same columns can be fused"),
        (block("lfan/multimodal", "new/short"), "new/short/va has other folds or trials than lfan/multimodal/valence"),
        (block("lfan/multimodal", "cnu_adl/image", weights=[1, 2]), "weights are for 'weighted'"),
        (
            block("lfan/multimodal", "cnu_adl/image", method="weighted", weights=[1]),
            "one for each of the 2 predictions",
        ),
        (block("cnu_adl/image", target="expr", method="ccc_centring"), "is for valence and arousal"),
        (block("cnu_adl/image", method="best"), "at least two members and two folds.* there are 1 and 2"),
        (block("cnu_adl/image", "lfan/multimodal", method="best", weights=[1, 1]), "weights are for 'weighted'"),
    ],
)
def test_refusals_name_the_ensemble(settings, message):
    with pytest.raises(InputError, match=f"config.score.ensembles.mine: .*{message}"):
        plan_ensemble("mine", settings, OFFERS)


def test_target_columns_are_the_largest_space_predicted():
    assert target_columns("expr", [*CLASSES, "Other"]) == (*CLASSES, "Other")
    assert target_columns("expr", CLASSES) == CLASSES
    assert target_columns("au", get_task("abaw1", "au").columns) == get_task("abaw1", "au").columns
    assert target_columns("arousal", VA) == ("arousal",)
    assert target_columns("va", ["valence"]) == () == target_columns("smell", VA)


def test_fused_files(tmp_path):
    rng, frames = np.random.default_rng(0), 30
    keys = {
        "trial": ["a"] * frames,
        "frame": np.arange(frames),
        "time_s": np.arange(frames) / 30,
        "source": ["model"] * frames,
    }
    plan = plan_ensemble(
        "mix", block("lfan/multimodal", "cnu_adl/image/mtl", method="weighted", weights=[3, 1]), OFFERS
    )
    entries, values = [], {}
    for source in plan.sources:
        columns = {name: rng.uniform(-0.9, 0.9, frames).astype(np.float32) for name in OFFERS[source].columns}
        path = tmp_path / f"{'-'.join(source)}.parquet"
        pq.write_table(pa.table({**keys, **columns}).take(rng.permutation(frames)), path)
        entries.append(dict(zip(("system", "variant", "target"), source, strict=True)) | {"path": path})
        values[source] = columns
    fuse_members(
        tmp_path / "out.parquet",
        entries,
        plan.members,
        plan.predicted.columns,
        method="weighted",
        clip="late",
        weights=[3, 1],
    )
    fused = pq.read_table(tmp_path / "out.parquet").sort_by("frame")
    assert set(fused.column_names) == {*keys, *VA}
    for name in VA:
        expected = 0.75 * values["lfan", "multimodal", name][name] + 0.25 * values["cnu_adl", "image", "mtl"][name]
        assert fused[name].to_numpy() == pytest.approx(expected, abs=1e-6)
    about = read_metadata(tmp_path / "out.parquet")
    assert about["fusion"] == {"method": "weighted", "clip": "late", "weights": [3, 1]}
    named = [{"lfan/multimodal/valence", "lfan/multimodal/arousal"}, {"cnu_adl/image/mtl"}]
    assert [set(member) for member in about["members"]] == named


def test_mean_of_class_probabilities_can_decide_what_no_member_does():
    # The rule of t58: the mean of softmax vectors, then the largest.
    from wildaffect.scoring.fusion import fuse
    from wildaffect.scoring.scorer import decide

    part = get_task("abaw2", "expr").parts[0]
    members = [[0.5, 0.4, 0.1], [0.1, 0.4, 0.5]]
    tables = []
    for row in members:
        columns = dict(zip(part.names, [[value] for value in [*row, 0.0, 0.0, 0.0, 0.0]], strict=True))
        tables.append(pa.table({"trial": ["a"], "frame": [0], **columns}))
    assert [decide(table, part)[0, 0] for table in tables] == [0, 2]
    assert decide(fuse(tables, "mean"), part)[0, 0] == 1


@pytest.fixture
def two_members(tmp_path):
    """Of two members the first predicts well in fold 0 alone, the second in all others and in the test trial."""
    rng, frames = np.random.default_rng(3), 200
    trials = {"a": 0, "b": 1, "c": 2, "t": None}
    truth = {trial: rng.normal(0, 0.3, (frames, 2)) for trial in trials}
    entries, labels = [], []
    for trial, fold in trials.items():
        keys = {"trial": [trial] * frames, "frame": range(frames)}
        table = pa.table({**keys, "valence": truth[trial][:, 0], "arousal": truth[trial][:, 1]})
        labels.append(table)
        for variant, noise in (("first", 0.1 if fold == 0 else 0.5), ("second", 0.5 if fold == 0 else 0.1)):
            values = (truth[trial] + rng.normal(0, noise, (frames, 2))).astype(np.float32)
            path = tmp_path / variant / f"{trial}.parquet"
            path.parent.mkdir(exist_ok=True)
            pq.write_table(pa.table({**keys, "valence": values[:, 0], "arousal": values[:, 1]}), path)
            place = (
                {"partition": "test", "fold": "ensemble"}
                if fold is None
                else {"partition": "validation", "fold": str(fold)}
            )
            entries.append({"system": "s", "variant": variant, "target": "va", "path": path, **place})
    pq.write_table(pa.concat_tables(labels), tmp_path / "va.parquet")

    def run(fold, use=None):
        held_out = [e for e in entries if e["fold"] in (use or {"0", "1", "2"} - {fold})]
        fuse_members(
            tmp_path / "best.parquet",
            [e for e in entries if e["fold"] == fold],
            ((("s", "first", "va"),), (("s", "second", "va"),)),
            VA,
            method="best",
            clip="none",
            weights=None,
            held_out=held_out,
            labels={"va": tmp_path / "va.parquet"},
            editions=tracks(["abaw2"]),
        )
        return pq.read_table(tmp_path / "best.parquet"), read_metadata(tmp_path / "best.parquet")

    return run, tmp_path


@pytest.mark.parametrize("fold", ["0", "1", "ensemble"])
def test_the_best_member_is_chosen_on_other_folds_whatever_it_does_here(two_members, fold):
    run, folder = two_members
    # In fold 0 the chosen member is the worse one: its own labels have no say.
    folds = {"0": ["1", "2"], "1": ["0", "2"], "ensemble": ["0", "1", "2"]}[fold]
    table, about = run(fold)
    choice = about["fusion"]["choice"]
    truth = pq.read_table(folder / "va.parquet")
    expected = {}
    for variant in ("first", "second"):
        held_out = pa.concat_tables([pq.read_table(folder / variant / f"{'abc'[int(k)]}.parquet") for k in folds])
        known = truth.filter(pc.is_in(truth["trial"], held_out["trial"].combine_chunks()))
        expected[f"s/{variant}/va"] = score(held_out, known, "abaw2", "va")["value"][0].as_py()
    assert choice["scores"] == pytest.approx(expected, abs=1e-12) and choice["folds"] == folds
    assert choice["member"] == max(expected, key=expected.get)
    assert (choice["member"] == "s/second/va") or fold == "1"
    trial = {"0": "a", "1": "b", "ensemble": "t"}[fold]
    source = pq.read_table(folder / choice["member"].split("/")[1] / f"{trial}.parquet")
    assert table.select(["trial", "frame", *VA]).to_pydict() == source.to_pydict()
    assert [*about["members"][0]] == [choice["member"]]


def test_a_member_is_not_chosen_by_what_is_reported(two_members):
    run, _ = two_members
    with pytest.raises(InputError, match="video 'a' is also among those that the member is for"):
        run("0", use={"0", "1"})
    with pytest.raises(InputError, match="a member is chosen on validation predictions only"):
        run("0", use={"1", "ensemble"})
