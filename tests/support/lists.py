"""What the workflow's lists of files will hold."""

from collections.abc import Iterable

from wildaffect.workflow.plan import Plan


def listed_files(plan: Plan, lists: Iterable[str]) -> list[str]:
    """Files in ``lists``, paths ``results/lists/{block}/{kind}.json``, in their order."""
    names = [path.removeprefix("results/lists/").removesuffix(".json").split("/") for path in lists]
    return [file for block, kind in names for file in plan.inputs.listed_files(kind, block)]
