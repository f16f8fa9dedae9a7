"""The definitions that a script can reach: what the fingerprint of a job is made of (`wildaffect.provenance`).

The fingerprint of a job is the hash of the definitions that its script can reach: functions, classes and constants of the packages beside
the scripts, followed through imports by reading the code, never by running it. It goes into the rule's ``params``, so an edit reruns
exactly the rules that use what was edited.

What counts:

* the whole body of the script, the whole statement of each function, class or constant that is reached, and all that the names in it mean;
* all public definitions of a module where the module itself is used as a value, for example in ``getattr(module, name)``;
* of each module that is imported, and of the packages around it, the statements that run on import: calls, conditions, loops, definitions
  with a first-party decorator. ``NAME[key] = …``, ``NAME += …`` and what ``@NAME.register`` decorates belong to the definition ``NAME``;
* data files (`DATA`) in the module's package, or in one around it, that a reached definition names, as ``file`` or ``folder/file``,
  and those that such a file names in turn; where it names a folder, the files in it that no module of the package names. Files count by
  their content, see `significant`.

What does not count: comments, docstrings, ``pass``, formatting, the order of definitions and of imports, ``if TYPE_CHECKING``, annotations
(but for those of fields of a class and of decorated functions), the words of errors (`ERROR_ENDINGS`) and of log messages
(`LOGGERS`) with all that only they use, descriptions (`DESCRIPTIONS`).

What is not followed: names put together at run time (``import_module(f"…{name}")``, listings of folders). Whoever asks names such
plug-ins. What is found through ``__subclasses__``, ``__doc__`` or a string with a definition's name is not followed either.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from wildaffect.errors import InputError
from wildaffect.files import read_yaml
from wildaffect.statements import BODY, DESCRIPTIONS, Module, read_statements

DATA = (".yaml", ".json", ".conf", ".inc", ".html", ".css", ".js")
"""How the names of data files end."""
NOT_FOLLOWED = {
    *(f"wildaffect.provenance:{name}" for name in ("code_fingerprint", "definitions", "explain")),
    *(f"wildaffect.project:{name}" for name in ("PACKAGES", "ROOT", "SCRIPTS", "WORKFLOW")),
}
"""How a job's fingerprint is computed, which it may check, and where the project is installed are not what the job does."""

Part = tuple[str, str]
"""A module and a name in it: of a definition, ``<module>``, ``<whole>``, or "/" and the path of a data file."""
_WHOLE = "<whole>"


