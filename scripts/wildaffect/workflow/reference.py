"""What is written from the definitions of the configuration; ``python -m wildaffect.workflow.reference`` writes all of it.

``config.yaml`` with the defaults and their meaning, the JSON schema by which editors complete and check it, a page on the main
configuration and one on the recipe of each system.
"""

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from wildaffect import systems
from wildaffect.config import Section
from wildaffect.faces.options import DETECTORS
from wildaffect.files import atomic
from wildaffect.workflow.settings import Configuration, System

ROOT = Path(__file__).resolve().parents[3]
COMMAND = "python -m wildaffect.workflow.reference"
SCHEMA = "workflow/schemas/config.schema.json"
SHOWN_SYSTEM = "lfan"
"""The system whose block ``config.yaml`` shows."""
COMMENTS, WIDTH = 32, 140
"""Columns where comments begin and end."""

YAML_HEADER = f"""\
# yaml-language-server: $schema={SCHEMA}
# wildaffect: what to analyse and how. Every key may be left out; the values here are the defaults.
# Facts about the machine (cores, memory, GPUs, queues) are not set here but in workflow/profiles.
# A file with only the keys that differ can be laid over this one: snakemake --cores 4 --configfile my.yaml
# Written by `{COMMAND}`. docs/configuration.md has more: types, limits, and the keys inside {{}}.
"""

PAGE_HEADER = f"""\
# Configuration

Every key of [`config.yaml`](../config.yaml), which holds the defaults. A file with only the keys that differ is laid over it by
`snakemake --configfile my.yaml`; files named later win. A wrong key or value ends the run before any job, with the nearest right word;
a key that was renamed is answered with its new name. Editors that know YAML schemas complete and check the file by its first line.

YAML reads `1e-3` as text (write `1.0e-3`), and `yes`, `no`, `on` and `off` as true and false (write text in quotes).

Each system has its own recipe: RECIPES.

This page is written from the definitions in `scripts/wildaffect/workflow/settings.py` by `{COMMAND}`.
"""

Schema = Mapping[str, Any]


def contents() -> dict[str, str]:
    """Text of each file that is written, by its path in the project."""
    schema = json_schema()
    return {
        "config.yaml": commented_yaml(schema),
        SCHEMA: json.dumps(schema, indent=2, ensure_ascii=False) + "\n",
        "docs/configuration.md": configuration_page(schema),
        **{f"docs/reference/{name}.md": recipe_page(name) for name in systems.available()},
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
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def section_schema(section: type[Section]) -> dict[str, Any]:
    """JSON schema of a section without the titles that pydantic makes of names, and with descriptions on one line per paragraph."""

    def tidy(node: Any, named: bool = False) -> Any:
        if isinstance(node, list):
            return [tidy(part) for part in node]
        if not isinstance(node, dict):
            return node
        parts = {
            key: tidy(part, key in ("properties", "$defs")) for key, part in node.items() if named or key != "title"
        }
        if not named and isinstance(parts.get("description"), str):
            parts["description"] = "\n".join(paragraphs(parts["description"]))
        return parts

    return tidy(section.model_json_schema())


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
    section, indent = _section(schema, node), "  " * depth
    comment = _comment(schema, node)
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
    """Lines of the comment of one key, values of a list and examples each on their own."""
    texts = paragraphs(node.get("description") or _section(schema, node)["description"])
    items = [text[2:].partition(": ") for text in texts if text.startswith("- ")]
    indent = max((len(value) for value, _, _ in items), default=0) + 2
    space = WIDTH - COMMENTS - 2
    lines = [line for text in texts if not text.startswith("- ") for line in textwrap.wrap(text, space)]
    for value, _, meaning in items:
        lines += textwrap.wrap(meaning, space, initial_indent=f"{value}:".ljust(indent), subsequent_indent=" " * indent)
    examples = [
        _flow(example).removeprefix("{").removesuffix("}")
        if isinstance(example, dict) and len(example) == 1
        else _flow(example)
        for example in node.get("examples", [])
    ]
    return [*lines, *(f"Example: {example}" for example in examples)]


def _commented(line: str, comment: list[str]) -> Iterator[str]:
    """``line`` with the comment beside it, the rest of the comment below."""
    first, *rest = comment
    gap = "  " if len(line) + 2 > COMMENTS else " " * (COMMENTS - len(line))
    yield f"{line}{gap}# {first}"
    yield from (" " * COMMENTS + f"# {text}" for text in rest)


def _flow(value: Any) -> str:
    """A value as YAML on one line."""
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000).removesuffix("\n...\n").strip()


def configuration_page(schema: Schema) -> str:
    """``docs/configuration.md``: a table of keys for each section."""
    recipes = ", ".join(f"[{name}](reference/{name}.md)" for name in systems.available())
    parts = [PAGE_HEADER.replace("RECIPES", recipes)]
    plain = {key: node for key, node in schema["properties"].items() if not _section(schema, node)}
    parts.append("## Top level\n\n" + _table(schema, plain))
    for key, node in schema["properties"].items():
        parts += _page_sections(schema, key, node)
    return "\n".join(parts)


def recipe_page(system: str) -> str:
    """``docs/reference/<system>.md``: the keys of a system's recipe."""
    spec = systems.spec(system)
    schema = spec.schema["properties"]["recipe"]
    text = f"# Recipe of {system}\n\n{spec.title}: the keys of `systems.{system}.recipe`."
    ...
