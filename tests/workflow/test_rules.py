"""House rules that every workflow rule keeps."""

import ast
import re
import subprocess
import sys

from support.pipeline import ROOT, rule_blocks

BLOCKS = rule_blocks()
JOBS = {name: block for name, block in BLOCKS.items() if "script:" in block}


def test_every_job_names_its_own_script_and_fingerprint():
    for name, block in JOBS.items():
        assert f'"../../scripts/{name}.py"' in block, f"{name}: rule, script and fingerprint have one name"
        assert re.search(rf'code=\w+\(\s*"{name}\.py"', block), (
            f"{name}: params.code must be the fingerprint of its script"
        )
        assert (ROOT / "scripts" / f"{name}.py").is_file()
    assert {path.stem for path in (ROOT / "scripts").glob("*.py")} == set(JOBS), "a script without a rule"
    assert all("localrule: True" in BLOCKS[name] for name in BLOCKS.keys() - JOBS), "targets start no job"


def test_every_job_has_log_benchmark_environment_and_resources():
    for name, block in JOBS.items():
        for directive in ("log", "benchmark", "conda", "threads", "resources", "params"):
            assert re.search(rf"^ +{directive}:", block, re.MULTILINE), f"{name} has no {directive}"
        assert "retries" not in block, f"{name}: retries belong to profiles"
        assert "mem_mb=" in block and "runtime=" in block


def test_parsing_imports_nothing_heavy():
    code = (
        "import sys; sys.path.insert(0, 'scripts'); import wildaffect.workflow.plan, wildaffect.features.registry, wildaffect.demo.corpus; "
        "print([m for m in ('torch', 'lightning', 'onnxruntime', 'cv2', 'dlib', 'opensmile', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_library_does_not_know_the_workflow_engine():
    for path in (ROOT / "scripts" / "wildaffect").rglob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        imports = {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in (node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")])
        }
        assert "snakemake" not in names | imports, path


def test_packages_import_only_to_their_right():
    order = [
        "cli",
        "workflow",
        "report",
        "tabulation",
        "submission",
        "training",
        "systems",
        "scoring",
        "features",
        "faces",
        "media",
        "corpus",
    ]
    for index, package in enumerate(order):
        base = ROOT / "scripts" / "wildaffect" / package
        for path in base.rglob("*.py") if base.is_dir() else []:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wildaffect."):
                    other = node.module.split(".")[1]
                    assert other not in order[:index], f"{path.relative_to(ROOT)} imports {node.module}"
