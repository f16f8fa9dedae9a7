"""Hard media files through wildaffect and other readers: frames, times, audio against video, and what was said.

    python benchmarks/readers.py [--neighbours PYTHON]

writes docs/comparison.md in a few minutes. The files are made here (hard_inputs.py) with their right answers. PYTHON is an interpreter in
whose environment other tools are installed, so that they need not be in this one: `pip install decord torchcodec`, and
`pip install --no-deps` of fer and py-feat. Tools that cannot be imported there are listed as not installed. Every file goes through every
tool in a process of its own, so that a crash or a standstill is a result.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from importlib import import_module, metadata
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests"), str(Path(__file__).parent)]
PAGE = ROOT / "docs" / "comparison.md"
TIMEOUT_S = 120
# Times of containers are rounded, to 10 ms at worst.
TIME_TOLERANCE_S = 0.006
AUDIO_TOLERANCE_S = 0.02  # half a frame
QUIET = 0.1
FAR_S = 1000.0
SAID_LENGTH = 140
# What a table in Markdown would take for its own.
MARKS = str.maketrans("|`<>", "/'()")

# A frame as a tool gives it: time in seconds (None where it gives none) and image (H, W, channels).
Frame = tuple[float | None, np.ndarray]


def seen(frames: Iterable[Frame]) -> dict[str, Any]:
    """What was in the images."""
    times, levels, corner, size = [], [], None, None
    for time, image in frames:
        times.append(time)
        levels.append(float(image.mean()))
        height, width = image.shape[:2]
        size = [width, height]
        corner = corner or brightest_corner(image)
    found: dict[str, Any] = {"frames": len(levels)}
    if not levels:
        return found
    found |= {"size": size, "corner": corner, "flash": int(np.argmax(levels))}
    if None not in times:
        since = np.array(times) - times[0]
        found |= {"last_s": since[-1], "flash_s": since[found["flash"]], "increasing": bool((np.diff(since) > 0).all())}
        found["flash_at"] = times[found["flash"]]
    return found


def brightest_corner(image: np.ndarray) -> str:
    """Where the bright quarter is."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    quarters = {
        "top left": image[:height, :width],
        "top right": image[:height, -width:],
        "bottom left": image[-height:, :width],
        "bottom right": image[-height:, -width:],
    }
    return max(quarters, key=lambda name: float(quarters[name].mean()))


def heard(found: Mapping[str, Any], samples: np.ndarray, rate: int, start_s: float) -> dict[str, float]:
    """How long after the white frame the beep starts, by the tool's own times; nothing if there is none."""
    sizes = np.abs(samples)
    if "flash_at" not in found or sizes.max(initial=0) < QUIET:
        return {}
    return {"beep_s": start_s + int((sizes > sizes.max() / 2).argmax()) / rate - found["flash_at"]}


# Tools. None but the first need be installed, and named as text they are no dependency. What they found is returned; what they say goes to
# the standard error or is an exception.


def wildaffect(path: Path) -> dict[str, Any]:
    from wildaffect.media.audio import read_audio, write_audio
    from wildaffect.media.decode import decode
    from wildaffect.media.frames import read_frames, write_frame_table

    with tempfile.TemporaryDirectory() as name:
        table, track = Path(name) / "frames.parquet", Path(name) / "audio.flac"
        write_frame_table(path, table)
        write_audio(path, table, track)
        frames = read_frames(table)
        samples, rate, audio = read_audio(track)
    images = decode(path, view=frames.about.get("view"))
    found = seen(zip(frames.times, (image for _, image in images), strict=True))
    if audio["audio_valid"]:
        found |= heard(found, samples, rate, 0.0)
    said = [frames.about["reason"]]
    said += [f"frames timed by rule {rule}: {count}" for rule, count in frames.about["repairs"].items()]
    said += [f"audio {flag}" for flag in audio["flags"]]
    if "streams" in frames.about:
        choice = frames.about["streams"]
        said.append(f"stream {choice['used']} of {choice['of']}: {choice['reason']}")
    if "changes" in frames.about:
        said.append(f"changes of the image's size: {frames.about['changed']}")
    return found | {"said": "; ".join(text for text in said if text)}


def opencv(path: Path) -> dict[str, Any]:
    import cv2

    def frames() -> Iterator[Frame]:
        while True:
            more, image = capture.read()
            if not more:
                return
            yield capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, image

    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        return {"frames": 0, "said": "isOpened() is False"}
    return seen(frames())


