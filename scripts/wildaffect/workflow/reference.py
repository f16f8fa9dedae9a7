"""What is written from the definitions of the configuration; ``python -m wildaffect.workflow.reference`` writes all of it.

``config.yaml`` with the defaults and their meaning, the JSON schema by which editors complete and check it, a page on the main
configuration, one on the recipe of each system, and the table of systems.
"""

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema

from wildaffect import systems
from wildaffect.config import Section
from wildaffect.faces.options import DETECTORS
from wildaffect.files import atomic
from wildaffect.project import ROOT
from wildaffect.workflow.settings import Configuration, System

COMMAND = "python -m wildaffect.workflow.reference"
SCHEMA = "workflow/schemas/config.schema.json"
SPECS = "scripts/wildaffect/systems/*/spec.py"
SHOWN_SYSTEM = "lfan"
"""The system whose block ``config.yaml`` shows."""
COMMENTS, WIDTH = 32, 140
"""Columns where comments begin and end."""

YAML_HEADER = f"""\
# yaml-language-server: $schema={SCHEMA}
# wildaffect: what to analyse and how. Every key may be left out; the values here are the defaults.
# Facts about the machine (cores, memory, GPUs, queues) are not set here but in workflow/profiles.
# A file with only the keys that differ can be laid over this one: snakemake --cores 4 --configfile my.yaml
# Written by `{COMMAND}`; types, limits and the keys of empty blocks are in docs/configuration.md.
"""

PAGE_HEADER = f"""\
<!-- Written by `{COMMAND}` from scripts/wildaffect/workflow/settings.py and what it imports. -->
# Configuration

Every key of [`config.yaml`](../config.yaml), which holds the defaults. A file with only the keys that differ is laid over it by
`snakemake --configfile my.yaml`; of several files the later ones win. A wrong key or value ends the run before any job, with the
nearest right word; a key that was renamed is answered with its new name. Editors that know YAML schemas complete and check the file by
its first line.

YAML reads `1e-3` as text (write `1.0e-3`), and `yes`, `no`, `on` and `off` as true and false (write text in quotes).

The keys of each system's recipe have a page in [reference](reference/README.md).
"""

SYSTEMS_HEADER = f"""\
<!-- Written by `{COMMAND}` from the definitions in scripts/wildaffect/systems. -->
# Systems

The pages of the systems list the keys of their recipes; the cards say what is published, unknown and assumed. Targets marked
"on request" are not part of `targets: all`.
"""

RECIPE_HEADER = f"""\
<!-- Written by `{COMMAND}` from the definitions in scripts/wildaffect/systems/{{name}}. -->
# Recipe of {{name}}

{{title}}.

These are the keys of `systems.{{name}}.recipe` in [the configuration](../configuration.md). What is published, unknown and assumed
is said in [the card of the system](../../scripts/wildaffect/systems/{{name}}/card.md).
"""

TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "array": "list",
    "object": "block",
    "null": "null",
}
LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<", "multipleOf": "multiple of"}

Schema = Mapping[str, Any]


def contents() -> dict[str, str]:
    """Text of each file that is written, by its path in the project."""
    schema, names = json_schema(), [path.parent.name for path in sorted(ROOT.glob(SPECS))]
    return {
        "config.yaml": commented_yaml(schema),
        SCHEMA: json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        "docs/configuration.md": configuration_page(schema),
        "docs/reference/README.md": systems_page(names),
        **{f"docs/reference/{name}.md": recipe_page(name) for name in names},
    }


def main() -> None:
    """Write all files."""
    for name, text in contents().items():
        with atomic(ROOT / name) as partial:
            partial.write_text(text, encoding="utf-8")


def json_schema() -> dict[str, Any]:
    """JSON schema of the configuration.

    Names that plug-ins bring (systems, features, crop templates, editions) and recipes are left to the check when a run is planned, so
    that a new one changes no file.
    """
    schema = section_schema(Configuration)
    options = {backend: section_schema(section) for backend, section in DETECTORS.items()}
    system = section_schema(System)
    for part in (*options.values(), system):
        schema["$defs"] |= part.pop("$defs", {})
    schema["$defs"]["System"] = system
    block = {"anyOf": [{"$ref": "#/$defs/System"}, {"type": "null"}, {"const": False}]}
    schema["properties"]["systems"]["anyOf"][0]["additionalProperties"] = block
    schema["$defs"]["Faces"]["allOf"] = [
        {
            "if": {"properties": {"backend": {"const": backend}}, "required": ["backend"]},
            "then": {"properties": {"options": part}},
        }
        for backend, part in options.items()
    ]
    about = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$comment": f"Written by `{COMMAND}`."}
    return {**about, **schema}


