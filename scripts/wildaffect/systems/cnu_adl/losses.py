"""CNU_ADL's losses: each over the labels that are there, zero and without gradient where there are too few."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from wildaffect.systems.cnu_adl.spec import EXPRESSIONS, NETWORK_CLASSES
from wildaffect.systems.losses import concordance

# Place of each expression in the network's order.
PLACES = tuple(NETWORK_CLASSES.index(name) for name in EXPRESSIONS)
# Columns of the outputs behind the scores of the expressions; the auxiliary ones follow.
AROUSAL, VALENCE = len(NETWORK_CLASSES), len(NETWORK_CLASSES) + 1
# Keras' own.
EPSILON = 1e-7


def losses(outputs: Tensor, truth: Mapping[str, Tensor], *, published: bool) -> dict[str, Tensor]:
    """Loss of each head whose task is in ``truth``: outputs (n, 14), labels (n, columns), NaN where missing.

    ``published``: 1 - CCC as the authors compute it. Valence and arousal take two labelled rows at least.
    """
    found = {}
    if "expr" in truth:
        found["expression"] = expression_loss(outputs[:, :AROUSAL], truth["expr"][:, 0])
    if "va" in truth:
        known = ~truth["va"].isnan().any(dim=1)
        if known.sum() < 2:
            return found | {"valence": outputs.sum() * 0}
        ccc = published_concordance if published else plain_concordance
        valence, arousal = truth["va"][known].T
        found["arousal"] = 1 - ccc(outputs[known, AROUSAL], arousal)
        found["valence"] = 1 - ccc(outputs[known, VALENCE], valence)
        found["auxiliary"] = F.mse_loss(outputs[known, VALENCE + 1 :], auxiliary_targets(arousal, valence))
    return found


def expression_loss(scores: Tensor, truth: Tensor) -> Tensor:
    """Mean cross-entropy of (n, 7) in the network's order against label numbers (n,), NaN where missing."""
    known = ~truth.isnan()
    if not known.any():
        return scores.sum() * 0
    places = torch.tensor(PLACES, device=truth.device)
    return F.cross_entropy(scores[known], places[truth[known].long()])


def plain_concordance(prediction: Tensor, truth: Tensor) -> Tensor:
    """CCC of (n,), population moments."""
    return concordance(prediction[None, :, None], truth[None, :, None], mixed=False)[0, 0]


def published_concordance(prediction: Tensor, truth: Tensor) -> Tensor:
    """CCC of (n,) as the authors' loss has it: through the correlation, whose epsilon shifts it by about 1e-8 (CNU_ADL spec 5).

    Without variation it is 0 and has no gradient; the original's is not a number then (#13).
    """
    delta_p, delta_t = prediction - prediction.mean(), truth - truth.mean()
    tiny = torch.finfo(prediction.dtype).tiny
    squares = delta_p.square().sum().clamp(min=tiny).sqrt() * delta_t.square().sum().clamp(min=tiny).sqrt()
    correlation = (delta_p * delta_t).sum() / (squares + EPSILON)
    var_p, var_t = delta_p.square().mean(), delta_t.square().mean()
    spread = var_p.clamp(min=tiny).sqrt() * var_t.clamp(min=tiny).sqrt()
    distance = var_p + var_t + (prediction.mean() - truth.mean()).square()
    return 2 * correlation * spread / distance.clamp(min=tiny)


def auxiliary_targets(arousal: Tensor, valence: Tensor) -> Tensor:
    """Targets (n, 5) of the fourth head; the last two are the same number (CNU_ADL spec 3.2)."""
    middle = (arousal + valence) / 2
    return torch.stack([arousal, valence, middle, (arousal - middle).abs(), (valence - middle).abs()], dim=1)
