"""M3T's networks: structures, detection of weight files, initial weights, pre-trained streams, planning."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from support.corpora import touch, write_annotation, write_run
from support.lists import prediction_files, training_files
from support.m3t import TINY, TINY_NETWORK
from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.systems.m3t.checkpoint import VARIANTS, advice, detect
from wildaffect.systems.m3t.model import Recurrent, from_identity, normalised
from wildaffect.systems.toolbox import with_statistics
from wildaffect.weights import save_weights
from wildaffect.workflow.instances import Instance
from wildaffect.workflow.plan import make_plan

SIZES = {
    ("visual_mtl", "outputs", 2): (42_301_826, 89),
    ("audio", "outputs", 2): (2_018_050, 20),
    ("audiovisual_mtl", "outputs", 2): (54_161_794, 119),
    ("visual_mtl", "split_layer", 2): (43_190_921, 96),
    ("visual_mtl", "split_layer", 4): (38_764_937, 82),
    ("visual_mtl", "split_layer", 5): (23_284_105, 55),
    ("visual_mtl", "backend", "tcn_simple"): (30_227_337, 81),
}


def tiny(variant, **options):
    return systems.build_model("m3t", variant, vectors=6, **TINY_NETWORK | options)


def inputs_of(variant, batch=2, frames=6, **more):
    parts = {
        "visual": {"video": torch.rand(batch, 3, frames, 112, 112) * 255, "se_features": torch.rand(batch, 6, frames)},
        "audio": {"audio": torch.rand(batch, frames, 200)},
    }
    return {k: v for name, part in parts.items() if name in VARIANTS[variant].modality for k, v in part.items()} | more


@pytest.mark.parametrize(("what", "counts"), SIZES.items(), ids=lambda value: "-".join(map(str, value)))
def test_other_published_structures_have_their_sizes(what, counts):
    variant, option, value = what
    model = systems.build_model("m3t", variant, **{option: value})
    assert (sum(p.numel() for p in model.parameters()), len(model.state_dict())) == counts


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"outputs": 2},
        {"outputs": 9, "fc_layers": 1},
        {"fc_layers": 3, "split_layer": 2},
        {"split_layer": 5, "hidden": 3},
        {"split_layer": 4, "arousal_vectors": 5},
    ],
    ids=str,
)
def test_weights_say_what_they_are(variant, options):
    """A model built from what was detected takes the weights strictly and answers the same."""
    model = tiny(variant, **options).eval()
    found = detect(model.state_dict())
    again = systems.build_model("m3t", found.variant, **{"image_pooling": 2, **found.options}).eval()
    again.load_state_dict(model.state_dict())
    hears_only = VARIANTS[variant].modality == "audio"
    more = {"au_features": torch.rand(2, 5, 6)} if "arousal_vectors" in options and not hears_only else {}
    inputs = inputs_of(variant, **more)
    with torch.inference_mode():
        torch.testing.assert_close(again(**inputs), model(**inputs), rtol=0, atol=0)
    assert model(**inputs).shape == (2, 6, options.get("outputs", VARIANTS[variant].outputs))


def test_published_weights_need_no_options():
    for variant in ("audio", "audio_va"):
        found = detect(systems.build_model("m3t", variant).state_dict())
        assert (found.variant, dict(found.options)) == (variant, {})
    older = systems.build_model("m3t", "visual_mtl", arousal_vectors=256)
    assert older.visual.gru_a.gru.weight_ih_l0.shape == (1536, 768)
    assert dict(detect(older.state_dict()).options) == {"arousal_vectors": 256}


def test_what_is_not_offered_is_named():
    decoder = {"fusion.decoder.gru.weight_ih_l0": torch.zeros(1), "visual.shared.0.weight": torch.zeros(1)}
    for state, message in (
        (decoder, "attention decoder"),
        ({"visual.v2p.0.weight": torch.zeros(1)}, "identity pre-training"),
        ({"fc.weight": torch.zeros(1)}, "not those of an M3T model"),
        (
            {"audio.fc.0.weight": torch.zeros(2, 2), "audio.fc.3.weight": torch.zeros(527, 2)},
            "not those of an M3T model",
        ),
    ):
        with pytest.raises(InputError, match=message):
            detect(state)
        assert message in advice(state)


def test_weights_of_another_variant_are_explained(tmp_path):
    save_weights(tiny("audiovisual_mtl", fc_layers=3).state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"w\.safetensors: does not fit .*variant audiovisual_mtl with .*fc_layers 3"):
        systems.load_weights(tiny("visual_mtl"), tmp_path / "w.safetensors")


def test_recurrent_layers_start_as_published():
    torch.manual_seed(0)
    gru = Recurrent(200, 256, 9).gru
    for name, parameter in gru.named_parameters():
        if name.startswith("weight_ih"):
            assert (
                0.1146 < parameter.abs().max() <= 0.11472
            )  # from the first layer's 200 inputs, in the second layer too
        elif name.startswith("weight_hh"):
            for gate in parameter.detach().split(256):
                torch.testing.assert_close(gate @ gate.T, torch.eye(256), rtol=0, atol=1e-5)
        else:
            assert not parameter.any()


def test_convolutions_start_as_published():
    torch.manual_seed(0)
    conv = systems.build_model("m3t", "visual_mtl").visual.shared[4]
    assert float(conv.weight.detach().std()) == pytest.approx((2 / (27 * 128)) ** 0.5, rel=0.02)
    assert not conv.bias.any()


def test_attention_weighs_within_limits():
    fuse = tiny("audiovisual_attention_mtl", audio_hidden=16).att_fuse
    heard, seen = torch.zeros(1, 4, 32), torch.ones(1, 4, 32)
    with torch.inference_mode():
        for bias in (-100.0, 100.0):
            fuse.scorer_v.fc.bias.fill_(bias)
            fuse.scorer_a.fc.bias.fill_(-bias)
            want = torch.sigmoid(torch.tensor(bias / 100))
            torch.testing.assert_close(fuse(heard, seen), torch.full((1, 4, 32), float(want)), rtol=0, atol=1e-4)


def test_arousal_tower_may_have_vectors_of_its_own():
    model = tiny("visual_mtl", arousal_vectors=5, outputs=2).eval()
    inputs = inputs_of("visual_mtl")
    with torch.inference_mode():
        first = model(**inputs, au_features=torch.zeros(2, 5, 6))
        second = model(**inputs, au_features=torch.ones(2, 5, 6))
    assert torch.equal(first[..., 0], second[..., 0]) and not torch.equal(first[..., 1], second[..., 1])


def test_pooled_pictures_take_the_same_weights():
    """Half the side: squares are averaged, the first pooling layer is left out, everything after has its size."""
    pooled, plain = tiny("visual_mtl").eval(), tiny("visual_mtl", image_pooling=1).eval()
    plain.load_state_dict(pooled.state_dict())
    video = torch.rand(1, 3, 4, 112, 112) * 255
    small = video.unflatten(3, (56, 2)).unflatten(5, (56, 2)).mean(dim=(4, 6))
    with torch.inference_mode():
        shared = pooled.visual.shared(normalised(small))
        vectors = torch.zeros(1, 6, 4)
        assert shared.shape == plain.visual.shared(normalised(video)).shape == (1, 4, 4, 5, 5)
        pooled.visual.image_pooling = 1
        want = pooled(small, vectors)
        pooled.visual.image_pooling = 2
        torch.testing.assert_close(pooled(video, vectors), want, rtol=1e-4, atol=1e-5)


def identity_state(channels=(2, 2, 4, 4, 4)):
    """Convolutions of an identity pre-training, unsplit, with its classifier."""
    layers = tiny("visual_mtl", channels=channels, split_layer=5).visual.shared
    state = {f"visual.v2p.{key}": value for key, value in layers.state_dict().items()}
    return state | {"visual.fc.0.weight": torch.zeros(3, 3)}


@pytest.mark.parametrize("split_layer", [2, 3, 4, 5])
def test_identity_pretraining_starts_both_towers(tmp_path, split_layer):
    state = identity_state()
    torch.save({"state_dict": state}, tmp_path / "vox.pt")
    settings = TINY | {
        "network": TINY_NETWORK | {"split_layer": split_layer},
        "visual_weights": str(tmp_path / "vox.pt"),
    }
    plan = systems.build_recipe("m3t", "audiovisual_mtl", "va", "corrected", settings)
    model = plan.model()
    recurrent = {key: value.clone() for key, value in model.state_dict().items() if ".gru" in key}
    (record,) = plan.initialise(model)
    assert record["part"] == "visual" and len(record["sha256"]) == 64
    own = model.state_dict()
    assert all(torch.equal(own[key], value) for key, value in recurrent.items())
    towers = ("v_private", "a_private") if split_layer < 5 else ()
    whole = [own[f"visual.shared.{key}"] for key in ("0.weight", "1.running_var")]
    assert torch.equal(whole[0], state["visual.v2p.0.weight"]) and torch.equal(
        whole[1], state["visual.v2p.1.running_var"]
    )
    for tower in towers:
        last = max(
            int(key.split(".")[2]) for key in own if key.startswith(f"visual.{tower}.") and key.endswith("running_var")
        )
        assert torch.equal(own[f"visual.{tower}.{last - 1}.weight"], state["visual.v2p.15.weight"])
    assert record["tensors"] == len(from_identity(state, split_layer))


def test_earlier_models_start_an_audiovisual_one(tmp_path):
    """The merge of two trained models: both streams taken over, their heads dropped."""
    visual, audio = tiny("visual_mtl"), tiny("audio")
    for name, model in (("v", visual), ("a", audio)):
        save_weights(model.state_dict(), tmp_path / f"{name}.safetensors")
    settings = TINY | {f"{part}_weights": str(tmp_path / f"{part[0]}.safetensors") for part in ("visual", "audio")}
    plan = systems.build_recipe("m3t", "audiovisual_mtl", "va", "corrected", settings)
    model = plan.model()
    assert [entry["part"] for entry in plan.initialise(model)] == ["visual", "audio"]
    own = model.state_dict()
    for earlier in (visual, audio):
        kept = {key: value for key, value in earlier.state_dict().items() if ".fc." not in key}
        assert all(torch.equal(own[key], value) for key, value in kept.items())
    alone = systems.build_recipe("m3t", "audio", "va", "corrected", settings)
    assert [entry["part"] for entry in alone.initialise(alone.model())] == ["audio"]
    wrong = systems.build_recipe(
        "m3t", "audio", "va", "corrected", TINY | {"audio_weights": settings["visual_weights"]}
    )
    with pytest.raises(InputError, match=r"v\.safetensors: does not fit the audio stream: 20 tensors missing"):
        wrong.initialise(wrong.model())


def test_the_demo_overlay_holds_one_block_that_fits(root):
    (name, blocks), *others = yaml.safe_load((root / "config" / "demo_m3t.yaml").read_text()).items()
    assert (name, list(blocks), others) == ("systems", ["m3t"], [])
    assert systems.resolve_settings("m3t", blocks["m3t"]["recipe"]).face_vectors == "zeros"


def needs(variant, mode="corrected", **settings):
    return systems.spec("m3t").needs(variant, mode, systems.resolve_settings("m3t", settings))


def test_variants_ask_for_what_they_read():
    assert needs("visual_mtl").crops == ("m3t256",) and needs("visual_mtl").features == ("import.senet",)
    assert needs("visual_mtl", face_vectors="zeros").features == ()
    assert needs("visual_mtl", arousal_vectors="import.tcae").features == ("import.senet", "import.tcae")
    assert needs("audio").crops == () and needs("audio_va").features == ("m3t_mel",)
    assert needs("audiovisual_mtl", "faithful", face_vectors="embed.face18").features == (
        "embed.face18",
        "m3t_mel.indexed",
    )


def test_the_audio_stream_may_read_any_feature_of_the_audio_with_a_row_per_frame():
    for mode in ("faithful", "corrected"):
        for feature in ("egemaps25", "egemaps23.indexed", "egemaps88"):
            assert needs("audio", mode, audio_feature=feature).features == (feature,)
    assert needs("visual_mtl", audio_feature="egemaps25", face_vectors="zeros").features == ()
    with pytest.raises(InputError, match="ntua_mel is a signal on its own clock"):
        needs("audio", audio_feature="ntua_mel")
    model = tiny("audiovisual_mtl", audio_columns=25)
    assert detect(model.state_dict()).options["audio_columns"] == 25
    assert model.audio.gru.weight_ih_l0.shape[1] == 25


def test_dropout_acts_in_training_alone_and_changes_no_names():
    plain, dropping = tiny("audio"), tiny("audio", dropout=0.5)
    assert list(plain.state_dict()) == list(dropping.state_dict())
    dropping.load_state_dict(plain.state_dict())
    rows = torch.rand(2, 6, 200)
    with torch.inference_mode():
        torch.testing.assert_close(dropping.eval()(rows), plain.eval()(rows), rtol=0, atol=0)
        dropping.train()
        assert (dropping(rows) != dropping(rows)).any()
        assert (plain.train()(rows) == plain(rows)).all()


@pytest.mark.parametrize("vectors", ["senet", "import.SENet", "vggish128", ""])
def test_vectors_must_be_imports_embeddings_or_declared_zeros(vectors):
    with pytest.raises(InputError, match="face_vectors"):
        systems.resolve_settings("m3t", {"face_vectors": vectors})


@pytest.fixture
def plan(tmp_path, root):
    """The plan of a corpus of one video per partition for a block of M3T."""
    touch(*(tmp_path / "batch1" / f"{video}.mp4" for video in "abz"))
    folders = {
        "VA_Set": ("valence,arousal", "0.1,0.2"),
        "EXPR_Set": ("Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise", "0"),
    }
    for folder, (header, row) in folders.items():
        for trial, name in (("a", "Training_Set"), ("b", "Validation_Set")):
            write_annotation(tmp_path / "annotations" / folder / name / f"{trial}.txt", 3, header, row)
    (tmp_path / "va_test_set.txt").write_text("z\n")

    def make(block, **features):
        raw = {"corpus": {"root": str(tmp_path), "edition": "abaw1"}, "faces": {"backend": "dlib", "model": "hog"},
               "folds": {"scheme": "official"}, "systems": {"m3t": block}, "submission": {"editions": ["abaw1"]},
               "features": features}  # fmt: skip
        return make_plan(raw)

    return make


def test_vectors_that_nobody_gave_stop_the_run(plan):
    with pytest.raises(InputError, match=r"a system asks for 'import\.senet'"):
        plan({})
    assert plan({"variants": ["audio"]}).instances
    without = plan({"recipe": {"face_vectors": "zeros"}})
    assert {(i.variant, i.target) for i in without.instances} == {
        *(
            (variant, target)
            for variant in VARIANTS
            for target in ("va", "mtl")
            if (variant, target) != ("audio_va", "mtl")
        )
    }


def test_imported_vectors_are_read_per_trial(plan, tmp_path):
    for trial in "abz":
        np.save(tmp_path / f"{trial}.npy", np.zeros((3, 4), np.float32))
    senet = {"path": str(tmp_path / "{trial}.npy"), "columns": 4}
    made = plan({"variants": ["visual_mtl"], "targets": ["va"]}, **{"import": {"senet": senet}})
    files = training_files(made.inputs, Instance("m3t", "visual_mtl", "va", 0))
    assert files["features"] == [f"results/features/import.senet/{trial}.npy" for trial in "ab"]


def test_given_weights_keep_the_vectors_they_were_trained_with(plan, tmp_path):
    run = tmp_path / "runs" / "m3t" / "visual_mtl" / "va" / "fold0"
    write_run(run)
    block = {"variants": ["visual_mtl"], "targets": ["va"], "trained": str(tmp_path / "runs")}
    with pytest.raises(InputError, match=r"import\.senet"):
        plan(block)
    (run / "run.json").write_text(
        json.dumps({"recipe": systems.resolve_settings("m3t", {"face_vectors": "zeros"}).plain()})
    )
    files = prediction_files(plan(block).inputs, Instance("m3t", "visual_mtl", "va", 0), "test")
    assert files["features"] == [] and [Path(path).name for path in files["crops"]] == ["z.arrow"]


def test_the_convolutional_backend_sees_four_frames_to_either_side():
    torch.manual_seed(0)
    model = tiny("visual_mtl", backend="tcn_simple").eval()
    inputs = inputs_of("visual_mtl", frames=12)
    with torch.no_grad():
        plain = model(**inputs)
        inputs["se_features"][:, :, 3] += 5
        changed = (model(**inputs) - plain).abs().amax(dim=(0, 2)) > 1e-7
    assert plain.shape == (2, 12, 9)
    assert changed.nonzero().flatten().tolist() == list(range(8))


def test_statistics_of_a_window_are_those_of_its_states():
    states = torch.tensor([[[1.0, 4.0], [3.0, 4.0]]])
    got = with_statistics(states)
    torch.testing.assert_close(got[0, :, :2], states[0])
    torch.testing.assert_close(got[0, :, 2:], torch.tensor([[2, 4, 1, 0.0]] * 2), atol=0.01, rtol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_heads_read_statistics_of_their_window_where_asked(variant):
    """Three times as many inputs of every head's first layer, nothing else."""
    plain, wide = tiny(variant).state_dict(), tiny(variant, window_statistics=True).state_dict()
    wider = {name for name in plain if plain[name].shape != wide[name].shape}
    assert list(plain) == list(wide) and wider and all(name.endswith("fc.0.weight") for name in wider)
    assert all(wide[name].shape[1] == 3 * plain[name].shape[1] for name in wider)
    model = tiny(variant, window_statistics=True)
    model(**inputs_of(variant)).sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None)
