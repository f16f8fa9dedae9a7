"""The comparison with other readers: its inputs have the answers that they claim, and its document lists them all."""

import os
import re
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import readers
from hard_inputs import INPUTS, Truth

UNREADABLE = r"cannot be opened as a video|no video stream|the file is empty"


@pytest.mark.parametrize("one", INPUTS, ids=lambda one: one.name)
def test_hard_files_are_read_as_they_were_made(tmp_path, one):
    answer = readers.wildaffect(one.write(tmp_path))
    assert readers.verdict(one.truth, answer, with_audio=True) == ("right", [])
    assert bool(re.search(UNREADABLE, answer["said"])) == (one.truth.frames == (0,))


def test_the_page_has_every_input(root):
    page = (root / "docs" / "comparison.md").read_text()
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert len(sections) >= 3  # verdicts, right answers, wildaffect
    for section in sections:
        assert re.findall(r"^\| `(.+?)` \|", section, re.MULTILINE) == [one.name for one in INPUTS]
    told = dict(re.findall(r"^\| `(.+?)` \| .+? \| (.+?) \|", sections[0], re.MULTILINE))
    assert set(told.values()) == {"right"}


RIGHT = {
    "frames": 50, "flash": 25, "last_s": 1.96, "flash_s": 1.0, "beep_s": 0.0, "size": [96, 64], "corner": "top left",
    "increasing": True, "said": "",
}  # fmt: skip


@pytest.mark.parametrize(
    ("truth", "change", "kind", "wrong"),
    [
        (Truth(), {}, "right", []),
        (Truth(), {"frames": 49}, "wrong", ["49 frames"]),
        (Truth(), {"flash_s": 1.04, "said": "a warning"}, "wrong, said", ["flash +40 ms"]),
        (Truth(), {"last_s": 1.9}, "wrong", ["last frame -60 ms"]),
        (Truth(), {"last_s": 1e14}, "wrong", ["last frame far off"]),
        (Truth(), {"beep_s": 0.03}, "wrong", ["beep +30 ms"]),
        (Truth(), {"flash": 26}, "wrong", ["flash in frame 26"]),
        (Truth(), {"increasing": False}, "wrong", ["times do not increase"]),
        (Truth(), {"corner": "top right"}, "wrong", ["not upright"]),
        (Truth(), {"size": [64, 96]}, "wrong", ["image 64x96"]),
        (Truth(told=True), {}, "wrong", ["nothing said"]),
        (Truth(told=True), {"said": "cut off"}, "right", []),
        (Truth(), {"frames": 0, "said": "cannot"}, "refused", ["no frame"]),
        (Truth(frames=(0,)), {"frames": 0, "said": "cannot"}, "right", []),
        (Truth(frames=(0,)), {}, "wrong", ["50 frames"]),
        (Truth(), {"frames": None, "ended": "the process ended with -11"}, "crash", ["the process ended with -11"]),
    ],
)
def test_verdicts(truth, change, kind, wrong):
    assert readers.verdict(truth, RIGHT | change, with_audio=True) == (kind, wrong)


def test_what_a_tool_does_not_give_is_not_asked():
    silent = {name: value for name, value in RIGHT.items() if name not in ("beep_s", "last_s", "flash_s")}
    assert readers.verdict(Truth(), silent, with_audio=False) == ("right", [])
    assert readers.verdict(Truth(), silent, with_audio=True) == ("wrong", ["no beep"])
    assert readers.verdict(replace(Truth(), beep_s=None), silent, with_audio=True) == ("right", [])


def test_crash_standstill_and_error_are_answers(tmp_path):
    def fail(_):
        os.write(2, b"[codec @ 0x55aa] bad packet\n")
        raise ValueError(f"{tmp_path}/a.mp4 is broken")

    assert readers.ask(lambda _: os.kill(os.getpid(), signal.SIGKILL), tmp_path)["ended"] == "the process ended with -9"
    assert readers.ask(lambda _: time.sleep(60), tmp_path, 0.2)["ended"] == "no answer within 0 s"
    assert readers.ask(fail, tmp_path) == {"frames": 0, "said": "ValueError: a.mp4 is broken"}
    warned = readers.ask(lambda _: {"frames": os.write(2, b"[codec @ 0x55aa] bad packet\n")}, tmp_path)
    assert warned == {"frames": 28, "said": "[codec] bad packet"}
