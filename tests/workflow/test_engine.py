"""What Snakemake is told to look at once is the same as what it finds when it looks at every job."""

import subprocess
import sys
from types import SimpleNamespace

import snakemake.api  # noqa: F401  # its parts cannot be imported before it

from support.pipeline import ROOT

SNAKEFILE = """
import sys
sys.path.insert(0, {rules!r})
from engine import remember_answers
remember_answers()

def several(wildcards, attempt): return attempt + int(wildcards.name)

rule all:
    input: expand("{{kind}}/{{name}}.txt", kind=["a", "b"], name=[1, 2]), "c/1.txt"
rule a:
    input: lambda wildcards: []
    output: "a/{{name}}.txt"
    resources: mem_mb=several
    params: one=lambda wildcards: wildcards.name, two=lambda wildcards, output: str(output), three=lambda w, **others: len(others)
    script: "there.py"
rule b:
    output: "b/{{name}}.txt"
    script: "there{{wildcards.name}}.py"
rule c:
    output: "c/{{name}}.txt"
    script: "other.py"
"""


def plan(folder, *scripts: str) -> tuple[int, str]:
    for name in scripts:
        (folder / name).touch()
    (folder / "Snakefile").write_text(SNAKEFILE.format(rules=str(ROOT / "workflow/rules")))
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--printshellcmds"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_functions_get_their_arguments_and_scripts_are_found(tmp_path):
    status, text = plan(tmp_path, "there.py", "there1.py", "there2.py", "other.py")
    assert status == 0, text
    assert "mem_mb=2" in text and "mem_mb=3" in text
    assert "total        6" in text


def test_a_missing_script_is_reported_for_each_name(tmp_path):
    """Of a rule whose script depends on wildcards too, and after another rule's script was found."""
    status, text = plan(tmp_path, "there.py", "there1.py", "other.py")
    assert status != 0 and "there2.py" in text, text
    status, text = plan(tmp_path, "there2.py")
    assert status == 0, text
    (tmp_path / "other.py").unlink()
    status, text = plan(tmp_path)
    assert status != 0 and "other.py" in text, text


def test_a_script_is_looked_at_once(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "workflow/rules"))
    from engine import once_per_script

    looked = []
    check = once_per_script(lambda processor, job: looked.append(job.rule.script))
    processor = SimpleNamespace(script_type="script")
    for name in ("one.py", "two.py", "one.py", "{wildcards.x}.py", "{wildcards.x}.py"):
        check(processor, SimpleNamespace(rule=SimpleNamespace(script=name, basedir="rules")))
    assert looked == ["one.py", "two.py", "{wildcards.x}.py", "{wildcards.x}.py"]
