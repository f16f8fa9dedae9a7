"""The notebook in docs/, run as it stands on a video of a face."""

import json
from fractions import Fraction

import numpy as np
import pytest
from skimage import data

from support.media import Sound, Video, beep, write_media
from support.pipeline import ROOT

NOTEBOOK = ROOT / "docs" / "video_to_plot.ipynb"


@pytest.mark.slow
def test_it_goes_from_a_video_to_a_plot_in_ten_lines(tmp_path, monkeypatch):
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    code = "\n".join("".join(cell["source"]) for cell in cells)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    image = np.ascontiguousarray(data.astronaut())
    video = Video([index / 25 for index in range(12)], lambda _: image, rate=Fraction(25))
    write_media(tmp_path / "interview.mp4", video, Sound(beep(0.1, 0.4, 16_000)))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(code, str(NOTEBOOK), "exec"), names)
    assert len(names["tables"]["videos"]) == 1 and len(names["frames"]) == 12
    curves = {curve.name: np.asarray(curve.y) for curve in names["figure"].data}
    assert sorted(curves) == sorted(names["expressions"])
    assert np.allclose(sum(curves.values()), 1, atol=1e-3)
    assert np.mean(curves["Happiness"]) > 0.5, "the portrait smiles"