def decord(path: Path) -> dict[str, Any]:
    tool = import_module("decord")
    reader = tool.VideoReader(str(path), ctx=tool.cpu(0), num_threads=1)
    found = seen((float(reader.get_frame_timestamp(index)[0]), reader[index].asnumpy()) for index in range(len(reader)))
    with spoken():
        audio = tool.AudioReader(str(path), ctx=tool.cpu(0), sample_rate=48_000, mono=True)
        audio.add_padding()  # so that it starts at time 0, as the class AVReader does
        found |= heard(found, audio[:].asnumpy()[0], 48_000, 0.0)
    return found


def torchcodec(path: Path) -> dict[str, Any]:
    tool = import_module("torchcodec.decoders")
    decoder = tool.VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=1)
    frames = (decoder.get_frame_at(index) for index in range(len(decoder)))
    found = seen((frame.pts_seconds, frame.data.numpy()) for frame in frames)
    with spoken():
        audio = tool.AudioDecoder(str(path), num_channels=1).get_all_samples()
        found |= heard(found, audio.data.numpy()[0], audio.sample_rate, audio.pts_seconds)
    return found


def fer(path: Path) -> dict[str, Any]:
    """Its loop over the frames, with a detector that keeps the images instead of a network."""
    import cv2

    class Keeper:
        def __init__(self) -> None:
            self.images: list[np.ndarray] = []

        def _get_labels(self) -> dict:
            return {}

        def detect_emotions(self, image: np.ndarray) -> list:
            self.images.append(image)
            return [{"box": (0, 0, 1, 1), "emotions": {"neutral": 1.0}}]

    cv2.waitKey, cv2.destroyAllWindows = lambda *_: -1, lambda: None  # OpenCV without windows has none
    keeper = Keeper()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.chdir(folder),
    ):  # it leaves a file data.csv where it is called
        reader = import_module("fer.classes").Video(str(path.resolve()), outdir=folder)
        reader.analyze(keeper, save_frames=False, save_video=False, annotate_frames=False, zip_images=False)
    return seen((None, image) for image in keeper.images)


def py_feat(path: Path) -> dict[str, Any]:
    """The data set that its detectors read videos by; a time is index / frames per second, as it computes them."""
    reader = import_module("feat.data").VideoDataset(str(path))
    rate = reader.metadata["fps"]
    return seen((index / rate, reader[index]["Image"].numpy().transpose(1, 2, 0)) for index in range(len(reader)))


@contextlib.contextmanager
def spoken() -> Iterator[None]:
    """An error that is said, while what was found before stays found."""
    try:
        yield
    except Exception as error:
        print(f"audio: {in_words(error)}", file=sys.stderr)


class Tool(NamedTuple):
    """How a tool reads a file, its package, the module that has to be importable, and what is asked of it in words."""

    read: Callable[[Path], dict[str, Any]]
    package: str
    module: str
    asked: str


TOOLS = {
    "wildaffect": Tool(
        wildaffect, "wildaffect", "wildaffect",
        "`write_frame_table`, `write_audio` and `decode`, which the jobs `decode_frames`, `extract_audio` and those of faces call",
    ),
    "OpenCV": Tool(opencv, "opencv-python-headless", "cv2", "`VideoCapture.read`, and `CAP_PROP_POS_MSEC` after it; it reads no audio"),
    "decord": Tool(
        decord, "decord", "decord", "`VideoReader`, `get_frame_timestamp`, and `AudioReader` with `add_padding` (as its `AVReader`)",
    ),
    "torchcodec": Tool(
        torchcodec, "torchcodec", "torchcodec.decoders",
        "`VideoDecoder` in its exact mode, `get_frame_at` with `pts_seconds`; `AudioDecoder.get_all_samples` with `pts_seconds`",
    ),
    "fer": Tool(fer, "fer", "fer.classes", "`Video.analyze` with a stand-in for the network; it gives no times, and reads no audio"),
    "py-feat": Tool(py_feat, "py-feat", "feat.data", "`feat.data.VideoDataset`, times by index / frames per second; it reads no audio"),
}  # fmt: skip
WITH_AUDIO = ("wildaffect", "decord", "torchcodec")


def in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}"


