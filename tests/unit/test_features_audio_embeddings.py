"""Vectors of networks of speech, with small networks of torchaudio's own classes."""

import json
import tracemalloc

import numpy as np
import pytest
import torch
import torchaudio
from torchaudio.models import wav2vec2_model, wavlm_model

from support.prepared import frame_table, sealed_audio
from wildaffect.errors import InputError
from wildaffect.features import audio_embeddings
from wildaffect.features.audio_embeddings import (
    Grid,
    describe_audio_embedding,
    embed_audio,
    grid_of,
    in_layout,
    open_network,
    vectors,
)
from wildaffect.features.registry import problems
from wildaffect.features.spec import SPEECH_NETWORKS
from wildaffect.features.store import read_valid
from wildaffect.files import sha256
from wildaffect.workflow.settings import complete_settings

CONVOLUTIONS = [(8, 10, 5)] + [(8, 3, 2)] * 4 + [(8, 2, 2)] * 2
TINY = {
    "extractor_conv_layer_config": CONVOLUTIONS,
    "extractor_conv_bias": False,
    "encoder_embed_dim": 16,
    "encoder_projection_dropout": 0.1,
    "encoder_pos_conv_kernel": 16,
    "encoder_pos_conv_groups": 4,
    "encoder_num_layers": 3,
    "encoder_num_heads": 2,
    "encoder_attention_dropout": 0.1,
    "encoder_ff_interm_features": 32,
    "encoder_ff_interm_dropout": 0.1,
    "encoder_dropout": 0.1,
    "encoder_layer_drop": 0.1,
    "aux_num_out": None,
}


def tiny(kind, mode="group_norm"):
    """A network of two hundred thousandths of the size of the published one, with the same rows."""
    torch.manual_seed(3)
    settings = TINY | {"extractor_mode": mode, "encoder_layer_norm_first": mode == "layer_norm"}
    if kind == "wavlm_base":
        return wavlm_model(**settings, encoder_num_buckets=32, encoder_max_distance=80).eval()
    return wav2vec2_model(**settings).eval()


def noise(seconds, seed=0):
    return (3000 * np.random.default_rng(seed).standard_normal(int(seconds * 16000))).astype(np.int16)


def joined(network, speech, index, layers=(2,), combine="mean", **options):
    return np.concatenate([*vectors(network, speech, np.asarray(index), layers, combine, **options)])


