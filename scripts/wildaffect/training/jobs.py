"""What training and prediction are given: files, tables of the corpus, and the machine they run on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wildaffect.errors import InputError
from wildaffect.systems.types import Needs


@dataclass(frozen=True)
class JobInputs:
    """Files by trial.

    Attributes:
        frames: Frame tables, ``{trial: path}``.
        crops: Crop files, ``{template: {trial: path}}``.
        features: Arrays, ``{feature: {trial: path}}``.
        persons: Tables of persons, ``{trial: path}``, for systems that draw landmarks.
    """

    frames: Mapping[str, Path]
    crops: Mapping[str, Mapping[str, Path]]
    features: Mapping[str, Mapping[str, Path]]
    persons: Mapping[str, Path] = field(default_factory=dict)

    def of(self, trial: str, needs: Needs) -> dict[str, Path]:
        """All files of one trial that ``needs`` asks for, by kind.

        Raises:
            InputError: One was not given.
        """
        wanted = {
            "frames": self.frames,
            **{f"crop {name}": self.crops.get(name, {}) for name in needs.crops},
            **{f"feature {name}": self.features.get(name, {}) for name in needs.features},
            **({"persons": self.persons} if needs.masks else {}),
        }
        for kind, paths in wanted.items():
            if trial not in paths:
                raise InputError(f"trial {trial}: no file given for {kind}.")
        return {kind: Path(paths[trial]) for kind, paths in wanted.items()}


@dataclass(frozen=True)
class FoldData:
    """What a training knows of the corpus.

    Attributes:
        fold: Index of the fold.
        folds: The fold table.
        labels: Label tables by task.
        videos: Source video by trial, for targets of several tasks: none of them is then trained on a video that another holds out.
    """

    fold: int
    folds: Path
    labels: Mapping[str, Path]
    videos: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Runtime:
    """The machine, as far as a job uses it.

    Attributes:
        device: ``cpu`` or ``cuda``.
        precision: Numeric precision, one of :data:`wildaffect.training.runtime.PRECISIONS`.
        threads: CPU threads.
        workers: Processes that read samples; 0: the job itself reads them.
        cache_mib: Decoded images up to this many MiB are kept in memory.
    """

    device: str = "cpu"
    precision: str = "32-true"
    threads: int = 1
    workers: int = 0
    cache_mib: int = 4096