def ask(read: Callable[[Path], dict[str, Any]], path: Path, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """The answer of a process of its own, with what it wrote to the standard error; a crash and a standstill are answers, too."""
    forks = multiprocessing.get_context("fork")  # so that a tool is imported once
    receiver, sender = forks.Pipe(duplex=False)
    with tempfile.TemporaryFile() as written:
        child = forks.Process(target=_reply, args=(read, path, sender, written.fileno()))
        child.start()
        sender.close()
        answered = receiver.poll(timeout_s)
        try:
            answer = json.loads(receiver.recv()) if answered else {"ended": f"no answer within {timeout_s:.0f} s"}
        except EOFError:
            child.join()
            answer = {"ended": f"the process ended with {child.exitcode}"}
        child.kill()
        child.join()
        written.seek(0)
        wrote = written.read().decode(errors="replace")
    return {"frames": None} | answer | {"said": answer.get("said") or tidy(wrote)}


def _reply(read: Callable[[Path], dict[str, Any]], path: Path, sender: Connection, stderr: int) -> None:
    os.dup2(stderr, 2)
    try:
        answer = read(path)
    except Exception as error:
        answer = {"frames": 0, "said": tidy(in_words(error))}
    sender.send(json.dumps(answer, default=float))


def tidy(text: str) -> str:
    """The first line of what a tool wrote, without progress bars, addresses and folders."""
    lines = [re.sub(r" ?@ ?0x[0-9a-f]+|\[\d\d:\d\d:\d\d\] ", "", line.strip()) for line in re.split(r"[\r\n]", text)]
    lines = [
        re.sub(r"(file:)?/\S*/", "", line)
        for line in lines
        if line and "frames/s]" not in line and "moviepy" not in line
    ]
    return lines[0][:SAID_LENGTH].translate(MARKS) if lines else ""


# What the functions below call an input and its truth are those of hard_inputs.py, which other interpreters need not be able to import.


def faults(truth: Any, answer: Mapping[str, Any]) -> list[str]:
    """What is wrong with an answer, in words; quantities that the tool does not give are not asked for."""
    if answer.get("ended"):
        return [answer["ended"]]
    count = answer["frames"]
    if truth.frames == (0,):
        return [] if count == 0 else [f"{count} frames"]
    if count == 0:
        return ["no frame"]
    wrong = [] if count in truth.frames else [f"{count} frames"]
    off = [
        ("last frame", answer.get("last_s"), truth.last_s, TIME_TOLERANCE_S),
        ("flash", answer.get("flash_s"), truth.flash_s, TIME_TOLERANCE_S),
        ("beep", answer.get("beep_s"), truth.beep_s, AUDIO_TOLERANCE_S),
    ]
    if answer["flash"] != truth.flash:
        wrong.append(f"flash in frame {answer['flash']}")
    for name, value, right, tolerance in off:
        if value is not None and right is not None and abs(value - right) > tolerance:
            far = abs(value - right) > FAR_S
            wrong.append(f"{name} far off" if far else f"{name} {1000 * (value - right):+.0f} ms")
    if answer.get("increasing") is False:
        wrong.append("times do not increase")
    if answer["corner"] != "top left":
        wrong.append("not upright")
    elif tuple(answer["size"]) != truth.size:
        wrong.append(f"image {answer['size'][0]}x{answer['size'][1]}")
    if truth.told and not answer["said"]:
        wrong.append("nothing said")
    return wrong


def verdict(truth: Any, answer: Mapping[str, Any], *, with_audio: bool) -> tuple[str, list[str]]:
    """One of: right, refused (though it can be read), wrong but said, wrong, crash; and what is wrong."""
    wrong = faults(truth, answer)
    if not wrong and with_audio and truth.beep_s is not None and "beep_s" not in answer and truth.frames != (0,):
        wrong = ["no beep"]
    if not wrong:
        return "right", []
    if answer.get("ended"):
        return "crash", wrong
    if wrong == ["no frame"] and answer["said"]:
        return "refused", wrong
    return ("wrong, said" if answer["said"] else "wrong"), wrong


# The page.


def versions(python: str) -> dict[str, str]:
    """Version of every tool that can be imported by an interpreter; wildaffect is this one."""
    found = {"wildaffect": metadata.version("wildaffect")}
    for name, tool in TOOLS.items():
        code = f"import {tool.module}; from importlib.metadata import version; print(version('{tool.package}'))"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True)
        if done.returncode == 0:
            found.setdefault(name, done.stdout.split()[-1])
    return found


