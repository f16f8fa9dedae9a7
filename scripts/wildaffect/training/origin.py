"""What the inputs of a model are made from: recorded by a training, compared by whoever uses its weights. Imports no torch.

Weights are right for inputs that are made as those they were trained on: the same detector, tracking, templates and features, with the
same weights and settings. Each of these has a name in words of the configuration (``faces.options.threshold``) and a plain value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wildaffect.errors import InputError
from wildaffect.files import json_beside
from wildaffect.systems.headers import SUFFIX, read_header

DEMO = "demo"
"""Layout of the rendered corpus, see the section ``corpus`` of the configuration."""
RECORD = "run.json"


@dataclass(frozen=True)
class Origin:
    """Where the inputs of a training or prediction come from.

    Attributes:
        made_from: Plain values, nested by the parts of their names; files by their SHA-256. None: not known.
        corpus: Layout of the corpus, None: not known.
        folds: Folds of the variant and target that one configuration asked for.
    """

    made_from: Mapping[str, Any] | None = None
    corpus: str | None = None
    folds: Sequence[int] = ()

    def record(self) -> dict[str, Any]:
        """What `read_origin` reads, as a part of a run record and of the head of weights; empty if nothing is known."""
        known = {"made_from": self.made_from, "corpus": self.corpus, "folds": list(self.folds)}
        return {key: value for key, value in known.items() if value}


UNKNOWN = Origin()


@dataclass(frozen=True)
class Agreement:
    """How the inputs of a prediction agree with those of the training.

    Attributes:
        trained_on: Layout of the corpus of the training, None: not recorded.
        compared: Whether both sides are known, so that they could be compared.
        accepted: Differences that the configuration accepts, in words.
        refused: All other differences in words, by name.
    """

    trained_on: str | None
    compared: bool
    accepted: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


def read_origin(weights: Path) -> Origin:
    """What is recorded beside ``weights``, or in them where they lie alone; nothing of published ones and of earlier versions."""
    record = read_record(weights)
    if not record and weights.suffix == SUFFIX:
        record = _checked(weights, read_header(weights)[1])
    return Origin(record.get("made_from"), record.get("corpus"), record.get("folds") or ())


def read_record(weights: Path) -> dict[str, Any]:
    """The run record beside ``weights``, empty without one; :class:`InputError` if it is none that a training writes."""
    record = json_beside(weights, RECORD)
    return {} if record is None else _checked(weights.with_name(RECORD), record)


def _checked(path: Path, record: Any) -> dict[str, Any]:
    kinds = {
        "made_from": dict | None,
        "corpus": str | None,
        "folds": list | None,
        "feature_rows": dict | None,
        "recipe": dict | None,
    }
    if not isinstance(record, dict) or not all(isinstance(record.get(key), kind) for key, kind in kinds.items()):
        raise InputError(f"{path}: not a record of a training. Copy the run folder again, or train again.")
    return record


def fitting(key: str, names: Mapping[str, str]) -> set[str]:
    """What weights may say of ``key`` where ``names`` are asked for: that name, or the published variant behind a variant's."""
    return {names[key], names.get("base", names[key])} if key == "variant" else {names[key]}


def check_record(names: Mapping[str, str], weights: Path) -> None:
    """:class:`InputError` if the run record beside ``weights`` says that they are of something else, or that no epoch had a score.

    Args:
        names: System, variant, target and mode that are asked for, and ``base`` where the variant is a published one of another name,
            whose weights fit as well.
        weights: Weights file.
    """
    record = read_record(weights)
    for key, value in names.items():
        if (found := record.get(key, value)) not in fitting(key, names):
            raise InputError(
                f"{weights}: its {RECORD} says {key} {found}, but {value} was asked for. Ask for {found}, or name other weights."
            )
    if record.get("best_epoch", 0) is None:
        raise InputError(
            f"{weights}: its {RECORD} says that no epoch had a score: these are the weights that training began with. Train again."
        )


def compare(trained: Origin, here: Origin, accept: Sequence[str] = ()) -> Agreement:
    """Compare what weights were trained on with what they are used on.

    Args:
        trained: What they were trained on.
        here: What the inputs at hand are made from.
        accept: Names of differences that do not matter; a name stands for all that begin with it.
    """
    if trained.made_from is None or here.made_from is None:
        return Agreement(trained.corpus, compared=False)
    found = differences(trained.made_from, here.made_from)
    words = {name: f"{name}: trained on {_shown(a)}, here {_shown(b)}" for name, (a, b) in found.items()}
    accepted = {name for name in found if any(_covers(known, name) for known in accept)}
    return Agreement(
        trained.corpus,
        compared=True,
        accepted=tuple(line for name, line in words.items() if name in accepted),
        refused={name: line for name, line in words.items() if name not in accepted},
    )


def refusal(system: str, agreement: Agreement, accept: Sequence[str]) -> str:
    """What to say of weights of ``system`` with differences that the list ``accept`` does not name; empty if there are none."""
    if not agreement.refused:
        return ""
    return (
        "these weights were trained on inputs that were made in another way:\n"
        + "\n".join(f"  - {line}" for line in agreement.refused.values())
        + f"\nMake the inputs as in the training (made_from in its {RECORD} holds all values) or train again. If you know that it does not "
        f"matter: config.systems.{system}.accept_inputs: [{', '.join([*accept, *agreement.refused])}]."
    )


def differences(trained: Mapping[str, Any], here: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Values that are not the same, by name; None where a side has none.

    >>> differences({"faces": {"model": "hog", "options": {"upsample": 0}}}, {"faces": {"model": "cnn", "options": {"upsample": 0}}})
    {'faces.model': ('hog', 'cnn')}
    """
    first, second = _leaves(trained), _leaves(here)
    names = sorted({*first, *second})
    return {name: (first.get(name), second.get(name)) for name in names if first.get(name) != second.get(name)}


def notes(names: Mapping[str, str], agreement: Agreement, corpus: str | None) -> list[str]:
    """What a reader must know of predictions, a sentence each; the same for all folds.

    Args:
        names: System, variant and target of the model.
        agreement: Result of `compare`.
        corpus: Layout of the corpus that is predicted.
    """
    name, sentences = "/".join(names[key] for key in ("system", "variant", "target")), []
    if agreement.trained_on == DEMO and corpus != DEMO:
        sentences.append(
            f"{name} was trained on the rendered demo corpus: what it predicts for other videos means nothing."
        )
    if agreement.accepted:
        sentences.append(
            f"{name} predicts from inputs that were made in another way than those that it was trained on, which the configuration "
            f"accepts: {'; '.join(agreement.accepted)}."
        )
    return sentences


def _leaves(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _covers(accepted: str, name: str) -> bool:
    return name == accepted or name.startswith(f"{accepted}.")


def _shown(value: Any) -> str:
    """A value in a message; hashes by their first digits."""
    if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        return f"SHA-256 {value[:12]}…"
    return "nothing" if value is None else str(value)
