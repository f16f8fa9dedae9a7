"""The statements of a module, as text without what does not count, and with the names in them (`wildaffect.fingerprint`).

The text is written from the syntax tree, field by field, empty fields left out. It holds no line numbers and no paths: it is the same in
another folder, and in another version of Python for code whose grammar that version did not change.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

ERROR_ENDINGS = ("Error", "Exception", "Warning")
"""How the names of classes end that are called with a message only. Of other things that are raised, only arguments that are text."""
LOGGERS = {"log", "logger", "_log", "_logger", "logging"}
LOG_CALLS = {"debug", "info", "warning", "error", "exception", "critical", "log", "basicConfig", "getLogger"}
"""Methods of `LOGGERS` whose arguments do not count; neither does the first one of ``warnings.warn``."""
DESCRIBED = {"Field", "setting", "add_argument", "add_parser", "ArgumentParser"}
DESCRIPTIONS = {"description", "title", "help", "epilog"}
"""Keywords in calls of `DESCRIBED` that are for a reader where their value is text, as are such keys in a JSON schema."""

BODY = "<module>"
"""The name for what a module runs on import."""


class _Target(NamedTuple):
    """What an import gives a name: a module, or the attribute of one. How it is printed is part of the text."""

    module: str
    names: tuple[str, ...] = ()


@dataclass
class _Statement:
    """A statement: its text; names with attributes to look up in its module; what it imports itself; data files and folders it names."""

    text: str
    names: set[tuple[str, ...]]
    targets: set[_Target]
    imports: set[str]
    files: set[str]


@dataclass
class Module:
    """Definitions by name, what runs on import under ``<module>``, and the names that imports give."""

    name: str
    is_package: bool
    statements: dict[str, list[_Statement]] = field(default_factory=lambda: defaultdict(list))
    bindings: dict[str, set[_Target]] = field(default_factory=lambda: defaultdict(set))
    stars: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    bound: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    homes: dict[str, str] = field(default_factory=dict)

    @property
    def is_script(self) -> bool:
        """Scripts go by their file names."""
        return self.name.endswith(".py")

    @property
    def parent(self) -> str:
        """The package that the module or package lies in."""
        return "" if self.is_script else self.name.rpartition(".")[0]

    @property
    def package(self) -> str:
        """The package whose folder the module lies in, empty for scripts."""
        return self.name if self.is_package else self.parent

    def unused(self) -> list[_Target]:
        """What is imported and not used: it is there for others, or for what importing it does."""
        return sorted({target for name in self.bindings.keys() - self.used for target in self.bindings[name]})

    def text(self, name: str) -> str:
        """The statements behind a name, with what the imported names in them stand for."""
        statements = self.statements.get(name)
        if not statements:
            return ""
        roots = {path[0] for statement in statements for path in statement.names}
        imported = sorted((root, sorted(self.bindings[root])) for root in roots & self.bindings.keys())
        return "\0".join([*(statement.text for statement in statements), *map(repr, imported), *sorted(self.stars)])


def read_statements(module: Module, body: list[ast.stmt], files: set[str], first_party: Callable[[str], bool]) -> None:
    """Fill a module from its source.

    Args:
        module: What is filled.
        body: The statements of the source.
        files: Names of data files and folders to look for.
        first_party: Says of a module whether it is one of ours.
    """
    _Reader(module, files, first_party).read(body)


class _Scope:
    """Names of one function, class, comprehension or module."""

    __slots__ = ("bindings", "elsewhere", "is_class", "loaded", "stored")

    def __init__(self, is_class: bool = False) -> None:
        self.is_class = is_class
        self.stored: set[str] = set()
        self.loaded: set[tuple[str, ...]] = set()
        self.bindings: dict[str, set[_Target]] = defaultdict(set)
        self.elsewhere: set[str] = set()


class _Reader:
    """See `read_statements`."""

    def __init__(self, module: Module, files: set[str], first_party: Callable[[str], bool]) -> None:
        self._module, self._files, self._first_party = module, files, first_party
        self._text: list[str] = []
        self._scopes: list[_Scope] = []
        self._targets: set[_Target] = set()
        self._imports: set[str] = set()
        self._named: set[str] = set()

    def read(self, body: list[ast.stmt]) -> None:
        """Read the statements of the module."""
        tables: dict[str, dict[str, str]] = {}
        for node in body:
            if isinstance(node, ast.If) and _is_type_checking(node.test):
                self._mention(node.test)
                self.read(node.orelse)
                continue
            statement = self._statement(node)
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._module.imports |= statement.imports
            elif statement.text:
                for name in self._owners(node):
                    self._module.statements[name].append(statement)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
                tables |= {target.id: _strings(node.value) for target in node.targets if isinstance(target, ast.Name)}
        # Of a table of what is loaded on first use, only the entry counts that is asked for.
        for statement in self._module.statements.get("__getattr__", ()):
            for name in {path[0] for path in statement.names} & tables.keys():
                self._module.homes |= tables[name]
                statement.names.discard((name,))

    def _statement(self, node: ast.stmt) -> _Statement:
        """Text and names of one statement of the module."""
        self._text, scope = [], _Scope()
        self._targets, self._imports, self._named = set(), set(), set()
        self._scopes = [scope]
        self._visit(node)
        self._module.bound |= scope.stored | scope.bindings.keys()
        self._module.used |= {path[0] for path in scope.loaded}
        for name, targets in scope.bindings.items():
            self._module.bindings[name] |= targets
        return _Statement("\0".join(self._text), scope.loaded, self._targets, self._imports, self._named)

    def _owners(self, node: ast.stmt) -> set[str]:
        """Names of the definitions that a statement of the module belongs to, ``<module>`` if it runs on import."""
        known = self._module.statements.keys() - {BODY}
        match node:
            case _ if self._module.is_script:
                return {BODY}
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                decorators = [_path(each.func if isinstance(each, ast.Call) else each) for each in node.decorator_list]
                extended = {path[0] for path in decorators if len(path) > 1} & known
                runs = any(self._is_ours(path[0]) for path in decorators if path and path[0] not in extended)
                return {node.name} | extended | ({BODY} if runs else set())
            case ast.Assign(targets=targets):
                leaves = [leaf for target in targets for leaf in _leaves(target)]
                return {leaf.id if isinstance(leaf, ast.Name) else _root(leaf, known) for leaf in leaves}
            case ast.AnnAssign(target=ast.Name(id=name)):
                return {name}
            case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                return {_root(target, known)}
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                return set()
            case _:
                return {BODY}

    def _is_ours(self, name: str) -> bool:
        """The name stands for something first-party."""
        return name in self._module.statements or any(
            self._first_party(target.module) for target in self._module.bindings.get(name, ())
        )

    def _visit(self, node: ast.AST) -> None:
        """Write down a node and all below it."""
        write = _WRITERS.get(node.__class__)
        if write:
            write(self, node)
        else:
            self._plain(node)

    def _plain(self, node: ast.AST) -> None:
        mark, fields = _form(node)
        self._text.append(mark)
        for name in fields:
            value = getattr(node, name, None)
            if value is None or value == []:
                continue
            self._text.append(name)
            if isinstance(value, list):
                self._all(value)
            elif isinstance(value, ast.AST):
                self._visit(value)
            else:
                self._text.append(str(value))

    def _all(self, nodes: Iterable[ast.AST | str | None]) -> None:
        self._text.append("[")
        for node in nodes:
            if isinstance(node, ast.AST):
                self._visit(node)
            else:
                self._text.append(str(node) if node else "<>")
        self._text.append("]")

    def _nothing(self, node: ast.AST) -> None:
        """What does not count."""

    def _name(self, node: ast.Name) -> None:
        self._text.append(node.id)
        if node.ctx.__class__ is ast.Load:
            self._scopes[-1].loaded.add((node.id,))
        else:
            self._scopes[-1].stored.add(node.id)

    def _attribute(self, node: ast.Attribute) -> None:
        path = _path(node)
        if path:
            self._text.append(".".join(path))
            self._scopes[-1].loaded.add(path)
        else:
            self._text.append(f"<.{node.attr}")
            self._visit(node.value)

    def _constant(self, node: ast.Constant) -> None:
        self._text.append(repr(node.value))
        if self._files and isinstance(node.value, str):
            name = node.value.rpartition("/")[2]
            if name in self._files:
                self._named.add(name)

    def _expression(self, node: ast.Expr) -> None:
        """Docstrings, also those of constants, and ``...`` do nothing."""
        if not isinstance(node.value, ast.Constant):
            self._plain(node)

    def _if(self, node: ast.If) -> None:
        if not _is_type_checking(node.test):
            self._plain(node)
            return
        for each in node.orelse:
            self._visit(each)

    def _call(self, node: ast.Call) -> None:
        path = _path(node.func)
        name, arguments, keywords = path[-1] if path else "", node.args, node.keywords
        if path[-2:-1] and path[-2] in LOGGERS and name in LOG_CALLS:
            arguments, keywords = [], []
        elif name == "warn" and path in {("warnings", "warn"), ("warn",)}:
            arguments, keywords = arguments[1:], [each for each in keywords if each.arg != "message"]
        elif name in DESCRIBED:
            keywords = [each for each in keywords if each.arg not in DESCRIPTIONS or not _is_text(each.value)]
        elif name == "import_module" and arguments and isinstance(arguments[0], ast.Constant):
            self._targets.add(_Target(str(arguments[0].value)))
        self._called(node, [*arguments, *keywords])

    def _called(self, node: ast.Call, arguments: Iterable[ast.AST]) -> None:
        self._text.append("<Call")
        self._visit(node.func)
        self._all(arguments)

    def _raise(self, node: ast.Raise) -> None:
        self._text.append("<Raise")
        if isinstance(node.exc, ast.Call):
            path, arguments = _path(node.exc.func), [*node.exc.args, *node.exc.keywords]
            if path and path[-1].endswith(ERROR_ENDINGS):
                arguments = []
            values = (each.value if isinstance(each, ast.keyword) else each for each in arguments)
            self._called(node.exc, [each for each, value in zip(arguments, values, strict=True) if not _is_text(value)])
        elif node.exc:
            self._visit(node.exc)
        if node.cause:
            self._text.append("from")
            self._visit(node.cause)

    def _assert(self, node: ast.Assert) -> None:
        self._text.append("<Assert")
        self._visit(node.test)

    def _annotated(self, node: ast.AnnAssign) -> None:
        """Fields of classes count with their types, other variables as if they had none."""
        if self._scopes[-1].is_class:
            self._plain(node)
            self._annotation(node.annotation)
            return
        self._mention(node.annotation)
        if node.value:
            self._plain(ast.Assign(targets=[node.target], value=node.value))
        elif isinstance(node.target, ast.Name):
            self._scopes[-1].stored.add(node.target.id)

    def _annotation(self, node: ast.expr) -> None:
        """Look up the names in text that stands for a type."""
        for each in ast.walk(node):
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                self._scopes[-1].loaded |= {tuple(path.split(".")) for path in re.findall(r"[^\W\d][\w.]*", each.value)}

    def _mention(self, node: ast.expr) -> None:
        """Note that the names in an annotation have a use, and nothing else of it."""
        written = len(self._text)
        self._scopes.append(_Scope())
        self._visit(node)
        self._module.used.update(path[0] for path in self._scopes.pop().loaded)
        del self._text[written:]

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._scopes[-1].stored.add(node.name)
        self._text += [_form(node)[0], node.name]
        self._all(node.decorator_list)
        self._arguments(node.args, node.returns, with_annotations=bool(node.decorator_list))
        self._all(node.body)
        self._close()

    def _lambda(self, node: ast.Lambda) -> None:
        self._text.append("<Lambda")
        self._arguments(node.args, None, with_annotations=False)
        self._visit(node.body)
        self._close()

    def _arguments(self, node: ast.arguments, returns: ast.expr | None, *, with_annotations: bool) -> None:
        """Write down the arguments of a function, and open its scope."""
        several = [*node.posonlyargs, *node.args, *node.kwonlyargs]
        single = [each for each in (node.vararg, node.kwarg) if each]
        self._all([*node.defaults, *node.kw_defaults])
        annotations = [returns, *(arg.annotation for arg in several + single)]
        if with_annotations:
            self._all(annotations)
        for annotation in filter(None, annotations):
            (self._annotation if with_annotations else self._mention)(annotation)
        counts = f"{len(node.posonlyargs)} {len(node.args)} {len(node.defaults)} {bool(node.vararg)} {bool(node.kwarg)}"
        names = [arg.arg for arg in several + single]
        self._text += [counts, *names]
        self._scopes.append(_Scope())
        self._scopes[-1].stored.update(names)

    def _class(self, node: ast.ClassDef) -> None:
        self._scopes[-1].stored.add(node.name)
        self._text += ["<ClassDef", node.name]
        self._all(node.decorator_list)
        self._all([*node.bases, *node.keywords])
        self._scopes.append(_Scope(is_class=True))
        self._all(node.body)
        self._close()

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self._text.append(_form(node)[0])
        # The first iterable is evaluated outside.
        self._visit(node.generators[0].iter)
        self._scopes.append(_Scope())
        for index, each in enumerate(node.generators):
            self._all([each.target, *([each.iter] if index else []), *each.ifs])
            self._text.append(str(each.is_async))
        self._all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self._close()

    def _close(self) -> None:
        """Leave a scope: what it does not bind is looked up around it, for which the bodies of classes do not count."""
        scope = self._scopes.pop()
        around = next(each for each in reversed(self._scopes) if not each.is_class)
        for path in scope.loaded:
            if path[0] in scope.bindings:
                self._targets |= {_Target(each.module, each.names + path[1:]) for each in scope.bindings[path[0]]}
            elif scope.is_class or path[0] not in scope.stored or path[0] in scope.elsewhere:
                around.loaded.add(path)
        self._text += [f"<import {name} {sorted(targets)}" for name, targets in sorted(scope.bindings.items())]

    def _elsewhere(self, node: ast.Global | ast.Nonlocal) -> None:
        self._plain(node)
        self._scopes[-1].elsewhere.update(node.names)
        if isinstance(node, ast.Global):
            self._scopes[0].loaded |= {(name,) for name in node.names}

    def _bound(self, node: ast.ExceptHandler | ast.MatchAs | ast.MatchStar | ast.MatchMapping) -> None:
        """Nodes that bind a name without a name node."""
        self._plain(node)
        name = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name:
            self._scopes[-1].stored.add(name)

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._imports.add(alias.name)
            module = alias.name if alias.asname else alias.name.partition(".")[0]
            self._scopes[-1].bindings[alias.asname or module].add(_Target(module))

    def _import_from(self, node: ast.ImportFrom) -> None:
        parts = self._module.package.split(".")
        package = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
        module = ".".join(filter(None, (package, node.module)))
        if module == "__future__":
            return
        self._imports.add(module)
        for alias in node.names:
            if alias.name == "*":
                self._module.stars.add(module)
            else:
                self._imports.add(f"{module}.{alias.name}")
                self._scopes[-1].bindings[alias.asname or alias.name].add(_Target(module, (alias.name,)))


_WRITERS: dict[type, Callable[[_Reader, Any], None]] = {
    ast.Name: _Reader._name,
    ast.Attribute: _Reader._attribute,
    ast.Constant: _Reader._constant,
    ast.Expr: _Reader._expression,
    ast.Pass: _Reader._nothing,
    ast.If: _Reader._if,
    ast.Call: _Reader._call,
    ast.Raise: _Reader._raise,
    ast.Assert: _Reader._assert,
    ast.AnnAssign: _Reader._annotated,
    ast.FunctionDef: _Reader._function,
    ast.AsyncFunctionDef: _Reader._function,
    ast.Lambda: _Reader._lambda,
    ast.ClassDef: _Reader._class,
    ast.ListComp: _Reader._comprehension,
    ast.SetComp: _Reader._comprehension,
    ast.DictComp: _Reader._comprehension,
    ast.GeneratorExp: _Reader._comprehension,
    ast.Global: _Reader._elsewhere,
    ast.Nonlocal: _Reader._elsewhere,
    ast.ExceptHandler: _Reader._bound,
    ast.MatchAs: _Reader._bound,
    ast.MatchStar: _Reader._bound,
    ast.MatchMapping: _Reader._bound,
    ast.Import: _Reader._import,
    ast.ImportFrom: _Reader._import_from,
}


@cache
def _form_of(kind: type[ast.AST]) -> tuple[str, tuple[str, ...]]:
    """How a kind of node is marked, and its fields that count."""
    return f"<{kind.__name__}", tuple(name for name in kind._fields if name not in {"ctx", "type_comment", "kind"})


def _form(node: ast.AST) -> tuple[str, tuple[str, ...]]:
    """How a node is marked, and its fields that count."""
    return _form_of(type(node))  # type: ignore[arg-type]  # classes can be hashed


def _path(node: ast.AST) -> tuple[str, ...]:
    """``a.b.c`` as names, empty for what does not begin with a name."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else ()


