"""What the workflow's lists of files will hold."""

from collections.abc import Iterable

from wildaffect.workflow.inputs import Inputs


def listed_files(inputs: Inputs, lists: Iterable[str]) -> list[str]:
    """Files in ``lists``, paths ``results/lists/{group}/{kind}.json``, in their order."""
    names = [path.removeprefix("results/lists/").removesuffix(".json").split("/") for path in lists]
    return [file for group, kind in names for file in inputs.listed_files(kind, group)]