@pytest.fixture
def named():
    """`torchaudio.models.wav2vec2_base` and `wavlm_base` are small networks here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("wav2vec2_base", "wavlm_base"):
            patch.setattr(torchaudio.models, name, lambda name=name: tiny(name))
        yield


def test_rows_are_chosen_by_their_centres():
    """Row r of the published networks covers samples 320 r to 320 r + 399, so its centre is at 12.5 ms + 20 ms r."""
    grid = grid_of(tiny("wav2vec2_base"))
    assert (grid.field, grid.hop) == (400, 320)
    times = np.array([0.0, 0.0124, 0.0224, 0.0226, 0.0326, 1.0, 9.0])
    assert grid.rows(times, np.nan, 100).tolist() == [0, 0, 0, 1, 1, 49, 99]
    assert [grid.count(samples) for samples in (0, 399, 400, 719, 720)] == [1, 1, 1, 1, 2]


@pytest.mark.parametrize("samples", [400, 719, 720, 16000])
def test_the_grid_counts_what_the_network_gives(samples):
    network = tiny("wav2vec2_base")
    with torch.inference_mode():
        found = network.extract_features(torch.zeros(1, samples))[0][0]
    assert found.shape[1] == grid_of(network).count(samples)


@pytest.mark.parametrize(("kind", "mode"), [("wav2vec2_base", "group_norm"), ("wavlm_base", "layer_norm")])
def test_layers_are_those_of_torchaudio(kind, mode):
    network, speech = tiny(kind, mode), noise(2)
    audio = speech / 32768
    if mode == "layer_norm":  # as torchaudio's pipelines do for these
        audio = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-5)
    with torch.inference_mode():
        want = [
            part[0].numpy() for part in network.extract_features(torch.from_numpy(audio.astype(np.float32))[None])[0]
        ]
    index = [0, 3, 3, 50, 98]
    assert np.allclose(joined(network, speech, index), want[1][index], atol=1e-4)
    both = joined(network, speech, index, layers=(3, 1), combine="concatenate")
    assert np.allclose(both, np.concatenate([want[2], want[0]], axis=1)[index], atol=1e-4)
    mean = joined(network, speech, index, layers=(1, 2))
    assert np.allclose(mean, (want[0] + want[1])[index] / 2, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "mode"), [("wav2vec2_base", "group_norm"), ("wav2vec2_base", "layer_norm"), ("wavlm_base", "layer_norm")]
)
def test_windows_give_nearly_what_the_whole_gives(kind, mode):
    """Attention reaches no further than the window, and group norm is of the window: no exact equality."""
    network, speech = tiny(kind, mode), noise(12)
    index = np.arange(599)
    whole = joined(network, speech, index, window=600, context=100)
    parts = joined(network, speech, index, window=200, context=40)
    assert parts.shape == whole.shape == (599, 16)
    error = np.sqrt(np.square(parts - whole).mean()) / (whole - whole.mean(0)).std()
    assert error < 0.15, error
    # A window in the wrong place would be as far off as noise.
    shifted = np.sqrt(np.square(np.roll(parts, 1, axis=0) - whole).mean()) / (whole - whole.mean(0)).std()
    assert shifted > 3 * error


def test_windows_give_what_the_whole_gives_where_attention_adds_nothing():
    """Then a row depends on its neighbours alone, and the context is enough."""
    network, speech = tiny("wav2vec2_base", "layer_norm"), noise(12)
    for layer in network.encoder.transformer.layers:
        torch.nn.init.zeros_(layer.attention.out_proj.weight)
    index = np.arange(599)
    whole = joined(network, speech, index, window=600, context=100)
    assert np.allclose(joined(network, speech, index, window=200, context=40), whole, atol=1e-4)


def test_windows_are_of_one_length_whatever_the_length_of_the_audio():
    network, seen = tiny("wav2vec2_base"), []
    network.feature_extractor.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[1]))
    for seconds in (6, 24):
        seen.clear()
        speech = noise(seconds)
        found = joined(network, speech, np.arange(Grid(400, 320).count(len(speech))), window=200, context=40)
        assert len(found) == Grid(400, 320).count(len(speech)) and set(seen) == {199 * 320 + 400, 199 * 320 + 400 + 240}


def test_memory_does_not_grow_with_the_length():
    network, peaks = tiny("wav2vec2_base"), []
    for seconds in (10, 60):
        speech = noise(seconds)
        tracemalloc.start()
        for block in vectors(network, speech, np.arange(50 * seconds - 1), (2,), "mean", window=200, context=40):
            assert len(block) <= 120
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize("samples", [0, 100, 400])
def test_audio_shorter_than_a_row_has_one(samples):
    found = joined(tiny("wav2vec2_base"), noise(1)[:samples], [0, 0, 0])
    assert found.shape == (3, 16) and np.isfinite(found).all() and (found[0] == found[2]).all()


def as_old_file(state):
    """Names of the time before parametrizations, and the layer of letters."""
    renamed = {
        key.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for key, value in state.items()
    }
    return renamed | {"aux.weight": torch.zeros(29, 16), "aux.bias": torch.zeros(29)}


def as_hugging_face(state):
    """Names of transformers 4.57 (Wav2Vec2ForCTC and WavLMForCTC), written by hand."""
    wavlm = any("rel_attn_embed" in key for key in state)
    found = {}
    for key, value in state.items():
        key = key.removeprefix("encoder.")
        key = "encoder." + key.removeprefix("transformer.") if key.startswith("transformer.") else key
        if wavlm and "attention.attention.in_proj" in key:
            kind = key.rpartition("_")[2]
            for name, part in zip("qkv", value.chunk(3), strict=True):
                found[key.replace(f"attention.attention.in_proj_{kind}", f"attention.{name}_proj.{kind}")] = part
        else:
            found[key.replace("attention.attention.out_proj", "attention.out_proj")] = value
    prefix = "wavlm." if wavlm else "wav2vec2."
    inner = {prefix + key: value for key, value in found.items()}
    return inner | {prefix + "masked_spec_embed": torch.zeros(16), "lm_head.weight": torch.zeros(32, 16)}


@pytest.mark.parametrize("kind", ["wav2vec2_base", "wavlm_base"])
@pytest.mark.parametrize("form", [dict, as_old_file, as_hugging_face])
def test_files_of_both_layouts_give_the_same_network(tmp_path, named, kind, form):
    network = tiny(kind)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.1 * torch.randn(value.shape))
    torch.save(form(network.state_dict()), tmp_path / "w.pth")
    opened, about = open_network(kind, str(tmp_path / "w.pth"), tmp_path)
    assert about["trained"] and about["sha256"] == sha256(tmp_path / "w.pth")
    audio = torch.from_numpy(noise(1) / 32768).float()[None]
    with torch.inference_mode():
        assert torch.equal(opened.eval().extract_features(audio)[0][-1], network.extract_features(audio)[0][-1])


@pytest.mark.parametrize("form", [dict, as_hugging_face])
def test_files_of_another_network_are_refused(tmp_path, named, form):
    state = form(tiny("wav2vec2_base").state_dict())
    lacking = {key: value for key, value in state.items() if "layers.1.attention.k_proj.bias" not in key}
    torch.save(lacking, tmp_path / "lacking.pth")
    with pytest.raises(
        InputError, match=r"lacking\.pth: not weights of Wav2Vec2Model \(missing: .*layers\.1\.attention"
    ):
        open_network("wav2vec2_base", str(tmp_path / "lacking.pth"), tmp_path)
    torch.save(
        state | {next(key for key in state if key.endswith("k_proj.weight")): torch.zeros(8, 8)}, tmp_path / "b.pth"
    )
    with pytest.raises(InputError, match=r"b\.pth: .*has shape \(8, 8\)"):
        open_network("wav2vec2_base", str(tmp_path / "b.pth"), tmp_path)
    with pytest.raises(InputError, match=r"not weights of Wav2Vec2Model"):
        torch.save(tiny("wavlm_base").state_dict(), tmp_path / "c.pth")
        open_network("wav2vec2_base", str(tmp_path / "c.pth"), tmp_path)


def test_a_name_of_neither_layout_is_kept():
    assert in_layout({"odd": torch.zeros(1)}, tiny("wav2vec2_base")).keys() == {"odd"}


@pytest.fixture
def video(tmp_path):
    """Two seconds of audio at 48 kHz and frames at a variable rate, the last ones beyond the audio."""
    sealed_audio(tmp_path / "audio.flac", np.random.default_rng(5).uniform(-0.3, 0.3, 96000))
    times = np.array([0.0, 0.1, 0.5, 0.501, 1.9, 2.4])
    frame_table(tmp_path / "frames.parquet", times)
    return tmp_path


def test_a_row_per_frame_and_what_it_is(video, named):
    entry = {"network": "wav2vec2_base", "weights": "seeded", "layers": [1, 3], "combine": "concatenate"}
    files = (video / "out.npy", video / "audio.flac", video / "frames.parquet")
    embed_audio("own", *files, **entry, models_dir=video)
    found = np.load(video / "out.npy")
    assert found.shape == (6, 32) and found.dtype == np.float32
    assert read_valid(video / "out.npy").tolist() == [True] * 5 + [False]
    assert np.array_equal(found[2], found[3]) and not np.array_equal(found[1], found[2])
    describe_audio_embedding("own", video / "about.json", **entry, models_dir=video)
    about = json.loads((video / "about.json").read_text())
    assert (about["id"], about["dim"], about["columns"][16]) == ("audio_embed.own", 32, "own_3_0")
    assert about["parameters"]["hop_s"] == 0.02 and about["parameters"]["row_s"] == 0.025
    assert about["synchronisation"]["rule"] == "centre" and about["weights"]["trained"] is False


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"network": "wav2vec_base"}, r"network: 'wav2vec_base' is not possible; did you mean 'wav2vec2_base'"),
        ({"layers": [13]}, "'layers': wavlm_base has 12 layers"),
        ({"layers": []}, "layers"),
        ({"layers": [2, 2]}, "layers"),
    ],
)
def test_mistakes_are_named(entry, message):
    with pytest.raises(InputError, match=message):
        complete_settings({"features": {"audio_embeddings": {"own": OWN | entry}}})


OWN = {"network": "wavlm_base", "weights": "seeded", "layers": [8]}


def test_the_table_of_networks_is_that_of_torchaudio(monkeypatch):
    """Each name is a function of torchaudio, whose network has as many layers as the table says."""
    counted = []
    build = audio_embeddings.torchaudio.models.wav2vec2.model

    def count(*given, **settings):
        counted.append(settings["encoder_num_layers"])

    monkeypatch.setattr(build, "wav2vec2_model", count)
    monkeypatch.setattr(build, "wavlm_model", count)
    for name, layers in SPEECH_NETWORKS.items():
        getattr(torchaudio.models, name)()
        assert counted.pop() == layers, name


def test_absent_weights_are_said_before_any_job(tmp_path):
    section = complete_settings({"features": {"audio_embeddings": {"own": OWN | {"weights": "none.pth"}}}})["features"]
    (found,) = problems(section, ["audio_embed.own"], {}, tmp_path)
    assert found.startswith("features.audio_embeddings.own.weights: none.pth not found")
