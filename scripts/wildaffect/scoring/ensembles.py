"""Declared fusions of several systems and variants, resolved to the prediction files they are made of.

An ensemble is kept like a variant of a system called ``ensemble``: it has folds, is scored, submitted and reported like any other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.errors import InputError
from wildaffect.scoring.choice import choose, read_held_out
from wildaffect.scoring.editions import editions as all_editions
from wildaffect.scoring.fusion import check_settings, choose_targets, fuse, join_targets
from wildaffect.scoring.read import KEYS, read_parquet
from wildaffect.scoring.tasks import Tracks
from wildaffect.tables import read_metadata, write_table

BEST = "best"
"""Instead of a rule of fusion: of the members the one that scores best on other folds."""

MEMBER = "member"
SYSTEM = "ensemble"
"""Name of the system that declared ensembles are variants of."""

Source = tuple[str, str, str]
"""System, variant and target."""


@dataclass(frozen=True)
class PredictedTarget:
    """What a variant or an ensemble predicts for one target.

    Attributes:
        columns: Predicted columns.
        held_out: Trials that each fold holds out.
        test: Test trials.
    """

    columns: tuple[str, ...]
    held_out: Mapping[int, frozenset[str]]
    test: frozenset[str]

    @property
    def folds(self) -> tuple[int, ...]:
        """Folds with held-out trials."""
        return tuple(fold for fold, trials in sorted(self.held_out.items()) if trials)


@dataclass(frozen=True)
class Ensemble:
    """A declared fusion.

    Attributes:
        target: What is predicted.
        members: For each the sources to join, one, or one per column of the target.
        predicted: What the fusion predicts.
    """

    target: str
    members: tuple[tuple[Source, ...], ...]
    predicted: PredictedTarget

    @property
    def sources(self) -> tuple[Source, ...]:
        """All sources, each once."""
        return tuple(dict.fromkeys(source for member in self.members for source in member))


def plan_ensemble(name: str, settings: Mapping[str, Any], targets: Mapping[Source, PredictedTarget]) -> Ensemble:
    """Resolve the declaration of an ensemble against what the run predicts.

    Args:
        name: Of the ensemble.
        settings: Its block of the configuration: members (``system/variant`` or ``system/variant/target``), target, method, clip, weights.
        targets: What each source predicts.

    Returns:
        The ensemble.

    Raises:
        InputError: For a member that is not run here, that is named twice, or that does not predict the target, and for members with
            other classes, folds or trials than the first: a fusion of those would be scored on something else than its members.
            Also for a choice (`BEST`) without two members and two folds with held-out trials.
    """
    key, target = f"config.score.ensembles.{name}", settings["target"]
    found = [_member(key, member, target, targets) for member in settings["members"]]
    members, spaces = [sources for sources, _ in found], [columns for _, columns in found]
    for number, (sources, columns) in enumerate(found):
        if sources in members[:number]:
            raise InputError(f"{key}: member {settings['members'][number]} is named twice; use weights instead.")
        if columns != spaces[0]:
            raise InputError(
                f"{key}: {settings['members'][number]} predicts {', '.join(columns)}, but {settings['members'][0]} predicts "
                f"{', '.join(spaces[0])}; only the same columns can be fused."
            )
    first = targets[members[0][0]]
    method = settings["method"]
    if method == BEST and (len(members) < 2 or len(first.folds) < 2):
        raise InputError(
            f"{key}: a fold's member is chosen on other folds, so at least two members and two folds with held-out trials are needed; "
            f"there are {len(members)} and {len(first.folds)}."
        )
    try:
        # A chosen member is fused with nothing.
        check_settings(
            spaces[0], len(members), "mean" if method == BEST else method, settings["clip"], settings["weights"]
        )
    except InputError as error:
        raise InputError(f"{key}: {error}") from error
    for source in (source for sources in members for source in sources):
        if (targets[source].held_out, targets[source].test) != (first.held_out, first.test):
            raise InputError(
                f"{key}: {'/'.join(source)} has other folds or trials than {'/'.join(members[0][0])}; run the members on the same "
                "folds, and for targets of the same tasks."
            )
    return Ensemble(target, tuple(members), PredictedTarget(spaces[0], first.held_out, first.test))


def target_columns(target: str, predicted: Sequence[str]) -> tuple[str, ...]:
    """Columns of ``target`` (some edition's task, ``valence``, ``arousal``) by the largest label space in ``predicted``, or none."""
    spaces = {
        tuple(name for part in task.parts for name in part.names)
        for tasks in all_editions().values()
        for task in tasks.values()
        if task.name == target
    }
    spaces |= {(target,)} if target in VALENCE_AROUSAL else set()
    fitting = [space for space in spaces if set(space) <= set(predicted)]
    return max(fitting, key=len, default=())


def fuse_members(
    output: Path,
    predictions: Sequence[Mapping],
    members: Sequence[Sequence[Source]],
    columns: Sequence[str],
    *,
    method: str,
    clip: str,
    weights: Sequence[float] | None,
    held_out: Sequence[Mapping] = (),
    labels: Mapping[str, Path] | None = None,
    editions: Tracks | None = None,
) -> None:
    """Write the fusion of several members, or the best of them; the metadata names the rule, the members, and how one was chosen.

    Args:
        output: Prediction table to write.
        predictions: Mappings with the keys system, variant, target and path that cover every source of ``members``.
        members: Sources of each member.
        columns: Columns that are fused; what else the members predict is left out.
        method: As for `wildaffect.scoring.fusion.fuse`, or `BEST`.
        clip: As for `wildaffect.scoring.fusion.fuse`.
        weights: As for `wildaffect.scoring.fusion.fuse`.
        held_out: For `BEST` the validation predictions of all sources in other folds; mappings with the keys of ``predictions``,
            partition and fold.
        labels: For `BEST`, label table per task.
        editions: For `BEST`, tracks by edition and name, whose score decides.

    Raises:
        InputError: If nothing can be chosen, or ``held_out`` shares a video with ``predictions``.
    """
    paths = {_source(entry): entry["path"] for entry in predictions}
    read = {source: read_parquet(path) for source, path in paths.items()}
    tables = [_joined(sources, columns, read) for sources in members]
    about: dict[str, Any] = {"method": method, "clip": clip, "weights": weights}
    if method == BEST:
        folds: dict[str, dict[Source, pa.Table]] = {}
        for entry, table in read_held_out(tables[0], output, held_out, MEMBER):
            folds.setdefault(str(entry["fold"]), {})[_source(entry)] = table
        names = ["+".join("/".join(source) for source in sources) for sources in members]
        candidates = (
            (name, pa.concat_tables([_joined(sources, columns, f) for f in folds.values()], promote_options="default"))
            for name, sources in zip(names, members, strict=True)
        )
        truth = {task: read_parquet(path) for task, path in (labels or {}).items()}
        best, choice = choose(candidates, columns, truth, editions or {}, MEMBER)
        about["choice"] = choice | {"member": best, "folds": sorted(folds)}
        members, tables = [members[names.index(best)]], [tables[names.index(best)]]
    fused = fuse(tables, "mean" if method == BEST else method, clip, weights)
    records = [{"/".join(source): read_metadata(paths[source]) for source in sources} for sources in members]
    write_table(output, fused, fused.schema.remove_metadata(), {"fusion": about, "members": records})


def _source(entry: Mapping) -> Source:
    return entry["system"], entry["variant"], entry["target"]


def _joined(sources: Sequence[Source], columns: Sequence[str], read: Mapping[Source, pa.Table]) -> pa.Table:
    """Predictions of one member: of its source, or of one per column joined."""
    parts = {source[2]: read[source] for source in sources}
    table = next(iter(parts.values())) if len(parts) == 1 else join_targets(parts)
    return table.select([name for name in table.column_names if name in KEYS or name in columns])


def _member(
    key: str, member: str, target: str, targets: Mapping[Source, PredictedTarget]
) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Find the sources of one member, and the columns of the target that they predict."""
    names = member.split("/")
    own = {source[2]: entry.columns for source, entry in targets.items() if list(source[: len(names)]) == names}
    if len(names) not in (2, 3) or not own:
        known = dict.fromkeys(f"{system}/{variant}" for system, variant, _ in targets)
        raise InputError(
            f"{key}: no member {member!r}; name a variant of this run as system/variant, or one of its targets as "
            f"system/variant/target. There are: {', '.join(known) or 'none'}."
        )
    together = [name for names in own.values() for name in names]
    columns = target_columns(target, together)
    if not columns:
        raise InputError(
            f"{key}: {member} does not predict target {target!r}, only {', '.join(dict.fromkeys(together))}."
        )
    try:
        chosen = choose_targets(own, target, columns, lambda predicted: set(columns) <= set(predicted))
    except InputError as error:
        raise InputError(f"{key}: {member}: {error}") from error
    return tuple((names[0], names[1], name) for name in chosen), columns
