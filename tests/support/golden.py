"""Reader of the golden numbers in ``tests/data/golden``."""

import json
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent.parent / "data" / "golden"


def read_golden(name: str) -> dict:
    """The content of a JSON file of the folder."""
    return json.loads((GOLDEN / name).read_text())
