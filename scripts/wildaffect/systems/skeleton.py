"""The skeleton of a new system: `wildaffect new-system NAME`. It is a small recurrent network over MFCC that trains as it is."""

import os
import re
from pathlib import Path

from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.files import atomic

FILES = {
    "__init__.py": '"""NAME."""\n',
    "spec.py": '''"""What NAME offers and needs, and its settings; read while the workflow is planned, so no torch here."""

from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.systems.types import Batch, Count, Epochs, LearningRate, Needs, RecipeSettings, Spec, Target

FEATURE = "mfcc39"


class Settings(RecipeSettings):
    """NAME; shared settings are those of :class:`wildaffect.systems.types.RecipeSettings`."""

    epochs: Epochs = 10
    batch: Batch = 4
    learning_rate: LearningRate = 2e-3

    window: Count = 100
    """Frames per window, which is a sample."""

    hop: Count = 50
    """Frames between the starts of neighbouring windows."""

    hidden: Count = 32
    """Units of the recurrent network, per direction."""


def needs(variant: str, mode: str, settings: Settings) -> Needs:
    """Audio features alone."""
    return Needs(features=(FEATURE,))


SPEC = Spec(
    name="NAME",
    title="NAME",
    variants=("audio",),
    targets={"va": Target("va", VALENCE_AROUSAL, {"va": VALENCE_AROUSAL})},
    settings=Settings,
    needs=needs,
    modes=("corrected",),
    small={"hidden": 8, "batch": 2},
)
''',
    "model.py": '''"""The network of NAME."""

from torch import Tensor, nn

COLUMNS = 39


def build(variant: str, *, hidden: int = 32) -> nn.Module:
    """Network of a variant with random weights."""
    return Network(hidden)


class Network(nn.Module):
    """MFCC (B, T, 39) -> valence and arousal (B, T, 2)."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(COLUMNS, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, 2)

    def forward(self, mfcc: Tensor) -> Tensor:
        """One row per frame."""
        return self.head(self.gru(mfcc)[0])
''',
    "data.py": '''"""Samples of NAME: windows of consecutive frames."""

from collections.abc import Mapping, Sequence

import numpy as np

from PACKAGE.spec import FEATURE
from wildaffect.systems.toolbox import RowSelection, average, windows


class Windows:
    """Windows of all trials, in order; see :class:`wildaffect.systems.types.Samples`."""

    def __init__(
        self, selections: Sequence[RowSelection], scale: Mapping[str, Sequence[float]], window: int, hop: int
    ) -> None:
        self._selections, self._window = selections, window
        self._mean, self._std = (np.asarray(scale[name], np.float32) for name in ("mean", "std"))
        self._ranges = [
            (index, start, stop)
            for index, part in enumerate(selections)
            for start, stop in windows(len(part.rows), window, hop)
        ]

    def __len__(self) -> int:
        return len(self._ranges)

    def read(self, index: int, rng: np.random.Generator | None) -> dict[str, np.ndarray]:
        """One window; missing labels are NaN, a short one is padded at its end."""
        trial, start, stop = self._ranges[index]
        part, padding = self._selections[trial], ((0, self._window - (stop - start)), (0, 0))
        mfcc = (np.asarray(part.trial.features[FEATURE][part.rows[start:stop]]) - self._mean) / self._std
        labels = np.where(part.counts[start:stop, None], part.labels[start:stop], np.nan)
        return {
            "mfcc": np.pad(mfcc, padding).astype(np.float32),
            "labels": np.pad(labels, padding, constant_values=np.nan).astype(np.float32),
        }

    def to_frames(self, outputs: np.ndarray) -> list[np.ndarray]:
        """Mean of all windows that cover a frame."""
        pieces = (
            (index, slice(start, stop), output[: stop - start])
            for (index, start, stop), output in zip(self._ranges, outputs, strict=True)
        )
        return average(pieces, [len(part.trial.times) for part in self._selections], 2)
''',
    "recipe.py": '''"""How NAME is trained, selected and run; what is not said here is done as in the base class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from PACKAGE.data import Windows
from PACKAGE.model import build as build_model
from PACKAGE.spec import FEATURE, Settings
from wildaffect.features.statistics import column_statistics
from wildaffect.systems.base import Recipe
from wildaffect.systems.toolbox import all_rows, concordance, task_scores
from wildaffect.systems.types import Purpose, Target, TrialData


def build(variant: str, target: Target, mode: str, settings: Settings) -> "Audio":
    """Recipe of one instance."""
    return Audio(variant, target, mode, settings)


class Audio(Recipe[Settings]):
    """Windows of MFCC, a CCC loss."""

    fitted_statistics = True

    def model(self) -> nn.Module:
        """Network with random weights."""
        return build_model(self.variant, hidden=self.settings.hidden)

    def fit(self, trials: Sequence[TrialData]) -> dict[str, Any]:
        """Mean and deviation of the features."""
        return column_statistics(trial.features[FEATURE] for trial in trials)

    def samples(self, trials: Sequence[TrialData], statistics: Mapping[str, Any], purpose: Purpose) -> Windows:
        """Windows over all frames."""
        selections = [all_rows(trial, "va", 2) for trial in trials]
        return Windows(selections, statistics, self.settings.window, self.settings.hop)

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        """(B, window, 2)."""
        return model(batch["mfcc"])

    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """1 - CCC over all labelled frames of the batch."""
        series = outputs.flatten(0, 1)[None], batch["labels"].flatten(0, 1)[None]
        return (1 - concordance(*series, ~series[1].isnan(), mixed=False)).mean()

    def score(self, predictions: Sequence[np.ndarray], trials: Sequence[TrialData]) -> dict[str, float]:
        """The challenge's metrics of valence and arousal; ``criterion`` selects the best epoch."""
        truth = np.concatenate([all_rows(trial, "va", 2).labels for trial in trials])
        return task_scores("va", truth, np.concatenate(predictions))
''',
    "card.md": """# NAME

What was published, what is unknown, what was assumed.
""",
}

PROJECT = """[build-system]
requires = ["setuptools>=68"]
build-backend = "setuptools.build_meta"

[project]
name = "PACKAGE"
version = "0.1.0"
dependencies = ["wildaffect"]

[project.entry-points."wildaffect.systems"]
NAME = "PACKAGE"

[tool.setuptools]
packages = ["PACKAGE"]

[tool.setuptools.package-data]
PACKAGE = ["*.md"]
"""


def write_skeleton(name: str, into: Path | None = None) -> Path:
    """Write a system that trains as it is.

    Args:
        name: Name of the system.
        into: Folder of a package to be installed; None: a folder beside the systems of this project.

    Returns:
        The folder of the system.

    Raises:
        InputError: The name is not possible, or there is such a system or folder.
    """
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise InputError(f"{name!r} is no name of a system: use lower-case letters, digits and underscores.")
    if name in systems.available():
        raise InputError(f"there is a system called {name!r}; choose another name.")
    package = f"wildaffect.systems.{name}" if into is None else f"wildaffect_{name}"
    folder = Path(systems.__file__).parent / name if into is None else into / package
    if os.path.lexists(folder):
        raise InputError(f"{folder} exists; remove it or choose another name.")
    texts = {folder / file: text for file, text in FILES.items()}
    if into is not None:
        texts[into / "pyproject.toml"] = PROJECT
    if there := [path for path in texts if os.path.lexists(path)]:
        raise InputError(f"{there[0]} exists and is not overwritten; choose another folder, one for each system.")
    for path, text in texts.items():
        with atomic(path) as partial:
            partial.write_text(text.replace("PACKAGE", package).replace("NAME", name), encoding="utf-8")
    return folder
