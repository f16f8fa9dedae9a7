"""Fusion of predictions: of the folds of one instance, or of members of an ensemble."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa

from wildaffect.corpus.label_spaces import VALENCE_AROUSAL
from wildaffect.errors import InputError
from wildaffect.scoring.ccc import ccc
from wildaffect.scoring.read import KEYS, RowIndex, as_table, find_rows, numbers, read_parquet, sort_rows
from wildaffect.tables import read_metadata, write_table

METHODS = ("mean", "weighted", "ccc_centring", "ccc_centring_published")
CENTRING = ("ccc_centring", "ccc_centring_published")
CLIPS = ("none", "early", "late")


def mean(predictions: np.ndarray) -> np.ndarray:
    """Average (members, frames) over the first axis."""
    return predictions.mean(axis=0)


def weighted(predictions: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    """Average (members, frames) over the first axis by ``weights``, one per member, not all zero; they need not sum to one."""
    return np.average(predictions, axis=0, weights=weights)


def agreement(predictions: np.ndarray) -> np.ndarray:
    """Compute the mean CCC of each member of (members, frames) with all others, an undefined pair counting 0.

    The mixed variant (LFAN spec 6.2, 6.4).
    """
    members = len(predictions)
    total = np.zeros(members)
    for i, j in combinations(range(members), 2):
        total[[i, j]] += np.nan_to_num(ccc(predictions[i], predictions[j], variant="mixed"))
    return total / (members - 1)


def ccc_centring_published(predictions: np.ndarray) -> np.ndarray:
    """Fuse one trial's (members, frames) by CCC centring to float64 (frames,) (LFAN spec 6.4).

    The members' means are replaced by one common mean, weighted by how well each member agrees with the others, and then averaged. This
    is the plain mean plus a constant. Where members disagree, weights are negative and the common mean may lie anywhere; the plain mean
    is kept only where it is undefined. One member is returned as it is.
    """
    if len(predictions) == 1:
        return predictions[0]
    centre = _common_mean(predictions)
    return _moved(predictions, centre if np.isfinite(centre) else predictions.mean())


def ccc_centring(predictions: np.ndarray) -> np.ndarray:
    """`ccc_centring_published` where the common mean lies among the members' own means, the plain mean elsewhere."""
    if len(predictions) == 1:
        return predictions[0]
    means, centre = predictions.mean(axis=1), _common_mean(predictions)
    return _moved(predictions, centre if means.min() <= centre <= means.max() else means.mean())


def _common_mean(predictions: np.ndarray) -> float:
    """Mean of the members' means, weighted by agreement; not finite where agreements add up to nothing."""
    weights = agreement(predictions)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (predictions.mean(axis=1) * weights).sum() / weights.sum()


def _moved(predictions: np.ndarray, centre: float) -> np.ndarray:
    return (predictions - predictions.mean(axis=1)[:, None]).mean(axis=0) + centre


def fuse(
    tables: Sequence[pa.Table], method: str = "mean", clip: str = "none", weights: Sequence[float] | None = None
) -> pa.Table:
    """Fuse prediction tables of the same trials and frames, trial by trial, column by column.

    Args:
        tables: Prediction tables, Arrow or pandas.
        method: One of `METHODS`; centring is for valence and arousal only.
        clip: How valence and arousal are limited to [-1, 1]: ``early`` each member before, ``late`` the result, ``none``.
        weights: One per table, for ``weighted``.

    Returns:
        Rows and columns in the order of the first table, values float32; ``source`` where all tables agree, ``mixed`` elsewhere.

    Raises:
        InputError: If rows or columns differ.
    """
    tables = [as_table(table, f"prediction {i}") for i, table in enumerate(tables)]
    if not tables:
        raise InputError("nothing to fuse: no predictions were given.")
    columns = tuple(name for name in tables[0].column_names if name not in KEYS)
    _check(tables, columns, method, clip, weights)
    first = sort_rows(tables[0], "prediction 0")
    aligned = [_aligned(table, first, i) for i, table in enumerate(tables)]
    stack = np.stack([numbers(table, columns) for table in aligned])
    limited = [i for i, name in enumerate(columns) if name in VALENCE_AROUSAL]
    if clip == "early":
        stack[..., limited] = stack[..., limited].clip(-1, 1)
    fused = np.empty(stack.shape[1:])
    rules: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "mean": mean,
        "weighted": partial(weighted, weights=weights or ()),
        "ccc_centring": ccc_centring,
        "ccc_centring_published": ccc_centring_published,
    }
    for rows in first.slices().values():
        for column in range(len(columns)):
            fused[rows, column] = rules[method](stack[:, rows, column])
    if clip == "late":
        fused[:, limited] = fused[:, limited].clip(-1, 1)
    return _like_first(aligned, first, columns, fused)


