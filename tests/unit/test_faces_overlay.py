"""The overlay video: true times, and what is drawn where."""

from fractions import Fraction

import av
import numpy as np
import pytest

from support.faces import face, scene, write_detections
from support.media import Sound, Video, beep, counted, onset, write_media
from wildaffect.errors import InputError
from wildaffect.faces.options import TrackingOptions
from wildaffect.faces.persons import assign_persons
from wildaffect.faces.previews import COLOURS, PEOPLE, Drawing, Values, draw_overlay, draw_persons
from wildaffect.faces.tables import read_trial
from wildaffect.media.audio import read_audio, write_audio
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
        drawn = draw_persons(picture, Drawing({"v_left": rows}), frame, scale=0.5)
        x0, y0, x1, y1 = np.round(rows.boxes[frame] / 2).astype(int)
        for x, y in ((x0, (y0 + y1) // 2), (x1, (y0 + y1) // 2), ((x0 + x1) // 2, y1)):
            assert drawn[y, x].tolist() == list(COLOURS[source])
        nose = np.round(rows.points5[frame, 2] / 2).astype(int)
        assert drawn[nose[1], nose[0]].tolist() == list(COLOURS[source])
    assert (picture == 90).all()


def test_absent_persons_are_named_only(folder):
    absent = read_trial(folder / "p.parquet", "v")
    assert (absent.source == "none").all()
    drawn = draw_persons(np.zeros((180, 320, 3), np.uint8), Drawing({"v": absent}), 3)
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


def people(folder):
    """Tables of a video with two people and room for a third."""
    frames = list(range(FRAMES))
    detections, _ = scene(face(frames[:20], 150, side=80.0), face(frames, 450, side=80.0))
    write_detections(folder / "d.parquet", detections, FRAMES)
    trials = {f"v#{number}": str(number) for number in (1, 2, 3)}
    assign_persons(folder / "d.parquet", folder / "f.parquet", trials, folder / "p.parquet", options=TrackingOptions())
    return {trial: read_trial(folder / "p.parquet", trial) for trial in trials}


def test_people_have_colours_of_their_own_and_values_a_trail(folder):
    rows = people(folder)
    x0, y0, _, y1 = np.round(rows["v#1"].boxes[3]).astype(int)
    assert x0 > 300, "the first is the one who is seen longest"
    picture = np.full((360, 640, 3), 90, np.uint8)
    values = {"v#1": Values(np.full(FRAMES, 0.5), np.full(FRAMES, -0.5), ("joy 80%",) * FRAMES)}
    drawing = Drawing({name: rows[name] for name in ("v#1", "v#2")}, {"v#1": PEOPLE[0], "v#2": PEOPLE[1]}, values)
    drawn = draw_persons(picture, drawing, 3)
    assert drawn[(y0 + y1) // 2, x0].tolist() == list(PEOPLE[0])
    side = 84
    # Valence to the right, arousal up: 0.5 and -0.5 lie in the lower right quarter of the square.
    square = drawn[360 - 6 - side : 360 - 6, 640 - 6 - side : 640 - 6]
    assert square[60, 60].tolist() == list(PEOPLE[0])
    assert square[23, 23].tolist() not in [list(colour) for colour in PEOPLE]
    below = drawn[y1 + 4 : y1 + 40, x0 : x0 + 60]
    assert (below == PEOPLE[0]).all(axis=2).any(), "the values stand below the box"


def test_nothing_is_drawn_of_values_without_a_face(folder):
    picture = np.full((360, 640, 3), 90, np.uint8)
    absent = read_trial(folder / "p.parquet", "v")
    values = Values(np.full(FRAMES, 0.5), np.full(FRAMES, -0.5), ("joy 80%",) * FRAMES)
    assert (absent.source == "none").all()
    drawn = draw_persons(picture, Drawing({"v": absent}, {}, {"v": values}), 3)
    assert (drawn[200:330] == 90).all(), "not even the square"
    rows = people(folder)["v#2"]
    faceless = rows.source == "none"
    frame = int(np.flatnonzero(faceless)[0])
    assert 0 < frame < FRAMES
    # To the left, without a face; to the right before.
    moved = Values(np.where(faceless, -0.5, 0.5), np.linspace(-0.8, 0.8, FRAMES), ())
    drawn = draw_persons(picture, Drawing({"v#2": rows}, {"v#2": PEOPLE[1]}, {"v#2": moved}), frame)
    square = drawn[360 - 90 : 354, 640 - 90 : 634].astype(int)
    # What has a colour is of the person: the square and its axes are grey.
    coloured = np.ptp(square, axis=2) > 40
    assert coloured[:, 43:].any() and not coloured[:, :41].any()


def test_who_is_not_there_is_not_drawn(folder):
    people(folder)
    draw_overlay(folder / "v.mp4", folder / "f.parquet", folder / "p.parquet", folder / "o.mp4")
    with av.open(str(folder / "o.mp4")) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")
    # Absent persons of the other kind are named in the upper left corner.
    assert np.abs(first[:30, :120].astype(int) - 90).max() < 40


@pytest.mark.parametrize("rate", [16_000, 96_000])
def test_audio_is_kept_in_step_with_the_frames(folder, rate):
    write_media(
        folder / "v2.mkv",
        Video([i / 25 for i in range(50)], counted, rate=Fraction(25)),
        Sound(beep(0.8, 2.0, rate), rate),
    )
    write_frame_table(folder / "v2.mkv", folder / "f2.parquet")
    write_audio(folder / "v2.mkv", folder / "f2.parquet", folder / "a.flac")
    write_detections(folder / "d2.parquet", scene(face([0], 150))[0], 50)
    assign_persons(
        folder / "d2.parquet", folder / "f2.parquet", {"v": "main"}, folder / "p2.parquet", options=TrackingOptions()
    )
    draw_overlay(
        folder / "v2.mkv", folder / "f2.parquet", folder / "p2.parquet", folder / "o.mp4", audio=folder / "a.flac"
    )
    with av.open(str(folder / "o.mp4")) as container:
        assert {stream.codec_context.name for stream in container.streams} == {"h264", "aac"}
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    write_frame_table(folder / "o.mp4", folder / "of.parquet")
    write_audio(folder / "o.mp4", folder / "of.parquet", folder / "oa.flac")
    samples, kept, _ = read_audio(folder / "oa.flac")
    assert kept == min(rate, 48_000) and abs(onset(samples, kept) - 0.8) < 0.03