def section_schema(section: type[Section]) -> dict[str, Any]:
    """JSON schema of a section without the titles that pydantic makes of names, and with descriptions on one line per paragraph."""

    return _tidy(section.model_json_schema(schema_generator=_InOrder))


class _InOrder(GenerateJsonSchema):
    """Keys stay in the order in which they are defined."""

    def sort(self, value: Any, parent_key: str | None = None) -> Any:
        return value


def _tidy(node: Any) -> Any:
    """A JSON schema without titles, and with descriptions of one line for each paragraph."""
    if not isinstance(node, dict):
        return [_tidy(part) for part in node] if isinstance(node, list) else node
    node = {key: part for key, part in node.items() if key != "title"}
    for key, part in node.items():
        if key in ("properties", "patternProperties", "$defs"):
            node[key] = {name: _tidy(value) for name, value in part.items()}
        elif key == "description":
            node[key] = "\n".join(paragraphs(part))
        elif key not in ("default", "examples", "enum", "const", "required"):
            node[key] = _tidy(part)
    return node


def paragraphs(description: str) -> list[str]:
    """A description as one text per paragraph or list item (``- value: meaning``), however its lines were broken."""
    found: list[str] = []
    for line in description.strip().splitlines():
        if not found or line.startswith("- "):
            found.append(line.strip())
        else:
            found[-1] += f" {line.strip()}"
    return found


def commented_yaml(schema: Schema) -> str:
    """``config.yaml``: every key with its default and its meaning."""
    blocks = ["\n".join(_yaml_lines(schema, key, node, 0)) for key, node in schema["properties"].items()]
    return YAML_HEADER + "\n" + "\n\n".join(blocks) + "\n"


def _yaml_lines(schema: Schema, key: str, node: Schema, depth: int) -> Iterator[str]:
    section, indent, comment = _section(schema, node), "  " * depth, _comment(schema, node)
    if key == "systems":
        yield from _commented("systems:", comment)
        yield from _yaml_lines(schema, SHOWN_SYSTEM, {"$ref": "#/$defs/System"}, 1)
    elif section and node.get("default", {}) is not None:
        yield from _commented(f"{indent}{key}:", comment)
        for inner, part in section["properties"].items():
            yield from _yaml_lines(schema, inner, part, depth + 1)
    else:
        yield from _commented(f"{indent}{key}: {_flow(node.get('default'))}", comment)


def _comment(schema: Schema, node: Schema) -> list[str]:
    """Lines of the comment of one key; the values of a list and the examples have a line each."""
    texts = _texts(schema, node)
    items = [text.removeprefix("- ").partition(": ") for text in texts if text.startswith("- ")]
    indent = max((len(value) for value, _, _ in items), default=0) + 2
    space = WIDTH - COMMENTS - 2
    lines = [line for text in texts if not text.startswith("- ") for line in textwrap.wrap(text, space)]
    for value, _, meaning in items:
        first = f"{value}:".ljust(indent)
        lines += textwrap.wrap(meaning, space, initial_indent=first, subsequent_indent=" " * indent)
    return lines + [f"Example: {_flow(example)}" for example in node.get("examples", ())]


def _commented(line: str, comment: list[str]) -> Iterator[str]:
    """``line`` with the comment beside it, the rest of the comment below."""
    first, *rest = comment
    yield f"{line.ljust(COMMENTS - 2)}  # {first}"
    yield from (" " * COMMENTS + f"# {text}" for text in rest)


def configuration_page(schema: Schema) -> str:
    """``docs/configuration.md``: a table of the keys of each section."""
    return "\n".join([PAGE_HEADER, *_tables(schema, schema, "")]) + "\n"


def systems_page(names: Iterable[str]) -> str:
    """``docs/reference/README.md``: what each of the systems offers."""
    lines = [SYSTEMS_HEADER, "| system | | variants | targets | card |\n|---|---|---|---|---|"]
    for name in names:
        spec = systems.spec(name)
        variants = ", ".join(map(_code, spec.variants))
        targets = ", ".join(f"{_code(key)}{' (on request)' * (key in spec.on_request)}" for key in spec.targets)
        card = f"[card](../../scripts/wildaffect/systems/{name}/card.md)"
        lines.append(f"| [`{name}`]({name}.md) | {spec.title} | {variants} | {targets} | {card} |")
    return "\n".join(lines) + "\n"


