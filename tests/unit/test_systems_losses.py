"""The concordance loss: acceptance numbers, an independent library, masks, gradients."""

import audmetric
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from wildaffect.systems.toolbox import concordance


def series(seed, batch=2, time=300):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, batch, time, 1, generator=generator, dtype=torch.float64).unbind()


def test_a_perfect_prediction_of_300_frames():
    truth, _ = series(0)
    assert float(1 - concordance(truth, truth, mixed=True).mean()) == pytest.approx(0.003333, abs=1e-6)
    assert float(1 - concordance(truth, truth, mixed=False).mean()) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("mixed", [True, False])
def test_a_constant_label_has_loss_one_and_no_gradient(mixed):
    _, prediction = series(1)
    prediction.requires_grad_()
    loss = 1 - concordance(prediction, torch.full_like(prediction, 0.25), mixed=mixed).mean()
    loss.backward()
    assert loss.item() == 1
    assert float(prediction.grad.abs().max()) < 1e-12


@given(st.integers(0, 10**6))
def test_population_form_agrees_with_audmetric(seed):
    truth, prediction = series(seed, batch=3, time=20)
    got = concordance(prediction, truth, mixed=False, epsilon=0)[:, 0]
    want = [
        audmetric.concordance_cc(t, p) for t, p in zip(truth[..., 0].numpy(), prediction[..., 0].numpy(), strict=True)
    ]
    assert got.tolist() == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("mixed", [True, False])
def test_a_mask_equals_cutting_the_rows_out(mixed):
    truth, prediction = series(2, batch=1, time=40)
    mask = torch.arange(40) % 3 != 0
    holes = torch.where(mask[:, None], truth, torch.nan)
    masked = concordance(prediction, holes, mask[None], mixed=mixed)
    torch.testing.assert_close(masked, concordance(prediction[:, mask], truth[:, mask], mixed=mixed))


def test_masked_rows_have_no_gradient_even_without_labels():
    truth, prediction = series(3, batch=1, time=10)
    mask = torch.arange(10)[None] < 6
    prediction.requires_grad_()
    concordance(prediction, torch.where(mask[..., None], truth, torch.nan), mask, mixed=False).sum().backward()
    assert prediction.grad[0, :6].abs().min() > 0
    assert prediction.grad[0, 6:].abs().max() == 0
    concordance(prediction, truth, torch.zeros_like(mask), mixed=False).sum().backward()
    assert prediction.grad.isfinite().all()


@pytest.mark.parametrize("system", ["m3t", "cnu_adl"])
def test_label_smoothing_is_the_cross_entropy_of_softened_labels(system):
    """A tenth of each label is shared by all seven classes."""
    torch.manual_seed(0)
    scores, classes = torch.randn(6, 7), torch.tensor([0, 3, 6, 2, 5, 1])
    soft = 0.9 * F.one_hot(classes, 7) + 0.1 / 7
    if system == "m3t":
        from wildaffect.systems.m3t.recipe import expression_loss

        got = expression_loss(scores[None], classes[None, :, None].float(), over_all=False, smoothing=0.1)
    else:
        from wildaffect.systems.cnu_adl.recipe import POSITIONS, expression_loss

        own = torch.empty_like(scores)
        own[:, list(POSITIONS)] = scores
        got = expression_loss(own, classes.float(), 0.1)
    torch.testing.assert_close(got, -(soft * scores.log_softmax(dim=1)).sum(dim=1).mean())
