"""One instant through the whole chain: a flash, a beep and a label must meet in the same row of every table."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from support.media import Sound, Video, beep, flash_at, write_media
from wildaffect.corpus.labels import LabelRules, write_labels
from wildaffect.corpus.trials import Trial
from wildaffect.features.extract import extract_features
from wildaffect.media.audio import write_audio
from wildaffect.media.decode import decode
from wildaffect.media.frames import read_frames, write_frame_table
from wildaffect.submission import write as write_submission
from wildaffect.tables import read_table

SECONDS = 6.0
ENERGY = 12  # column c0 of mfcc39


def header_rate(rate: float | str) -> Fraction:
    """What the file states, by which the published index rule goes."""
    return Fraction(30) if rate == "variable" else Fraction(rate).limit_denominator(1001)


def times_of(rate: float | str) -> list[float]:
    """Frame times of a constant rate, or irregular ones between 15 and 60 frames per second."""
    if rate != "variable":
        return [index / rate for index in range(round(SECONDS * rate))]
    steps = np.random.default_rng(3).uniform(1 / 60, 1 / 15, 400)
    times = np.concatenate([[0.0], np.cumsum(steps)])
    return [round(float(time), 3) for time in times[times < SECONDS]]


@pytest.mark.parametrize("offset", [0.0, 0.5, -0.5])
@pytest.mark.parametrize("rate", [7.5, 24000 / 1001, 30000 / 1001, 30.0, "variable"])
def test_flash_beep_and_label_share_a_row(tmp_path: Path, rate, offset):
    """``offset``: how much later than the picture the sound stream starts."""
    times = times_of(rate)
    flash = 2 * len(times) // 3
    late = max(0.0, -offset)
    instant = late + times[flash]
    sound_start = late + offset
    video = write_media(
        tmp_path / "clip.mkv",
        Video([late + time for time in times], flash_at(flash), rate=header_rate(rate)),
        Sound(beep(instant - sound_start, SECONDS + late, 16_000), start_s=sound_start),
    )
    frames, audio = tmp_path / "frames.parquet", tmp_path / "audio.flac"
    write_frame_table(video, frames)
    write_audio(video, frames, audio)

    brightness = [picture.mean() for _, picture in decode(video)]
    assert int(np.argmax(brightness)) == flash

    for feature in ("mfcc39", "mfcc39.indexed"):
        if feature.endswith("indexed") and rate == "variable":
            continue  # the published index rule drifts on variable rates: that is what the plain feature repairs
        extract_features({feature: tmp_path / "mfcc.npy"}, audio, frames)
        energy = np.load(tmp_path / "mfcc.npy")[:, ENERGY]
        assert len(energy) == len(times)
        assert int(np.argmax(energy)) == flash, feature

    rows = np.zeros((len(times), 2))
    rows[flash] = 1
    (tmp_path / "clip.txt").write_text("valence,arousal\n" + "".join(f"{v},{a}\n" for v, a in rows))
    trial = Trial("clip", "clip", "clip.mkv", partition_va="train", annotation_va="clip.txt")
    write_labels(
        tmp_path / "va.parquet",
        task="va",
        trials=[trial],
        annotations=tmp_path,
        frames={"clip": frames},
        rules=LabelRules(),
    )
    schema = pa.schema(
        [("frame", pa.int32()), ("time_s", pa.float64()), ("valence", pa.float32()), ("arousal", pa.float32())]
    )
    labels = read_table(tmp_path / "va.parquet", schema)
    row = labels.slice(flash, 1).to_pylist()[0]
    assert row["frame"] == flash and row["valence"] == 1
    shortest = np.diff(read_frames(frames).times).min()
    assert abs(row["time_s"] - times[flash]) < shortest / 2

    predictions = labels.append_column("trial", pa.array(["clip"] * len(labels)))
    write_submission(predictions, tmp_path / "submission", "abaw2", "va", frames={"clip": len(times)})
    lines = (tmp_path / "submission" / "clip.txt").read_text().splitlines()
    assert [index for index, line in enumerate(lines[1:]) if line.startswith("1")] == [flash]