def recipe_page(system: str) -> str:
    """``docs/reference/<system>.md``: the keys of the recipe of a system."""
    spec = systems.spec(system)
    header = RECIPE_HEADER.format(name=system, title=spec.title)
    schema = section_schema(spec.settings)
    tables = _tables(schema, schema, f"systems.{system}.recipe")
    return "\n".join([header, *tables, *_presets(spec.settings.presets)]) + "\n"


def _presets(presets: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The values of each preset, as a recipe would have them."""
    for name, values in presets.items():
        text = yaml.safe_dump(dict(values), sort_keys=False, default_flow_style=None, width=WIDTH - 4).strip()
        yield f"\n## `preset: {name}`\n\nThese values are ours, not published.\n\n```yaml\n{text}\n```"


def _tables(schema: Schema, section: Schema, path: str) -> Iterator[str]:
    """The table of the keys of ``section``, then those of the sections in it."""
    inner: list[tuple[str, Schema]] = []
    yield "| key | type | default | meaning |\n|---|---|---|---|"
    for key, node in section["properties"].items():
        name = f"{path}.{key}".removeprefix(".")
        found = [*_inside(schema, section, key, node, name)]
        inner += found
        hidden = found and isinstance(node.get("default"), dict) and node["default"]
        default = "" if hidden else _code(node["default"]) if "default" in node else "required"
        yield f"| `{key}` | {_type(schema, node)} | {default} | {_meaning(schema, node)} |"
    for name, part in inner:
        yield f"\n## {name}\n"
        if "description" in part:
            yield " ".join(paragraphs(part["description"])) + "\n"
        yield from _tables(schema, part, name.split("`")[1])


def _inside(schema: Schema, section: Schema, key: str, node: Schema, name: str) -> Iterator[tuple[str, Schema]]:
    """Sections that a key may hold, with their headings."""
    if found := _section(schema, node):
        yield f"`{name}`", found
    for part in (node, *node.get("anyOf", ())):
        for names in (part.get("additionalProperties"), *part.get("patternProperties", {}).values()):
            if isinstance(names, dict) and (found := _section(schema, names)):
                yield f"`{name}.<name>`", found
    for case in section.get("allOf", ()):
        if key in case["then"]["properties"]:
            ((other, value),) = case["if"]["properties"].items()
            yield f"`{name}` ({other}: {value['const']})", case["then"]["properties"][key]


def _section(schema: Schema, node: Schema) -> Schema | None:
    """The section that a key holds, if it holds one."""
    for part in (node, *node.get("anyOf", ())):
        if "$ref" in part:
            return schema["$defs"][part["$ref"].rpartition("/")[2]]
        if "properties" in part:
            return part
    return None


def _texts(schema: Schema, node: Schema) -> list[str]:
    """Paragraphs and list items of the description of a key; a section without one has that of its class."""
    return paragraphs(node.get("description") or (_section(schema, node) or {}).get("description", ""))


def _meaning(schema: Schema, node: Schema) -> str:
    """A description as a cell of a table."""
    texts = [text.removeprefix("- ") for text in _texts(schema, node)]
    return "<br>".join(map(_cell, texts + [f"Example: {_code(example)}" for example in node.get("examples", ())]))


def _cell(text: str) -> str:
    """Text that Markdown shows as it is within a table."""
    plain = [part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(text.split("`"))]
    return "`".join(plain).replace("|", "\\|")


def _type(schema: Schema, node: Schema) -> str:
    """Type and limits of a value in words."""
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(_type(schema, part) for part in node["anyOf"]))
    if "enum" in node or "const" in node:
        return ", ".join(_code(value) for value in node.get("enum", [node.get("const")]))
    kinds = node.get("type", "object")
    words = [TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    items = node.get("items") or next(iter(node.get("prefixItems", ())), None)
    if items:
        count = f"{node['minItems']} × " if node.get("minItems", 0) == node.get("maxItems") else ""
        words[0] = f"list of {count}{_type(schema, items)}"
    limits = [f"{sign} {node[name]}" for name, sign in LIMITS.items() if name in node]
    return " or ".join([" ".join([words[0], ", ".join(limits)]).strip(), *words[1:]])


def _code(value: Any) -> str:
    return f"`{_flow(value)}`"


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).removesuffix("\n...\n").strip()


if __name__ == "__main__":
    main()
