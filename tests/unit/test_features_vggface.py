"""The face network against SciPy and NumPy: TensorFlow's padding, batch norm in both phases, bottlenecks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate2d

from wildaffect.features.vggface import Bottleneck, ConvNorm, VggFace, padded, prepared


def same(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """TensorFlow's "same" convolution of x (c, H, W) with kernel (out, c, k, k), by its definition.

    There are ceil(side / stride) outputs; the windows overhang the picture evenly, and by one more at the end where that is odd.
    """
    size, (height, width) = kernel.shape[-1], x.shape[1:]
    outputs = [-(-side // stride) for side in (height, width)]
    over = [max((out - 1) * stride + size - side, 0) for out, side in zip(outputs, (height, width), strict=True)]
    room = np.zeros((len(x), height + over[0], width + over[1]))
    room[:, over[0] // 2 : over[0] // 2 + height, over[1] // 2 : over[1] // 2 + width] = x
    maps = [sum(correlate2d(room[c], filters[c], "valid") for c in range(len(x))) for filters in kernel]
    return np.stack(maps)[:, ::stride, ::stride][:, : outputs[0], : outputs[1]]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(7, 20),
    st.integers(7, 20),
    st.sampled_from([1, 3, 5, 7]),
    st.sampled_from([1, 2, 3]),
    st.integers(0, 99),
)
def test_convolutions_are_padded_as_tensorflow_does(height, width, kernel, stride, seed):
    x = np.random.default_rng(seed).standard_normal((2, height, width))
    layer = ConvNorm(2, 3, kernel, stride).double()
    with torch.no_grad():
        got = layer.conv(padded(torch.from_numpy(x)[None], kernel, stride))[0].numpy()
    np.testing.assert_allclose(got, same(x, layer.conv.weight.detach().numpy(), stride), rtol=0, atol=1e-10)


def test_the_first_layer_is_padded_by_two_before_and_three_behind():
    x = torch.zeros(1, 1, 224, 224)
    x[..., 0, 0], x[..., -1, -1] = 1, 2
    got = padded(x, 7, 2)
    assert got.shape[2:] == (229, 229) and got[0, 0, 2, 2] == 1 and got[0, 0, -4, -4] == 2
    assert padded(x, 1, 2) is x and padded(x, 3, 1).shape[2:] == (226, 226)


def test_batch_norm_has_the_constants_of_keras():
    """Normalised by the batch's own variance (1/n), remembered with 1 % of the unbiased one (1/(n-1))."""
    layer = ConvNorm(1, 2).double()
    x = np.random.default_rng(0).normal(3, 0.05, (5, 1, 4, 4))
    with torch.no_grad():
        layer.norm.weight.copy_(torch.tensor([2.0, 0.5]))
        layer.norm.bias.copy_(torch.tensor([0.1, -1.0]))
        got = layer.train()(torch.from_numpy(x)).numpy()
    maps = x * layer.conv.weight.detach().numpy()[:, 0][None]
    mean, variance = maps.mean(axis=(0, 2, 3)), maps.var(axis=(0, 2, 3))
    scale, shift = np.array([2, 0.5]), np.array([0.1, -1])
    want = (maps - mean[:, None, None]) / np.sqrt(variance + 1e-3)[:, None, None]
    np.testing.assert_allclose(got, want * scale[:, None, None] + shift[:, None, None], rtol=0, atol=1e-7)
    count = x.size
    np.testing.assert_allclose(layer.norm.running_mean, 0.01 * mean, atol=1e-9)
    np.testing.assert_allclose(layer.norm.running_var, 0.99 + 0.01 * variance * count / (count - 1), atol=1e-9)
    with torch.no_grad():
        got = layer.eval()(torch.from_numpy(x)).numpy()
    moved = [layer.norm.running_mean.numpy(), layer.norm.running_var.numpy()]
    want = (maps - moved[0][:, None, None]) / np.sqrt(moved[1] + 1e-3)[:, None, None]
    np.testing.assert_allclose(got, want * scale[:, None, None] + shift[:, None, None], rtol=0, atol=1e-7)


@pytest.mark.parametrize("project", [True, False])
def test_a_bottleneck_strides_in_its_first_convolution(project):
    stride = 2 if project else 1
    unit = Bottleneck(8, 8, stride, project).double().eval()
    x = torch.randn(1, 8, 9, 9, dtype=torch.float64)
    kernels = {name: part.conv.weight.detach().numpy() for name, part in unit.named_children()}
    scale = 1 / np.sqrt(1 + 1e-3)
    way = np.maximum(same(x[0].numpy(), kernels["reduce"], stride) * scale, 0)
    way = np.maximum(same(way, kernels["middle"], 1) * scale, 0)
    way = same(way, kernels["increase"], 1) * scale
    way = way + (same(x[0].numpy(), kernels["proj"], stride) * scale if project else x[0].numpy())
    with torch.no_grad():
        np.testing.assert_allclose(unit(x)[0], np.maximum(way, 0), rtol=0, atol=1e-10)


def test_pictures_become_blue_green_red_without_scaling():
    for side in (224, 2):
        picture = torch.tensor([255, 0, 10], dtype=torch.uint8).expand(1, side, side, 3)
        got = prepared(picture)
        assert got.shape == (1, 3, 224, 224)
        for corner in (0, -1):
            want = [10 - 91.4953, -103.8827, 255 - 131.0912]
            assert got[0, :, corner, corner].tolist() == pytest.approx(want, abs=1e-4)


def test_narrow_networks_keep_the_names():
    with torch.device("meta"):
        full = VggFace()
    narrow = VggFace(1 / 16, picture_pooling=4)
    assert list(narrow.state_dict()) == list(full.state_dict())
    vector = narrow.eval()(torch.zeros(2, 3, 224, 224))
    assert vector.shape == (2, 128 + 7)
    assert torch.allclose(vector[:, 128:].sum(dim=1), torch.ones(2))
    assert VggFace(1 / 16, (1, 1, 1, 1), 4, classes=0).eval()(torch.zeros(1, 3, 224, 224)).shape == (1, 128)
