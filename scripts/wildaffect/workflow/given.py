"""Checks of given weights before any job: what can be known of them without PyTorch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from wildaffect.errors import InputError
from wildaffect.models import locate, resolve
from wildaffect.systems.headers import SUFFIX, read_header
from wildaffect.training.origin import RECORD, check_record, compare, fitting, read_origin, refusal
from wildaffect.workflow.inputs import Inputs
from wildaffect.workflow.instances import Instance, comes_trained, recipe_key
from wildaffect.workflow.outputs import Runs


def check_given_weights(inputs: Inputs, runs: Runs) -> None:
    """Raise one `InputError` for all given weights that are damaged, of something else, or trained on inputs made in another way."""
    problems: dict[str, list[str]] = {}
    for instance in inputs.instances:
        if own := comes_trained(instance):
            found = _packaged(inputs.config["systems"][instance.system]["trained"] or own, inputs.config["models_dir"])
        elif inputs.config["systems"][instance.system]["trained"]:
            found = _trained(instance, runs.weights(instance), inputs)
        else:
            found = _initial(instance, inputs)
        for path, problem in found:
            problems.setdefault(problem, []).append(path)
    if problems:
        raise InputError("given weights:\n" + "\n".join(f"{_named(paths)}: {text}" for text, paths in problems.items()))


def _packaged(model: str, models_dir: str) -> Iterator[tuple[str, str]]:
    """What is wrong with the weights of a system that comes trained, with their path."""
    path = str(locate(model, models_dir))
    if problem := _problem(path, lambda _: resolve(model, models_dir)):
        yield path, problem


def _trained(instance: Instance, weights: str, inputs: Inputs) -> Iterator[tuple[str, str]]:
    """What is wrong with the trained weights of one instance, with their path."""
    block = inputs.config["systems"][instance.system]
    names = {key: getattr(instance, key) for key in ("system", "variant", "target")}
    names["base"] = inputs.base(instance)
    if problem := _problem(weights, partial(_check_names, {**names, "mode": block["mode"]})):
        yield weights, problem
        return
    agreement = compare(read_origin(Path(weights)), inputs.origin(instance), block["accept_inputs"])
    if problem := refusal(instance.system, agreement, block["accept_inputs"]):
        yield weights, problem


def _check_names(names: Mapping[str, str], weights: Path) -> None:
    """Compare with the run record beside the weights, else with what they say of themselves (published ones say nothing)."""
    about = read_header(weights)[1] if weights.suffix == SUFFIX else {}
    check_record(names, weights)
    if not weights.with_name(RECORD).exists():
        for key, value in names.items():
            # A lone file has no statistics, so it may be run in the mode that needs none.
            if key != "mode" and about.get(key, value) not in fitting(key, names):
                raise InputError(f"{weights}: these are weights of {key} {about[key]}, but {value} was asked for.")


def _initial(instance: Instance, inputs: Inputs) -> Iterator[tuple[str, str]]:
    """What is wrong with the initial weights that the recipe of one instance names, with their path."""
    block = inputs.config["systems"][instance.system]
    for key, path in initial_weights(inputs.settings[instance].plain()):
        if problem := _problem(path, partial(_check_initial, instance.system)):
            yield path, f"{recipe_key(instance.system, block, instance.variant, key)}: {problem}"


def initial_weights(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Files of weights that the settings of a recipe name, with their keys: text at or below a key that ends in ``weights``.

    >>> list(initial_weights({"backbone": {"weights": "a.pth"}, "weights": {"face": "b.pth", "body": None}, "mode": "x"}))
    [('backbone.weights', 'a.pth'), ('weights.face', 'b.pth')]
    """
    for key, value in settings.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from initial_weights(value, f"{name}.")
        elif isinstance(value, str) and any(part.endswith("weights") for part in name.split(".")):
            yield name, value


def _check_initial(system: str, path: Path) -> None:
    if not path.is_file() or not path.stat().st_size:
        raise InputError(
            f"{path}: {'empty' if path.is_file() else 'no such file'}. Name a file of weights, or leave the key out."
        )
    about = read_header(path)[1] if path.suffix == SUFFIX else {}
    if about.get("system", system) != system:
        raise InputError(f"{path}: these are weights of {about['system']}, which {system} cannot start from.")


def _problem(path: str, check: Callable[[Path], Any]) -> str:
    """What ``check`` says of ``path``, without the path."""
    try:
        check(Path(path))
    except InputError as error:
        return str(error).removeprefix(f"{path}: ")
    return ""


def _named(paths: Sequence[str]) -> str:
    """The first of several files with the same problem, and how many more there are."""
    distinct = list(dict.fromkeys(paths))
    return f"{distinct[0]} (and {len(distinct) - 1} more)" if len(distinct) > 1 else distinct[0]