class Code:
    """The code of scripts; each module is read once, when something in it is reached.

    Args:
        scripts: Folder of the scripts.
        packages: Folder of the packages that they import.
    """

    def __init__(self, scripts: Path, packages: Path) -> None:
        self._scripts, self._packages = scripts, packages
        self._file, self._module, self._data = cache(self._find), cache(self._read), cache(self._list_data)
        self._named_in = cache(self._names_in)

    def script(self, name: str) -> Part:
        """The part that is the body of a script."""
        if not (self._scripts / name).is_file():
            raise InputError(f"{name}: no such script to take a fingerprint of. Correct the name in the rule.")
        return name, BODY

    def plugin(self, name: str) -> Part:
        """The part that a caller means by ``name``."""
        module, _, inside = name.partition(":")
        if not self._file(module):
            raise InputError(f"{name}: no module {module} to take a fingerprint of. Correct the name in the rule.")
        if not inside:
            return module, _WHOLE
        found = self._module(module)
        if inside in found.statements:
            return module, inside
        if f"/{inside}" in self._data(found.package):
            return found.package, f"/{inside}"
        raise InputError(f"{name}: {module} has no such definition or data file. Correct the name in the rule.")

    def part(self, module: str, name: str) -> tuple[str, set[Part]]:
        """What counts of a part, empty where it holds nothing itself, and the parts that it reaches."""
        if f"{module}:{name}" in NOT_FOLLOWED:
            return "", set()
        if name == _WHOLE:
            return "", set(self._whole(module))
        if name.startswith("/"):
            content = significant(self._data(module)[name])
            names = {name for name in re.findall(r"[\w.-]+", content) if name.endswith(DATA)}
            return content, set(self._data_named(module, names))
        found = self._module(module)
        reached: set[Part] = {(module, BODY)} if name != BODY else set(self._run(found.imports | {found.parent}))
        for statement in found.statements.get(name, ()):
            reached.update(self._run(statement.imports), self._data_named(found.package, statement.files))
            for path in statement.names:
                reached.update(self._meaning(found, path))
            for target in statement.targets:
                reached.update(self._attribute(*target))
        text = found.text(name)
        if name == BODY:
            text += "".join(f"\0import {target}" for target in found.unused() if not self._file(target.module))
        return text, reached

    def _run(self, modules: Iterable[str]) -> Iterator[Part]:
        """What importing ``modules`` runs."""
        return ((module, BODY) for module in modules if self._file(module))

    def _whole(self, name: str) -> Iterator[Part]:
        """What others can use of a module or package: what is public in it, or imported and not used there."""
        module = self._module(name)
        yield name, BODY
        yield from ((name, each) for each in module.statements if not each.startswith("_"))
        yield from ((star, _WHOLE) for star in module.stars if self._file(star))
        for target in module.unused():
            yield from (part for part in self._attribute(*target) if part[1] != _WHOLE)
        if module.is_package:
            inside = {path.stem for path in self._home(name).parent.iterdir() if path.suffix in {".py", ""}} - {
                "__init__"
            }
            yield from ((f"{name}.{each}", _WHOLE) for each in inside if self._file(f"{name}.{each}"))

    def _meaning(self, module: "Module", path: tuple[str, ...], seen: frozenset = frozenset()) -> Iterator[Part]:
        """What a name with attributes means inside ``module``: nothing, unless it is first-party."""
        if path[0] in module.statements:
            yield module.name, path[0]
        for target in module.bindings.get(path[0], ()):
            yield from self._attribute(target.module, target.names + path[1:], seen)
        if path[0] not in module.bound:
            for star in module.stars:
                yield from self._attribute(star, path, seen)

    def _attribute(self, name: str, path: tuple[str, ...], seen: frozenset = frozenset()) -> Iterator[Part]:
        """What an attribute of a module means: a name in it, else a module below it, else what its ``__getattr__`` looks up."""
        if not self._file(name) or (name, path) in seen:
            return
        module, seen = self._module(name), seen | {(name, path)}
        if not path:
            yield name, _WHOLE
            return
        yield name, BODY
        found = list(self._meaning(module, path, seen))
        if found or path[0] in module.bound:
            yield from found
        elif self._file(f"{name}.{path[0]}"):
            yield from self._attribute(f"{name}.{path[0]}", path[1:], seen)
        elif "__getattr__" in module.statements:
            yield name, "__getattr__"
            home = module.homes.get(path[0])
            yield from self._attribute(home, path, seen) if home else [(name, _WHOLE)]

    def _find(self, module: str) -> Path | None:
        """The file of a module, None for one that is not first-party. Scripts are known by their file names."""
        base = self._packages.joinpath(*module.split("."))
        below_a_package = base.parent != self._packages
        files = (base / "__init__.py", base.with_suffix(".py") if below_a_package else None, self._scripts / module)
        return next((path for path in files if path and path.is_file()), None) if module else None

    def _home(self, name: str) -> Path:
        """The file of a first-party module."""
        path = self._file(name)
        if path is None:
            raise ValueError(f"{name} is no first-party module")
        return path

    def _read(self, name: str) -> "Module":
        path = self._home(name)
        module = Module(name, is_package=path.name == "__init__.py")
        packages = _around(module.package)
        files = {part for package in packages for known in self._data(package) for part in known[1:].split("/")}
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        read_statements(module, tree.body, files, lambda other: self._file(other) is not None)
        return module

    def _list_data(self, package: str) -> dict[str, Path]:
        """Data files in the folder of a package, also in sub-folders that are no packages themselves, by "/" and their path in it."""
        folder = self._home(package).parent
        return {f"/{path.relative_to(folder).as_posix()}": path for path in _data_below(folder)}

    def _data_named(self, package: str, names: set[str]) -> Iterator[Part]:
        """Data files that ``names`` are the names of, or of folders that hold them; the nearest package that has a name goes first."""
        for owner in _around(package) if names else ():
            paths = {path: set(path[1:].split("/")) for path in self._data(owner)}
            for path, parts in paths.items():
                name = path.rpartition("/")[2]
                if name in names or (names & parts and name not in self._named_in(owner)):
                    yield owner, path
            names = names.difference(*paths.values())

    def _names_in(self, package: str) -> set[str]:
        """Names of data files of a package that occur in its modules as something that is used."""
        names, found, folder = (
            {path.rpartition("/")[2] for path in self._data(package)},
            set(),
            self._home(package).parent,
        )
        for path in folder.rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            if any(name in source for name in names):
                below = (package, *path.relative_to(folder).with_suffix("").parts)
                module = self._module(".".join(below).removesuffix(".__init__"))
                found |= {name for each in module.statements.values() for statement in each for name in statement.files}
        return found


def _around(package: str) -> list[str]:
    """A package and those that it lies in."""
    names = package.split(".") if package else []
    return [".".join(names[:count]) for count in range(len(names), 0, -1)]


# Data files.

_MARKUP = re.compile(r"\{#.*?#\}|<!--.*?-->", re.DOTALL)
_STYLES_AND_SCRIPTS = re.compile(
    r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|/\*.*?\*/|^[ \t]*//[^\n]*""",
    re.DOTALL | re.MULTILINE,
)


def significant(path: Path) -> str:
    """What counts of a data file.

    Of YAML and JSON the values, of JSON schemas (what has ``properties``) without `DESCRIPTIONS`; of openSMILE configurations what
    is no line of comment; of HTML, CSS and JavaScript the text without comments. Blank lines do not count.
    """
    text = path.read_text(encoding="utf-8")
    match path.suffix:
        case ".yaml" | ".json":
            return _value(read_yaml(path))
        case ".html":
            text = _MARKUP.sub("", text)
        case ".css" | ".js":
            text = _STYLES_AND_SCRIPTS.sub(lambda found: found[1] or "", text)
        case ".conf" | ".inc":
            text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith((";", "//")))
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip())


def _value(value: Any, schema: bool = False) -> str:
    """A parsed value as text in which the order of keys does not show."""
    if isinstance(value, dict):
        schema = schema or "properties" in value
        kept = {k: v for k, v in value.items() if not (schema and k in DESCRIPTIONS and isinstance(v, str))}
        # What a schema gives as a value is no schema.
        parts = (f"{k!r}: {_value(v, schema and k not in {'default', 'const', 'enum'})}" for k, v in kept.items())
        return f"{{{', '.join(sorted(parts))}}}"
    if isinstance(value, list):
        return f"[{', '.join(_value(each, schema) for each in value)}]"
    return repr(value)


def _data_below(folder: Path) -> Iterator[Path]:
    """Data files in a folder and in those below it that are no packages."""
    for path in sorted(folder.iterdir()):
        if path.name.endswith(DATA):
            yield path
        elif path.is_dir() and not (path / "__init__.py").exists():
            yield from _data_below(path)
