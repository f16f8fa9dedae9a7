"""What makes networks fast on a device changes no value, or only by the rounding it is named after."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from support.runs import TINY, Corpus, predictions, train
from wildaffect.training.runtime import channels_innermost, computing, fuse

SHORT = TINY | {"epochs": 1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return Corpus(tmp_path_factory.mktemp("corpus"), train=1, validation=1, frames=45)


@pytest.fixture(scope="module")
def plain(corpus):
    """Run folder of a training in float32."""
    train(**corpus.train_arguments("plain", recipe=SHORT))
    return corpus.folder / "plain" / "run"


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.SGD, torch.optim.AdamW])
def test_fused_steps_are_the_same_steps(kind):
    found = []
    for fused in (False, True):
        torch.manual_seed(0)
        model = nn.Linear(5, 3)
        optimizer = kind(model.parameters(), lr=0.1, weight_decay=0.01)
        if fused:
            fuse(optimizer)
            assert optimizer.param_groups[0]["fused"]
        for _ in range(4):
            model(torch.ones(2, 5)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        found.append(model.weight.detach())
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1, 2)), (2, 3, 12, 12)),
        (nn.Sequential(nn.Conv3d(4, 8, (1, 3, 3)), nn.ReLU(), nn.Conv3d(8, 5, (3, 1, 1))), (16, 4, 6, 12, 12)),
    ],
)
def test_channels_innermost_move_and_change_nothing(model, shape):
    given, parameters = torch.randn(shape), list(model.eval().parameters())
    before = model(given)
    channels_innermost(model)
    assert all(one is other for one, other in zip(parameters, model.parameters(), strict=True))
    assert not model[0].weight.is_contiguous() and not model(given).is_contiguous()
    torch.testing.assert_close(model(given), before, rtol=1e-5, atol=1e-5)


def test_layers_that_channels_innermost_would_break_keep_theirs():
    model = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(4, 8, 1, 2))
    channels_innermost(model)
    assert all(layer.weight.is_contiguous() for layer in model)


def test_settings_of_the_device_hold_inside_the_block_alone():
    cudnn = torch.backends.cudnn

    def now():
        return (
            cudnn.deterministic,
            cudnn.benchmark,
            cudnn.allow_tf32,
            torch.get_float32_matmul_precision(),
            torch.are_deterministic_algorithms_enabled(),
        )

    before = now()
    with computing(1):
        assert now() == (True, False, False, "highest", True)
    with computing(1, deterministic=False, tf32=True):
        assert now() == (False, True, True, "high", False)
    assert now() == before


def test_training_in_bf16_is_another_training_near_that_in_float32(corpus, plain):
    record = train(**corpus.train_arguments("bf16", recipe=SHORT, precision="bf16"))
    losses = [
        pd.read_csv(folder / "history.csv")["train_loss"][0] for folder in (plain, corpus.folder / "bf16" / "run")
    ]
    assert record["precision"] == "bf16" and record["workers"] == 0
    assert losses[0] != losses[1] == pytest.approx(losses[0], abs=0.02)


def test_predictions_in_bf16_differ_in_the_third_digit(corpus, plain):
    exact, rounded = (
        predictions(corpus, plain, f"{name}.parquet", precision=name, recipe=SHORT)["valence"].to_numpy()
        for name in ("float32", "bf16")
    )
    difference = np.abs(exact - rounded)
    assert 0 < difference.max() < 0.03 * np.ptp(exact) + 0.01


def test_larger_batches_predict_the_same(corpus, plain):
    one, many = (
        predictions(corpus, plain, f"batch{batch}.parquet", batch=batch, recipe=SHORT)["valence"].to_numpy()
        for batch in (1, 64)
    )
    np.testing.assert_allclose(many, one, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_compiled_training_ends_with_the_same_weights(corpus, plain, monkeypatch):
    """Traced only: writing kernels takes a compiler and minutes."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    assert train(**corpus.train_arguments("compiled", recipe=SHORT, compiled=True))["compiled"]
    found, want = (load_file(folder / "model.safetensors") for folder in (corpus.folder / "compiled" / "run", plain))
    assert found.keys() == want.keys()
    for name, value in want.items():
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-4)


def test_blocks_are_another_order(corpus, plain):
    record = train(**corpus.train_arguments("blocks", recipe=SHORT, block=2))
    assert record["block"] == 2 and weights(corpus.folder / "blocks" / "run") != weights(plain)
