"""What the workflow's lists of files will hold."""

from collections.abc import Iterable

from wildaffect.workflow.inputs import Inputs
from wildaffect.workflow.instances import Instance


def listed_files(inputs: Inputs, lists: Iterable[str]) -> list[str]:
    """Files in ``lists``, paths ``results/lists/{group}/{kind}.json``, in their order."""
    names = [path.removeprefix("results/lists/").removesuffix(".json").split("/") for path in lists]
    return [file for group, kind in names for file in inputs.listed_files(kind, group)]


def training_files(inputs: Inputs, instance: Instance) -> dict[str, list[str]]:
    """Files of trials that a training reads, by the parts that its job names."""
    return {part: listed_files(inputs, lists) for part, lists in inputs.training_lists(instance).items()}


def prediction_files(inputs: Inputs, instance: Instance, partition: str) -> dict[str, list[str]]:
    """Files of trials that a prediction reads, by the parts that its job names."""
    return {part: listed_files(inputs, lists) for part, lists in inputs.prediction_lists(instance, partition).items()}
