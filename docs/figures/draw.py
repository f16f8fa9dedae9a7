"""The pictures of the README, from an analysis of a video of the demo. They show the public-domain portrait that the demo is rendered from.

make demo
rm -r results/demo/runs/lfan/unimodal    # one variant is enough to look at
.venv/bin/wildaffect run results/demo/corpus/demo/videos/104.mp4 --people 2 --trained results/demo/runs --output results/portraits
.venv/bin/python docs/figures/draw.py results/portraits
"""

import io
import sys
import tempfile
from pathlib import Path

import av
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from support.browser import Browser, chromium  # noqa: E402

SECOND = 6.5
"""Time that the video's page and the overlay show."""


def seen(browser: Browser, page: Path) -> Image.Image:
    """The page of a video at `SECOND`."""
    browser.open(page, 1200, height=940)
    browser.wait(f"viewer.state.playable && (viewer.seek(frameAt(viewer.times, {SECOND})), true)", 60)
    browser.wait("new Promise((done) => setTimeout(() => done(true), 2000))")  # the browser shows what was sought
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        browser.image(Path(file.name))
        return Image.open(io.BytesIO(Path(file.name).read_bytes()))


def frame_at(video: Path, second: float) -> Image.Image:
    """The first frame that is shown from ``second`` on."""
    with av.open(str(video)) as container:
        return next(frame.to_image() for frame in container.decode(video=0) if frame.time >= second)


def main(analysis: Path) -> None:
    """Write all pictures beside this file."""
    results = analysis.resolve() / "results"
    (overlay,) = (results / "faces" / "overlays").glob("*.mp4")
    page = results / "report" / "videos" / overlay.stem / "index.html"
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
        pictures = {"page": seen(browser, page)}
    pictures["overlay"] = frame_at(overlay, SECOND)
    pictures["sheet"] = Image.open(results / "faces" / "sheets" / f"{overlay.stem}#1.jpg")
    for name, picture in pictures.items():
        picture.convert("RGB").save(HERE / f"{name}.webp", quality=85, method=6)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
