"""The overlay video: true times, and what is drawn where."""

from fractions import Fraction

import av
import numpy as np
import pytest

from support.faces import face, scene, write_detections
from wildaffect.errors import InputError
from wildaffect.faces.options import TrackingOptions
from wildaffect.faces.persons import assign_persons
from wildaffect.faces.previews import COLOURS, draw_overlay, draw_persons
from wildaffect.faces.tables import read_trial
from wildaffect.media.frames import read_frames, write_frame_table

FRAMES, GAP = 30, range(10, 14)


def write_uneven_video(path, count=FRAMES, width=640, height=360):
    """Grey pictures at 1/25 s, every fifth one shown twice as long."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index in range(count):
            picture = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), format="rgb24")
            picture.pts, picture.time_base = 40 * (index + index // 5), Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.fixture
def folder(tmp_path):
    """A video of uneven times with one face that is missing for four frames, and a trial that never is there."""
    write_frame_table(write_uneven_video(tmp_path / "v.mp4"), tmp_path / "f.parquet")
    frames = [frame for frame in range(FRAMES) if frame not in GAP]
    detections, _ = scene(face(frames, 200 + np.array(frames), side=80.0))
    write_detections(tmp_path / "d.parquet", detections, FRAMES)
    trials = {"v": "main", "v_left": "left"}
    assign_persons(
        tmp_path / "d.parquet", tmp_path / "f.parquet", trials, tmp_path / "p.parquet", options=TrackingOptions()
    )
    return tmp_path


def test_overlay_keeps_every_frame_at_its_time(folder):
    output = folder / "o.mp4"
    draw_overlay(folder / "v.mp4", folder / "f.parquet", folder / "p.parquet", output)
    write_frame_table(output, folder / "of.parquet")
    copied, original = read_frames(folder / "of.parquet"), read_frames(folder / "f.parquet")
    np.testing.assert_allclose(copied.times, original.times, atol=1e-3)
    assert copied.about["codec"] == "h264"
    assert (copied.about["width"], copied.about["height"]) == (640, 360)
    assert np.ptp(np.diff(original.times)) > 0.03


def test_large_pictures_are_shrunk(tmp_path, folder):
    write_frame_table(write_uneven_video(tmp_path / "big.mp4", width=1922, height=1082), tmp_path / "f.parquet")
    draw_overlay(tmp_path / "big.mp4", tmp_path / "f.parquet", folder / "p.parquet", tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (960, 540)


def test_boxes_are_drawn_in_the_colour_of_their_source(folder):
    rows = read_trial(folder / "p.parquet", "v_left")
    picture = np.full((180, 320, 3), 90, np.uint8)
    for frame, source in ((5, "detected"), (11, "interpolated")):
        assert rows.source[frame] == source
        drawn = draw_persons(picture, {"v_left": rows}, frame, scale=0.5)
        x0, y0, x1, y1 = np.round(rows.boxes[frame] / 2).astype(int)
        for x, y in ((x0, (y0 + y1) // 2), (x1, (y0 + y1) // 2), ((x0 + x1) // 2, y1)):
            assert drawn[y, x].tolist() == list(COLOURS[source])
        nose = np.round(rows.points5[frame, 2] / 2).astype(int)
        assert drawn[nose[1], nose[0]].tolist() == list(COLOURS[source])
    assert (picture == 90).all()


def test_absent_persons_are_named_only(folder):
    absent = read_trial(folder / "p.parquet", "v")
    assert (absent.source == "none").all()
    drawn = draw_persons(np.zeros((180, 320, 3), np.uint8), {"v": absent}, 3)
    assert drawn[:30].max() > 100
    assert drawn[60:150].max() == 0


def test_refusals_and_empty_videos(folder, tmp_path):
    write_frame_table(write_uneven_video(tmp_path / "short.mp4", 12), tmp_path / "sf.parquet")
    with pytest.raises(InputError, match="12 frames decoded"):
        draw_overlay(tmp_path / "short.mp4", folder / "f.parquet", folder / "p.parquet", tmp_path / "o.mp4")
    assert not (tmp_path / "o.mp4").exists()
    (tmp_path / "none.mp4").write_bytes(b"no video")
    write_frame_table(tmp_path / "none.mp4", tmp_path / "nf.parquet")
    draw_overlay(tmp_path / "none.mp4", tmp_path / "nf.parquet", folder / "p.parquet", tmp_path / "o.mp4")
    assert (tmp_path / "o.mp4").read_bytes() == b""
