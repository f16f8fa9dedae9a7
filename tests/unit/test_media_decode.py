"""Decoded pictures: upright, right colours, same for any number of threads, flat memory."""

from fractions import Fraction

import av
import numpy as np
import pytest

from support.media import Sound, Video, beep, flat, write_media
from wildaffect.media.container import Orientation, from_matrix
from wildaffect.media.decode import decode
from wildaffect.media.frames import read_frames, write_frame_table

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 220, 30)


def quadrants(width: int = 96, height: int = 64) -> np.ndarray:
    """Red top left, green top right, blue bottom left, yellow bottom right."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = RED
    picture[: height // 2, width // 2 :] = GREEN
    picture[height // 2 :, : width // 2] = BLUE
    picture[height // 2 :, width // 2 :] = YELLOW
    return picture


def still(picture: np.ndarray, **options) -> Video:
    return Video([index / 25 for index in range(5)], lambda _: picture, rate=Fraction(25), **options)


def same(picture: np.ndarray, expected: np.ndarray) -> bool:
    return picture.shape == expected.shape and np.abs(picture.astype(int) - expected).mean() < 6


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_rotated_files_come_out_upright(tmp_path, name, angle):
    upright = quadrants()
    stored = np.ascontiguousarray(np.rot90(upright, -angle // 90))
    video = write_media(tmp_path / name, still(stored, rotation=angle))
    pictures = [picture for _, picture in decode(video)]
    assert len(pictures) == 5
    assert all(same(picture, upright) for picture in pictures)
    write_frame_table(video, tmp_path / "frames.parquet")
    about = read_frames(tmp_path / "frames.parquet").about
    assert (about["width"], about["height"]) == (96, 64)
    assert (about["stored_width"], about["stored_height"]) == stored.shape[1::-1]
    assert (about["rotation"], about["mirrored"]) == (angle, False)


@pytest.mark.parametrize(("hflip", "vflip"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_mirrored_files_come_out_upright(tmp_path, angle, hflip, vflip):
    stored = quadrants()
    shown = np.rot90(stored, angle // 90)
    shown = shown[:, ::-1] if hflip else shown
    shown = shown[::-1] if vflip else shown
    video = write_media(tmp_path / "a.mp4", still(stored, rotation=angle, hflip=hflip, vflip=vflip))
    assert all(same(picture, shown) for _, picture in decode(video))
    write_frame_table(video, tmp_path / "frames.parquet")
    about = read_frames(tmp_path / "frames.parquet").about
    assert about["mirrored"] == (hflip != vflip)
    told = np.rot90(stored[:, ::-1] if about["mirrored"] else stored, about["rotation"] // 90)
    assert (told == shown).all()


@pytest.mark.parametrize("angle", [angle for angle in range(0, 360, 5) if angle % 90 != 45])
def test_odd_angles_go_to_the_nearest_quarter(angle):
    cosine, sine = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    matrix = np.round(np.array([cosine, -sine, 0, sine, cosine, 0, 0, 0, 1]) * 65536).astype(np.int32)
    turn = from_matrix(matrix)
    assert turn.rotation == round(angle / 90) % 4 * 90
    assert not turn.mirrored
    picture = quadrants(6, 4)
    assert (turn.apply(picture) == np.rot90(picture, turn.rotation // 90)).all()


def test_orientation_without_a_turn_is_the_picture_itself():
    picture = quadrants()
    assert Orientation().apply(picture) is picture
    for turn in (Orientation(transpose=True), Orientation(mirror_x=True), Orientation(mirror_y=True)):
        assert turn.apply(picture).flags.c_contiguous


@pytest.mark.parametrize(("width", "height"), [(97, 65), (95, 63), (33, 47)])
@pytest.mark.parametrize(("codec", "pixel_format"), [("ffv1", "yuv420p"), ("ffv1", "gray"), ("ffv1", "bgr0")])
def test_odd_sizes(tmp_path, width, height, codec, pixel_format):
    picture = quadrants(width, height)
    video = write_media(tmp_path / "a.mkv", still(picture, codec=codec, pixel_format=pixel_format))
    for _, decoded in decode(video):
        assert decoded.shape == (height, width, 3)
        if pixel_format != "gray":
            assert same(decoded, picture)
        else:
            assert (decoded[..., 0] == decoded[..., 2]).all()


def test_ten_bit_colours(tmp_path):
    video = write_media(tmp_path / "a.mkv", still(quadrants(), pixel_format="yuv420p10le"))
    assert all(same(picture, quadrants()) for _, picture in decode(video))


def test_change_of_size_is_scaled_to_the_first(tmp_path):
    parts = []
    for number, size in enumerate([(96, 64), (48, 32)]):
        part = write_media(tmp_path / f"{number}.h264", still(quadrants(*size)), container="h264")
        parts.append(part.read_bytes())
    joined = tmp_path / "joined.h264"
    joined.write_bytes(b"".join(parts))
    pictures = [picture for _, picture in decode(joined)]
    assert len(pictures) == 10
    assert all(picture.shape == (64, 96, 3) for picture in pictures)
    assert same(pictures[0], pictures[-1])
    write_frame_table(joined, tmp_path / "frames.parquet")
    about = read_frames(tmp_path / "frames.parquet").about
    assert (about["frames"], about["resized_frames"], about["width"]) == (10, 5, 96)


def noisy(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 255, (64, 96, 3), dtype=np.uint8)


def test_pictures_do_not_depend_on_threads(tmp_path):
    video = Video([index / 25 for index in range(40)], noisy, options={"bf": "2"}, rate=Fraction(25))
    path = write_media(tmp_path / "a.mp4", video, Sound(beep(0.1, 1.6, 16_000, 2), codec="aac"))
    with av.open(str(path)) as opened:
        reference = [frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)]
    for threads in (1, 2, 5):
        pictures = list(decode(path, threads))
        assert [index for index, _ in pictures] == list(range(40))
        assert all((picture == other).all() for (_, picture), other in zip(pictures, reference, strict=True))


def test_threads_reach_the_decoder(tmp_path, monkeypatch):
    import wildaffect.media.decode as module

    path = write_media(tmp_path / "a.mp4", Video([0, 0.04, 0.08], noisy))
    seen = []

    def spy(container, stream, tally, threads=1):
        for frame in original(container, stream, tally, threads):
            seen.append((stream.codec_context.thread_count, str(stream.codec_context.thread_type)))
            yield frame

    original = module.decoded
    monkeypatch.setattr(module, "decoded", spy)
    list(decode(path, 3))
    assert seen == [(3, "ThreadType.AUTO")] * 3
    seen.clear()
    list(decode(path, 1))
    assert {count for count, _ in seen} == {1}


def test_cover_picture_is_no_video(tmp_path):
    """A sound file with a cover has one stream that looks like video."""
    cover = tmp_path / "cover.png"
    with av.open(str(cover), "w", format="image2") as output:
        stream = output.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(flat(100), format="rgb24")))
    song = tmp_path / "song.mp4"
    with av.open(str(song), "w") as output, av.open(str(cover)) as picture:
        sound = output.add_stream("aac", rate=16_000, layout="mono")
        art = output.add_stream_from_template(picture.streams.video[0])
        art.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        output.mux(sound.encode(frame))
        for packet in picture.demux(video=0):
            if packet.size:
                packet.stream = art
                output.mux(packet)
        output.mux(sound.encode(None))
    assert list(decode(song)) == []
    write_frame_table(song, tmp_path / "frames.parquet")
    about = read_frames(tmp_path / "frames.parquet").about
    assert (about["status"], about["reason"]) == ("unreadable", "the file has no video stream.")


def test_stopping_early_closes_the_file(tmp_path):
    path = write_media(tmp_path / "a.mp4", Video([index / 25 for index in range(20)], noisy))
    pictures = decode(path)
    next(pictures)
    pictures.close()
    assert len(list(decode(path))) == 20
