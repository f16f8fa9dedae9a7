"""Where those parts of the project lie that are no modules: the workflow, scripts of jobs, environments, `config.yaml`, `models.yaml`.

In a checkout they lie at its top; building the package puts copies beside this file (`setup.py`).
"""

from pathlib import Path

_HERE = Path(__file__).resolve().parent

PACKAGES = _HERE.parents[1]
"""Folder that this package lies in."""
ROOT = _HERE if (_HERE / "workflow").is_dir() else PACKAGES.parent
"""Folder of `workflow`, `scripts`, `envs`, `config.yaml` and `models.yaml`."""
SCRIPTS = ROOT / "scripts"
"""Folder of the scripts of jobs."""
WORKFLOW = ROOT / "workflow"
"""Folder of the Snakefile, its rules, profiles and schemas."""
