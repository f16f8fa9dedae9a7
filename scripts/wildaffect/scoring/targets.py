"""Which predictions of a variant make up what is wanted: one target that has it all, or valence and arousal apart."""

from collections.abc import Callable, Mapping, Sequence

from wildaffect.errors import InputError


def choose_targets(
    offered: Mapping[str, Sequence[str]], wanted: str, columns: Sequence[str], covers: Callable[[Sequence[str]], bool]
) -> tuple[str, ...]:
    """Names of the targets to read, in the order of ``columns`` where there are several.

    ``offered``: columns that each target predicts. The target called ``wanted`` if it ``covers`` all, else the only one that does, else
    separate targets named like ``columns``. :class:`InputError` if there is none, or more than one to choose from.
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
