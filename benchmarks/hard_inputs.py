"""Small media files that readers get wrong, each with its right answer by construction.

Unless an input says otherwise it has 50 frames of 96x64, 25 per second, dark with a bright top left quarter; frame 25 is white, and the
audio has a beep of 20 ms that starts with that frame.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from support.media import Sound, Video, beep, flat, join, write_media, write_streams

WIDTH, HEIGHT, RATE = 96, 64, 25
FRAMES, FLASH = 50, 25
AUDIO_RATE = 48_000


@dataclass(frozen=True)
class Truth:
    """What a reader should find.

    Attributes:
        frames: Numbers of frames that are right; (0,): the file has to be refused.
        last_s: Time of the last frame after the first.
        flash: Index of the white frame.
        flash_s: Its time after the first.
        beep_s: Start of the beep after the white frame; None: there is no audio.
        size: Width and height of the last image, upright.
        told: Something is missing, and the reader has to say so.
    """

    frames: tuple[int, ...] = (FRAMES,)
    last_s: float = (FRAMES - 1) / RATE
    flash: int = FLASH
    flash_s: float = FLASH / RATE
    beep_s: float | None = 0.0
    size: tuple[int, int] = (WIDTH, HEIGHT)
    told: bool = False


REFUSED = Truth(frames=(0,), told=True)


@dataclass(frozen=True)
class Input:
    """One file.

    Attributes:
        name: What it is called in the table.
        about: What is hard about it.
        make: Writes it to a path.
        truth: The right answer.
        file: File name where it is not the input's.
    """

    name: str
    about: str
    make: Callable[[Path], object]
    truth: Truth = Truth()
    file: str = ""

    def write(self, folder: Path) -> Path:
        """Make the file in a folder of its own."""
        path = folder / Path(self.name).stem / (self.file or self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.make(path)
        return path


def scene(flash: int | None = FLASH, width: int = WIDTH, height: int = HEIGHT) -> Callable[[int], np.ndarray]:
    """Dark images with a bright top left quarter, and one white image."""

    def image(index: int) -> np.ndarray:
        dark = flat(40, width, height)
        dark[: height // 2, : width // 2] = 160
        return flat(235, width, height) if index == flash else dark

    return image


def every(count: int = FRAMES, start: float = 0.0) -> list[float]:
    return [start + index / RATE for index in range(count)]


def video(times: Sequence[float] | None = None, picture: Callable[[int], np.ndarray] | None = None, **options) -> Video:
    settings = {"options": {"bf": "0"}, "rate": Fraction(RATE), "tick": Fraction(1, RATE)} | options
    return Video(every() if times is None else times, picture or scene(), **settings)


def audio(at_s: float = FLASH / RATE, length_s: float = FRAMES / RATE, codec: str = "pcm_s16le", **options) -> Sound:
    return Sound(beep(at_s, length_s, AUDIO_RATE), rate=AUDIO_RATE, codec=codec, **options)


def write(picture: Video | None = None, sound: Sound | None = None, **muxer: str) -> Callable[[Path], Path]:
    return lambda path: write_media(path, picture, sound, **muxer)


def write_turned(rotation: int, *, mirrored: bool = False) -> Callable[[Path], Path]:
    """A file whose stored images are turned, and that says so."""

    def stored(index: int) -> np.ndarray:
        shown = scene()(index)
        return np.ascontiguousarray(np.rot90(shown[:, ::-1] if mirrored else shown, -rotation // 90))

    return write(video(picture=stored, rotation=rotation, hflip=mirrored), audio(codec="aac"))


def remux(path: Path, sources: Iterable[Path], move: Callable[[int, av.Packet], None]) -> Path:
    """Packets of several files of the same streams in one, with other timestamps; ``move`` gets the number of the file."""
    sources = list(sources)
    with av.open(str(path), "w") as output:
        with av.open(str(sources[0])) as first:
            streams = [output.add_stream_from_template(stream) for stream in first.streams]
        for number, source in enumerate(sources):
            with av.open(str(source)) as container:
                for packet in container.demux():
                    if packet.size:
                        move(number, packet)
                        packet.stream = streams[packet.stream.index]
                        output.mux(packet)
    return path


def in_seconds(packet: av.Packet, seconds: float) -> int:
    return round(seconds / packet.time_base)


def write_edit_list(path: Path) -> Path:
    """Ten frames, and their audio, are stored but not shown."""
    whole = write_media(path.with_name("whole.mp4"), video(options={"bf": "2"}), audio(codec="aac"))

    def earlier(_: int, packet: av.Packet) -> None:
        packet.pts, packet.dts = (stamp - in_seconds(packet, 0.4) for stamp in (packet.pts, packet.dts))

    return remux(path, [whole], earlier)


def write_duplicate(path: Path) -> Path:
    """Frame 30 has the timestamp of frame 29."""
    steady = write_media(path.with_name("steady.mkv"), video(), audio())
    stamps: list[int] = []

    def repeat(_: int, packet: av.Packet) -> None:
        if packet.stream.type == "video":
            stamps.append(packet.pts)
            packet.pts = packet.dts = stamps[29] if len(stamps) == 31 else packet.pts

    return remux(path, [steady], repeat)


def write_restart(path: Path) -> Path:
    """Two recordings of 45 frames in one file; flash and beep are in the second."""
    parts = [
        write_media(
            path.with_name(f"{flash}.ts"),
            video(every(45), scene(flash)),
            replace(audio(0.8, 1.8, "ac3"), samples=beep(0.8, 1.8, AUDIO_RATE) * (flash is not None)),
        )
        for flash in (None, 20)
    ]
    return join(path, parts)


def write_turned_phone(path: Path) -> Path:
    """20 frames lying, then 30 standing, on one clock."""
    # From 1 s on: encoders of audio begin a little early, and a file that would begin before 0 is moved.
    parts = [
        write_media(path.with_name("lying.ts"), video(every(20, 1), scene(None)), audio(1, 0.8, "ac3", start_s=1)),
        write_media(
            path.with_name("standing.ts"),
            video(every(30, 1.8), scene(5, HEIGHT, WIDTH)),
            audio(0.2, 1.2, "ac3", start_s=1.8),
        ),
    ]
    return join(path, parts)


def write_growing(path: Path) -> Path:
    """As a video call begins: 10 frames of a small size, then 40 of twice that."""
    fast = {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}, "tick": Fraction(1, 1000)}
    parts = [
        write_media(path.with_name("small.webm"), video(every(10), scene(None, WIDTH // 2, HEIGHT // 2), **fast)),
        write_media(path.with_name("large.webm"), video(every(40), scene(15), **fast)),
    ]

    def later(number: int, packet: av.Packet) -> None:
        packet.pts = packet.dts = packet.pts + number * in_seconds(packet, 0.4)

    return remux(path, parts, later)


def write_cut_mkv(path: Path) -> Path:
    """Cut between frames 29 and 30."""
    write_media(path, video(), audio())
    with av.open(str(path)) as container:
        end = [packet.pos for packet in container.demux(video=0) if packet.size][30]
    path.write_bytes(path.read_bytes()[:end])
    return path


def write_cut_mp4(path: Path) -> Path:
    """The second half, in which the index lies, is missing."""
    write_media(path, video(), audio(codec="aac"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def write_corrupt(path: Path) -> Path:
    """The packet of frame 35 is zeros; every frame is coded by itself."""
    write_media(path, video(options={"bf": "0", "g": "1"}), audio(codec="aac"))
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][35]
    content = bytearray(path.read_bytes())
    content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(content)
    return path


def write_cover(path: Path) -> Path:
    """A single JPEG, not marked as a cover, before the video."""
    cover = Video([0.0], lambda _: flat(90, 120, 80), codec="mjpeg", pixel_format="yuvj420p", rate=Fraction(RATE))
    return write_streams(path, [cover, video()], [audio(codec="aac")], defaults=[0, 1, 2])


def write_two_audios(path: Path) -> Path:
    """Silence first; the second audio is the default one."""
    silence = replace(audio(), samples=np.zeros((1, 2 * AUDIO_RATE)))
    return write_streams(path, [video()], [silence, audio()], defaults=[0, 2])


def write_cut_start(path: Path) -> Path:
    """Packets 0 to 4 of the video, the keyframe among them, are missing; the next keyframe is frame 10."""
    whole = write_media(
        path.with_name("whole.ts"), video(every(start=1), options={"bf": "0", "g": "10"}), audio(codec="ac3", start_s=1)
    )
    with av.open(str(whole)) as container:
        late = [packet.pts for packet in container.demux(video=0) if packet.size][5]
    with av.open(str(path), "w") as output, av.open(str(whole)) as container:
        streams = [output.add_stream_from_template(stream) for stream in container.streams]
        for packet in container.demux():
            if packet.size and packet.pts >= late:
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    return path


def write_two(path: Path) -> Path:
    """A small preview first; the second video is the default one."""
    preview = video(every(20), scene(None, WIDTH // 2, HEIGHT // 2))
    return write_streams(path, [preview, video()], [audio()], defaults=[1, 2])


# As telephones write that adapt to the light: steps of 20 to 500 ms, whole milliseconds.
UNEVEN = np.round(np.cumsum([0.0, *([0.033, 0.034, 0.02, 0.1, 0.04, 0.05, 0.5] * 7)]), 3).tolist()
MILLISECOND = Fraction(1, 1000)
FILM = Fraction(24_000, 1001)
DELAYS = np.cumsum([0.0, 0.1, 0.1, 0.5, 0.1, 0.2, 0.1, 0.1, 0.3, 0.1]).round(2).tolist()
KEPT = [index for index in range(FRAMES) if not 10 <= index < 16]

INPUTS = (
    Input("plain.mp4", "nothing: H.264 and AAC", write(video(), audio(codec="aac"))),
    Input(
        "variable_rate.mkv", "frames 20 to 500 ms apart",
        write(video(UNEVEN, tick=MILLISECOND), audio(UNEVEN[FLASH], UNEVEN[-1] + 0.5)),
        Truth(last_s=UNEVEN[-1], flash_s=UNEVEN[FLASH]),
    ),
    Input(
        "browser_recording.webm", "as a browser records: variable rate, no length, no index",
        write(
            video(UNEVEN, tick=MILLISECOND, codec="libvpx", options={"cpu-used": "8", "deadline": "realtime"}),
            audio(UNEVEN[FLASH], UNEVEN[-1] + 0.5, "libopus"), live="1",
        ),
        Truth(last_s=UNEVEN[-1], flash_s=UNEVEN[FLASH]),
    ),
    Input(
        "film_rate.mkv", "24000/1001 frames per second on a clock of milliseconds",
        write(
            video([float(index / FILM) for index in range(FRAMES)], rate=FILM, tick=1 / FILM), audio(float(FLASH / FILM), 2.1)
        ),
        Truth(last_s=float(49 / FILM), flash_s=float(FLASH / FILM)),
    ),
    Input("late_video.mp4", "the video starts 0.4 s after the audio", write(video(every(start=0.4)), audio(1.4, 2.4, "aac"))),
    Input(
        "late_audio.mkv", "the audio starts 0.5 s after the video, the beep 0.2 s after the flash",
        write(video(), audio(0.7, 1.5, start_s=0.5)), Truth(beep_s=0.2),
    ),
    Input("long_audio.mkv", "2 s of video, 5 s of audio", write(video(), audio(length_s=5))),
    Input("short_audio.mp4", "2 s of video, 1.2 s of audio", write(video(), audio(length_s=1.2, codec="aac"))),
    Input(
        "audio_gap.mkv", "0.4 s of audio are missing before the beep",
        write(video(), audio(blocks=[(0.0, 0, 14_400), (0.7, 33_600, 2 * AUDIO_RATE)])),
    ),
    Input(
        "edit_list.mp4", "an edit list hides the first 0.4 s", write_edit_list,
        Truth(frames=(40,), last_s=39 / RATE, flash=15, flash_s=15 / RATE),
    ),
    Input(
        "open_gop.mp4", "B-frames that refer across keyframes",
        write(video(options={"bf": "3", "g": "12", "x264-params": "open-gop=1:b-adapt=0"}), audio(codec="aac")),
    ),
    Input(
        "negative_dts.mp4", "B-frames with decoding times below zero",
        write(video(options={"bf": "3"}), audio(codec="aac"), movflags="negative_cts_offsets"),
    ),
    Input(
        "fragmented.mp4", "fragments, no length in the header",
        write(video(options={"bf": "0", "g": "10"}), audio(codec="aac"), movflags="frag_keyframe+empty_moov+default_base_moof+delay_moov"),
    ),
    Input("rotated_90.mp4", "stored lying, to be turned by 90 degrees", write_turned(90)),
    Input("rotated_180.mov", "stored upside down", write_turned(180)),
    Input("mirrored.mp4", "stored mirrored and turned by 270 degrees", write_turned(270, mirrored=True)),
    Input(
        "late_clock.ts", "a transport stream whose clock starts at 1000 s, the video 0.4 s after the audio",
        write(video(every(start=1000.4)), audio(1.4, 2.4, "ac3", start_s=1000)),
    ),
    Input(
        "clock_restart.ts", "two recordings in one file, the clock starts again", write_restart,
        Truth(frames=(90,), last_s=89 / RATE, flash=65, flash_s=65 / RATE),
    ),
    Input(
        "program_stream.mpg", "MPEG-2 with B-frames in a program stream",
        write(video(codec="mpeg2video", options={"bf": "2"}), audio(codec="mp2")),
    ),
    Input("b_frames.avi", "H.264 with B-frames in a format without presentation times", write(video(options={"bf": "3"}), audio())),
    Input(
        "dropped_frames.avi", "six frames were not recorded",
        write(video([index / RATE for index in KEPT], lambda row: scene()(KEPT[row])), audio()),
        Truth(frames=(44,), flash=19),
    ),
    Input("duplicate_times.mkv", "two frames have the same timestamp", write_duplicate),
    Input(
        "no_times.h264", "a raw stream without timestamps", write(video(), container="h264"), Truth(beep_s=None),
    ),
    Input("truncated.mkv", "cut off after 30 frames", write_cut_mkv, Truth(frames=(30,), last_s=29 / RATE, told=True)),
    Input("truncated.mp4", "cut off, the index is lost", write_cut_mp4, REFUSED),
    Input("corrupt_packet.mp4", "one packet is damaged", write_corrupt, Truth(frames=(49, 50), told=True)),
    Input("no_audio.mp4", "no audio", write(video()), Truth(beep_s=None)),
    Input("audio_only.m4a", "no video", write(None, audio(codec="aac")), REFUSED),
    Input("cover_first.mp4", "a single picture before the video, not marked as a cover", write_cover),
    Input("two_videos.mkv", "a preview of 20 frames first, the second video is the default", write_two),
    Input("two_audios.mkv", "silence first, the second audio is the default", write_two_audios),
    Input(
        "cut_start.ts", "begins between two keyframes, as a cut-out of a broadcast", write_cut_start,
        Truth(frames=(40,), last_s=39 / RATE, flash=15, flash_s=15 / RATE),
    ),
    Input(
        "ten_bit_odd.mkv", "10 bit, 97x65, pixels of 4:3",
        write(video(picture=scene(FLASH, 97, 65), pixel_format="yuv444p10le", sample_aspect=Fraction(4, 3)), audio()),
        Truth(size=(97, 65)),
    ),
    Input(
        "interlaced.ts", "two fields per frame", write(video(options={"bf": "0", "x264-params": "tff=1"}), audio(codec="ac3")),
    ),
    Input(
        "hidden_frames.mp4", "AV1, in which some coded frames are not shown",
        write(
            video(codec="libsvtav1", options={"preset": "12", "svtav1-params": "lp=1"}), audio(codec="aac"),
        ),
    ),
    Input(
        "alpha.webm", "VP9 with a plane of transparency",
        write(
            video(codec="libvpx-vp9", pixel_format="yuva420p", tick=MILLISECOND,
                  options={"cpu-used": "8", "deadline": "realtime", "auto-alt-ref": "0"}),
            audio(codec="libopus"),
        ),
    ),
    Input("growing.webm", "VP9 that changes from 48x32 to 96x64", write_growing, Truth(beep_s=None)),
    Input(
        "phone_turned.ts", "20 frames of 96x64, then 30 of 64x96", write_turned_phone, Truth(size=(HEIGHT, WIDTH)),
    ),
    Input(
        "animation.gif", "pictures that are shown for 0.1 to 0.5 s",
        write(video(DELAYS, scene(6), codec="gif", pixel_format="rgb8", options={}, tick=Fraction(1, 100))),
        Truth(frames=(10,), last_s=DELAYS[-1], flash=6, flash_s=DELAYS[6], beep_s=None),
    ),
    Input(
        "hostile_name.mp4", "a name with a percent sign, a colon, brackets and quotes", write(video(), audio(codec="aac")),
        file="-take %02d:1 [x] 'ü'.mp4",
    ),
    Input("empty.mp4", "no byte", lambda path: path.write_bytes(b""), REFUSED),
    Input("text.mp4", "text that is called a video", lambda path: path.write_text("This is no video.\n" * 50), REFUSED),
)  # fmt: skip
