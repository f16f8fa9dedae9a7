"""Memory layout of images, with the kernels of a processor without AVX-512."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from wildaffect.features.networks import channels_last

NARROW, WIDE, PLAIN = nn.Conv2d(7, 8, 1, 2), nn.Conv2d(8, 4, 1, 2), nn.Conv2d(3, 4, 3, 2)

# The narrow network once corrupted the heap here within a few passes, which ended the process.
TRAINING = """
import torch
from wildaffect import systems

torch.manual_seed(0)
torch.set_num_threads(1)
network = systems.build_model("lfan", "unimodal", units=[1] * 4, channels={channels}, embedding=16, pooling=4)
for _ in range(40):
    network(frame=torch.randn(2, 8, 3, 40, 40)).square().sum().backward()
print("trained")
"""


@pytest.mark.parametrize(
    ("layers", "innermost"),
    [
        ([PLAIN, WIDE], True),
        ([PLAIN, NARROW], False),
        ([nn.Sequential(NARROW)], False),
        ([nn.Conv2d(4, 4, 1, 1)], True),
    ],
)
def test_channels_are_innermost_unless_a_strided_1x1_convolution_is_narrow(layers, innermost):
    images = torch.randn(2, 3, 5, 6)
    laid_out = channels_last(images, nn.Sequential(*layers))
    assert torch.equal(laid_out, images)
    assert laid_out.is_contiguous(memory_format=torch.channels_last) is innermost


@pytest.mark.parametrize("channels", [[4, 4, 8, 8, 8], [8, 8, 16, 32, 64]])
def test_narrow_and_wide_networks_train_on_a_processor_without_avx512(channels):
    ended = subprocess.run(
        [sys.executable, "-c", TRAINING.format(channels=channels)],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "trained"), ended.stderr