def _root(node: ast.AST, known: Iterable[str]) -> str:
    """The one of ``known`` definitions that an assignment to ``NAME.attribute[key]`` changes, else ``<module>``."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) and node.id in known else BODY


def _leaves(target: ast.AST) -> Iterator[ast.AST]:
    """The single targets of an assignment."""
    match target:
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            for part in parts:
                yield from _leaves(part)
        case ast.Starred(value=value):
            yield from _leaves(value)
        case _:
            yield target


def _strings(node: ast.Dict) -> dict[str, str]:
    """The entries of a display that are strings by strings."""
    values = {getattr(k, "value", None): getattr(v, "value", None) for k, v in zip(node.keys, node.values, strict=True)}
    return {key: value for key, value in values.items() if isinstance(key, str) and isinstance(value, str)}


def _is_type_checking(test: ast.expr) -> bool:
    return _path(test)[-1:] == ("TYPE_CHECKING",)


def _is_text(node: ast.AST) -> bool:
    """An expression that builds text around a literal."""
    match node:
        case ast.Constant(value=str()) | ast.JoinedStr():
            return True
        case ast.BinOp(left=left, right=right):
            return _is_text(left) or _is_text(right)
        case ast.Call(func=ast.Attribute(value=value)):
            return _is_text(value)
        case ast.IfExp(body=body, orelse=orelse):
            return _is_text(body) and _is_text(orelse)
        case _:
            return False
