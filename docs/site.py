"""What mkdocs does not do by itself (`hooks` of mkdocs.yml): pages from outside docs/, a page per package, docstrings as Markdown.

Every file keeps its path in the repository, so that relative links are right on a git host and on the site.
"""

import re
from pathlib import Path

import griffe
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "scripts" / "wildaffect"
OUTSIDE = (
    "*.md",
    "LICENSE",
    "config.yaml",
    "config/*",
    "benchmarks/*.md",
    "scripts/wildaffect/systems/*/card.md",
    "tests/data/*/README.md",
    "workflow/profiles/*/profile.yaml",
)
"""What the pages of docs/ link to."""


def api_pages() -> dict[str, str]:
    """Markdown of the page of each package, by its path on the site."""
    packages = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    return {f"api/{name}.md": f"::: wildaffect.{name}\n" for name in packages}


def on_config(config):
    """Add the generated pages to the navigation."""
    config.nav.append({"Python": [{Path(page).stem: page} for page in api_pages()]})
    return config


def on_files(files, config):
    """The files of docs/ and `OUTSIDE` at their paths in the repository, and the pages of the packages; files of the theme as they are."""
    kept = [file for file in files if file.inclusion.is_included()]
    own = [path for file in kept if (path := Path(file.abs_src_path or "/")).is_relative_to(config.docs_dir)]
    outside = [path for pattern in OUTSIDE for path in sorted(ROOT.glob(pattern))]
    theme = [file for file in kept if Path(file.abs_src_path or "/") not in own]
    placed = [File.generated(config, str(path.relative_to(ROOT)), abs_src_path=str(path)) for path in own + outside]
    written = [File.generated(config, page, content=text) for page, text in api_pages().items()]
    return Files(theme + placed + written)


class Docstrings(griffe.Extension):
    """Docstrings as Markdown: no roles of Sphinx before names, and doctests as code wherever they stand."""

    def on_instance(self, *, obj, **_):
        """Change the text of one object."""
        if obj.docstring:
            text = re.sub(r":(?:attr|class|func|meth|mod):(?=`)", "", obj.docstring.value)
            obj.docstring.value = re.sub(r"^>>> .*(?:\n.+)*", r"```pycon\n\g<0>\n```", text, flags=re.MULTILINE)