def fuse_files(
    paths: Sequence[Path],
    output: Path,
    method: str = "mean",
    clip: str = "none",
    weights: Sequence[float] | None = None,
) -> None:
    """`fuse` from Parquet files to a Parquet file, with the schema of the first; its metadata names the rule and the members."""
    fused = fuse([read_parquet(path) for path in paths], method, clip, weights)
    members = [read_metadata(path) for path in paths]
    about = {"fusion": {"method": method, "clip": clip, "weights": weights}, "members": members}
    write_table(output, fused, fused.schema.remove_metadata(), about)


def join_targets(tables: Mapping[str, pa.Table]) -> pa.Table:
    """One table from one per target (such as valence and arousal), each with a column of the target's name, for the same rows.

    Rows come in the order of the first table. Raises `InputError` where rows differ or the column is missing.
    """
    tables = {target: as_table(table, f"predictions of {target}") for target, table in tables.items()}
    for target, table in tables.items():
        if target not in table.column_names:
            raise InputError(f"predictions of {target}: column {target} missing.")
    names = list(tables)
    first = sort_rows(tables[names[0]], f"predictions of {names[0]}")
    aligned = [_aligned(tables[name], first, name) for name in names]
    values = np.column_stack([numbers(table, (name,)) for name, table in zip(names, aligned, strict=True)])
    return _like_first(aligned, first, tuple(names), values)


def check_settings(
    columns: Sequence[str], members: int, method: str, clip: str, weights: Sequence[float] | None
) -> None:
    """Whether predictions of ``columns`` by so many ``members`` can be fused like this; `InputError` if not."""
    if method not in METHODS or clip not in CLIPS:
        raise InputError(
            f"fusion {method!r} with clip {clip!r}: choose from {', '.join(METHODS)} and {', '.join(CLIPS)}."
        )
    if (method == "weighted") != (weights is not None) or (weights is not None and len(weights) != members):
        raise InputError(f"fusion {method!r}: weights are for 'weighted', one for each of the {members} predictions.")
    if weights is not None and not (min(weights) >= 0 and sum(weights) > 0):
        raise InputError(f"fusion 'weighted': weights {list(weights)} must not be negative, nor all zero.")
    if method in CENTRING and not set(columns) <= set(VALENCE_AROUSAL):
        raise InputError(f"fusion {method!r} is for valence and arousal; the table has {', '.join(columns)}.")


def _check(tables: Sequence[pa.Table], columns: tuple[str, ...], method: str, clip: str, weights) -> None:
    check_settings(columns, len(tables), method, clip, weights)
    for i, table in enumerate(tables):
        other = set(columns) ^ {name for name in table.column_names if name not in KEYS}
        if other:
            raise InputError(f"prediction {i}: columns {', '.join(sorted(other))} are not in all predictions.")


def _aligned(table: pa.Table, first: RowIndex, name: int | str) -> pa.Table:
    """``table`` with its rows in the sorted order of ``first``."""
    rows = find_rows(first, sort_rows(table, f"prediction {name}"))
    if table.num_rows != len(rows) or (rows < 0).any():
        at = int(np.argmax(rows < 0)) if (rows < 0).any() else 0
        raise InputError(
            f"prediction {name}: {table.num_rows} rows where the first table has {len(rows)}; the frames differ"
            + (
                f", first missing: trial {first.trials[first.trial[at]]!r}, frame {first.frame[at]}."
                if (rows < 0).any()
                else "."
            )
        )
    return table.take(rows)


def _like_first(aligned: Sequence[pa.Table], first: RowIndex, columns: tuple[str, ...], values: np.ndarray) -> pa.Table:
    """Keys of the first table, new values, back in the first table's own order."""
    result = aligned[0].select([name for name in KEYS if name in aligned[0].column_names])
    for i, name in enumerate(columns):
        result = result.append_column(name, pa.array(values[:, i].astype(np.float32)))
    if "source" in result.column_names:
        sources = [
            np.asarray(table["source"].to_pylist(), object) for table in aligned if "source" in table.column_names
        ]
        same = np.logical_and.reduce([source == sources[0] for source in sources])
        joined = pa.array(np.where(same, sources[0], "mixed"), pa.string())
        result = result.drop_columns("source").append_column("source", joined)
    return result.take(np.argsort(first.order))


def choose_targets(
    offered: Mapping[str, Sequence[str]], wanted: str, columns: Sequence[str], covers: Callable[[Sequence[str]], bool]
) -> tuple[str, ...]:
    """Names of the targets to read, in the order of ``columns`` where there are several.

    ``offered``: columns that each target predicts. The target called ``wanted`` if it ``covers`` all, else the only one that does, else
    separate targets named like ``columns``. `InputError` if there is none, or more than one to choose from.
    """
    covering = [target for target, names in offered.items() if covers(names)]
    if wanted in covering:
        return (wanted,)
    if len(covering) == 1:
        return tuple(covering)
    if covering:
        raise InputError(f"targets {', '.join(covering)} all predict {wanted}; name one of them in the configuration.")
    if all(name in offered.get(name, ()) for name in columns):
        return tuple(columns)
    raise InputError(f"targets {', '.join(offered) or 'none'} do not predict all of {wanted}: {', '.join(columns)}.")