def answers(tool: str, python: str, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """What a tool says about every file."""
    command = [python, str(Path(__file__).resolve()), "--measure", tool, *map(str, paths)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    return json.loads(done.stdout.splitlines()[-1])


def page(inputs: Sequence[Any], found: Mapping[tuple[str, str], Mapping[str, Any]], version: Mapping[str, str]) -> str:
    """The document."""
    judged = {
        (one.name, tool): verdict(one.truth, found[one.name, tool], with_audio=tool in WITH_AUDIO)
        for one in inputs
        for tool in TOOLS
        if tool in version
    }
    counts = {tool: Counter(judged[one.name, tool][0] for one in inputs) for tool in version}
    machine = f"{platform.system()}, Python {platform.python_version()}"
    tolerance = {"time": 1000 * TIME_TOLERANCE_S, "beep": 1000 * AUDIO_TOLERANCE_S}
    tools = [
        [tool, version[tool], *(str(counts[tool][kind]) for kind in KINDS)]
        if tool in version
        else [tool, "not installed", *[""] * len(KINDS)]
        for tool in TOOLS
    ]
    verdicts = [[f"`{one.name}`", one.about, *(cell(judged.get((one.name, tool))) for tool in TOOLS)] for one in inputs]
    parts = [
        HEAD.format(count=len(inputs), date=date.today().isoformat(), machine=machine, **tolerance),
        rows(["tool", "version", *KINDS], tools),
        "What each is asked:\n",
        "".join(f"- **{name}**: {tool.asked}.\n" for name, tool in TOOLS.items()),
        "## Verdicts\n",
        rows(["input", "what is hard", *TOOLS], verdicts),
        "## Right answers\n",
        rows(["input", *MEASURED], [right(one) for one in inputs]),
    ]
    for tool in version:
        table = rows(["input", *MEASURED, "said"], [measured(one, found[one.name, tool]) for one in inputs])
        parts += [f"## {tool} {version[tool]}\n", table]
    return "\n".join(parts)


HEAD = """# Hard files, here and elsewhere

{count} files that readers of videos get wrong, each made by a script with its right answer, go through the media stage of
this project and through other tools that people read videos with. Made on {date} ({machine}) by

    python benchmarks/readers.py --neighbours PYTHON

where PYTHON is an interpreter in whose environment the other tools are installed. Every file goes through every tool in a
process of its own.

Unless a file says otherwise, it has 50 frames at 25 per second, dark with a bright top left quarter, of which frame 25 is
white; a beep starts with that frame. A tool is asked only for what it gives, in the way of its own documentation that
serves it best. Times count from the tool's first frame and may be {time:.0f} ms off, the beep half a frame ({beep:.0f} ms).

- *Right*: all of it is right, the file is refused if there is nothing to read, and where something is missing the tool says so.
- *Refused*: an error, though the file can be read.
- *Wrong, said*: something is wrong, and the tool writes a message of some kind (of FFmpeg, a warning, a finding), about
  this fault or another one.
- *Wrong*: without a word.
- *Crash*: the process ended or did not answer.

The choice of files is ours, and they are such as this project has met: it has been mended where it was wrong, the others
have not had that chance. The other tools are readers for training or for images one by one, and some are not made for the
clock of the audio.
"""
KINDS = ("right", "refused", "wrong, said", "wrong", "crash")
MEASURED = ("frames", "last frame, s", "white frame", "at, s", "beep after it, ms", "image")


def rows(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cell(judged: tuple[str, list[str]] | None) -> str:
    if judged is None:
        return "not installed"
    kind, wrong = judged
    return kind if kind in ("right", "refused") else f"**{kind}**: {', '.join(wrong)}"


def number(value: float | None, factor: float = 1, digits: int = 3) -> str:
    return "" if value is None else f"{round(factor * value, digits) + 0.0:.{digits}f}"


def right(one: Any) -> list[str]:
    truth = one.truth
    if truth.frames == (0,):
        return [f"`{one.name}`", "to be refused", *[""] * 5]
    frames = " or ".join(map(str, truth.frames)) + (", to be said" if truth.told else "")
    times = [number(truth.last_s), str(truth.flash), number(truth.flash_s)]
    return [
        f"`{one.name}`",
        frames,
        *times,
        number(truth.beep_s, 1000, 0) or "no audio",
        "x".join(map(str, truth.size)),
    ]


def measured(one: Any, answer: Mapping[str, Any]) -> list[str]:
    values = [
        "" if answer["frames"] is None else str(answer["frames"]), number(answer.get("last_s")), str(answer.get("flash", "")),
        number(answer.get("flash_s")), number(answer.get("beep_s"), 1000, 0), "x".join(map(str, answer.get("size", ()))),
    ]  # fmt: skip
    return [
        f"`{one.name}`",
        *values,
        ": ".join(text for text in (answer.get("ended"), answer["said"]) if text),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neighbours", default=sys.executable, metavar="PYTHON", help="interpreter of the other tools")
    parser.add_argument(
        "--measure", nargs="+", metavar="WORD", help="print the answers of a tool, about files, as JSON"
    )
    options = parser.parse_args()
    if options.measure:
        name, *paths = options.measure
        tool = TOOLS[name]
        import_module(tool.module)
        print(f"\n{json.dumps([ask(tool.read, Path(path)) for path in paths])}")
        return
    from hard_inputs import INPUTS

    version = versions(options.neighbours)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = [one.write(Path(folder)) for one in INPUTS]
        for tool in version:
            replies = answers(tool, sys.executable if tool == "wildaffect" else options.neighbours, paths)
            found |= {(one.name, tool): reply for one, reply in zip(INPUTS, replies, strict=True)}
            print(tool, "has answered", flush=True)
    PAGE.write_text(page(INPUTS, found, version))
    print(PAGE)


if __name__ == "__main__":
    main()
