"""Training that is stopped after its first epoch and begun again."""

from typing import Any

import pytest

from wildaffect.training.train import train


class Stop(Exception):
    """Raised between two epochs."""


def train_in_two_parts(arguments: dict[str, Any]) -> dict[str, Any]:
    """The record of a training with these ``arguments`` that was interrupted after epoch 0, when nothing was written yet."""

    def stop(row):
        if row["epoch"] == 0:
            raise Stop

    with pytest.raises(Stop):
        train(**arguments, report=stop)
    assert not arguments["output"].exists()
    record = train(**arguments)
    assert record["resumed_at"] == [1]
    return record
