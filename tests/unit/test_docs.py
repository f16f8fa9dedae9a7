"""What the pages say: commands are parsed, configurations checked, examples run, and the site and README lack nothing."""

import json
import re
import shlex

import pytest
import yaml
from jsonschema import Draft202012Validator

from support.pages import blocks, commands
from support.pipeline import ROOT
from wildaffect import cli

README, DOCS = ROOT / "README.md", ROOT / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
OTHERS = "breath"  # a system that only a tutorial makes
LARGEST_PICTURE = 200_000


def listed(nav) -> set[str]:
    """Pages of the navigation."""
    if isinstance(nav, str):
        return {nav}
    return {page for entry in (nav.values() if isinstance(nav, dict) else nav) for page in listed(entry)}


def test_the_navigation_has_every_page_and_no_other():
    pages = listed(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert {path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md")} <= pages
    assert all((ROOT / page).is_file() for page in pages)


@pytest.mark.parametrize("page", [README, *DOCS.rglob("*.md")], ids=lambda page: page.name)
def test_pictures_are_there_and_small(page):
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
        assert (page.parent / picture).stat().st_size < LARGEST_PICTURE, picture


def test_the_readme_begins_with_one_picture_and_two_commands():
    start, *_ = README.read_text().split("\n## ")
    assert len(re.findall(r"!\[", start)) == 1 and len(re.findall(r"^make \w+ ", start, re.MULTILINE)) == 2


def shown(page) -> list[list[str]]:
    """Words of the commands in the blocks of a page; descriptions of usage, which have brackets or gaps, are left out."""
    lines = [line for block in blocks(page) for line in block.text.splitlines()]
    found = [re.search(r"^(?:\$ )?(?:\.venv/bin/)?((?:wildaffect|make) [^\[…|]*)$", line.strip()) for line in lines]
    return [shlex.split(match[1], comments=True) for match in found if match]


@pytest.mark.parametrize("page", [README, *DOCS.rglob("*.md")], ids=lambda page: page.name)
def test_commands_are_possible(page):
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    for program, *words in shown(page):
        if program == "make":
            assert set(words) <= set(targets)
        else:
            cli.argument_parser().parse_args(words)


@pytest.mark.parametrize("page", [README, *TUTORIALS], ids=lambda page: page.name)
def test_configurations_are_possible(page):
    schema = json.loads((ROOT / "workflow" / "schemas" / "config.schema.json").read_text())
    profile = yaml.safe_load((ROOT / "workflow" / "profiles" / "slurm" / "profile.yaml").read_text())
    for block in blocks(page):
        if block.language != "yaml":
            continue
        values = yaml.safe_load(block.text)
        if values.keys() <= profile.keys():
            continue
        values.get("systems", {}).pop(OTHERS, None)
        Draft202012Validator(schema).validate(values)


def test_the_tutorial_of_the_scorer_prints_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ran = 0
    for block in blocks(DOCS / "tutorials" / "scorer.md"):
        if block.title:
            (tmp_path / block.title).parent.mkdir(exist_ok=True)
            (tmp_path / block.title).write_text(block.text)
        elif block.language == "python":
            exec(compile(block.text, "scorer.md", "exec"), {})
        for command, output in commands(block):
            assert cli.main(shlex.split(command)[1:]) == 0
            assert capsys.readouterr().out == output, command
            ran += 1
    assert ran == 4
