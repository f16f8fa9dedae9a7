"""Pages of single videos: what they hold, and what a browser makes of it."""

import base64
import json
import re
import shutil
import time
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote

import av
import cv2
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.browser import chromium
from support.results import CLASSES, build_results, face_sources, invalid_labels, render, write_expressions
from wildaffect.corpus.labels import in_ranges
from wildaffect.corpus.timed import read_ranges
from wildaffect.errors import InputError
from wildaffect.faces.overrides import read_overrides
from wildaffect.report.viewer import UNLABELLED, Shown, media_of, packed, summary
from wildaffect.tables import read_metadata, read_table
from wildaffect.tabulation.segments import read_segments
from wildaffect.textfiles import read_rows

NASTY = 'a <b> & "ü" #1 %41 </script><img src=x onerror=alert(1)>'.replace("/", "\\")
FRAMES = 200


def arrays(folder: Path, video: str) -> dict:
    """What the data of a page say."""
    text = (folder / "report" / "videos" / video / "data.js").read_text(encoding="utf-8")
    return json.loads(re.fullmatch(r"show\((.*)\);\n", text, re.DOTALL)[1])


def unpacked(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def frame_times(folder: Path, video: str) -> np.ndarray:
    path = folder / "media" / video / "frames.parquet"
    return read_table(path, pa.schema([("time_s", pa.float64())]))["time_s"].to_numpy()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    arguments = build_results(folder, [NASTY, "two", "broken"], frames=FRAMES, unreadable=("broken",))
    render(folder / "report" / "index.html", arguments)
    return folder


def test_every_readable_video_has_a_page(pages):
    videos = pages / "report" / "videos"
    assert {path.name for path in videos.iterdir()} == {NASTY, "two"}
    overview = (pages / "report" / "index.html").read_text(encoding="utf-8")
    linked = {unquote(name) for name in re.findall(r'href="videos/([^"/]*)/index\.html"', overview)}
    assert linked == {NASTY, "two"}
    page = (videos / NASTY / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "<b>" not in page.partition("<h1>")[2].partition("</h1>")[0]


def test_data_are_those_of_the_tables(pages):
    data = arrays(pages, "two")
    count = FRAMES + 10
    assert np.array_equal(unpacked(data["times"], "<f8"), frame_times(pages, "two"))
    assert data["end"] == pytest.approx(count / 25)
    assert [person["trial"] for person in data["persons"]] == ["two", "two_right"]
    for index, person in enumerate(data["persons"]):
        source = face_sources(count, index)
        assert [data["sources"][i] for i in unpacked(person["face"], "u1")] == source.tolist()
        assert np.array_equal(unpacked(person["track"], "<i2"), np.where(source == "none", -1, index))
        label = unpacked(person["labels"]["valence"], "<f4")
        assert np.array_equal(np.isnan(label), invalid_labels(count))
        assert set(person["predictions"]) == {"lfan/multimodal/va", "tsav/two_stream/va"}
        for columns in person["predictions"].values():
            values = unpacked(columns["arousal"], "<f4")
            # Values without a face are no measurement; those of the training partition (9) are never shown.
            assert np.array_equal(np.isnan(values), source == "none")
            assert np.nanmax(values) < 2


def test_expressions_and_gaps_of_labels(tmp_path):
    arguments = build_results(tmp_path, ["one"], frames=6)
    labels, entry = write_expressions(tmp_path, "one", [4, 0, None, 6, 1, 2], [4, 4, 0, 6, 0, 0])
    render(
        tmp_path / "report" / "index.html", arguments | {"labels": {"expr": labels}, "predictions": [entry], "runs": []}
    )
    person = arrays(tmp_path, "one")["persons"][0]
    assert unpacked(person["labels"]["expression"], "u1").tolist() == [4, 0, UNLABELLED, 6, 1, 2]
    columns = person["predictions"]["ntua/visual/expr"]
    assert list(columns) == list(CLASSES)
    assert unpacked(columns["Happiness"], "<f4")[:3] == pytest.approx([0.9, 0.9, 0.1])


def test_summary_of_a_trial():
    nothing = np.float32(np.nan)
    values = {
        "a": {"valence": np.array([0.0, 1.0, nothing], np.float32)},
        "b": {
            "valence": np.array([9, 9, 9], np.float32),
            "Anger": np.array([0.1, 0.6, nothing], np.float32),
            "Fear": np.array([0.9, 0.1, nothing], np.float32),
        },
    }
    found = summary(values, np.array([0, 3, 0], np.uint8))
    assert found == {
        "valence": (0.5, 0.5), "arousal": None, "expression": ("Anger", 0.5), "trusted": pytest.approx(2 / 3)
    }  # fmt: skip
    assert summary({}, None) == dict.fromkeys(found)
    # Where no frame is trusted, values say nothing.
    assert summary(values, np.array([1, 3, 1], np.uint8)) == dict.fromkeys(found) | {"trusted": 0.0}


def test_addresses_are_relative_and_times_those_of_browsers(tmp_path):
    shown = Shown({"v": tmp_path / "in put" / "v#1.mp4"}, {"v": tmp_path / "faces" / "v.mp4"}, {}, {}, {})
    about = {"video_start_s": 1.5, "audio_start_s": 1.25, "codec": "h264"}
    source, overlay = media_of(tmp_path / "report" / "videos" / "v", "v", shown, about)
    assert (source["url"], source["offset"]) == ("../../../in%20put/v%231.mp4", 0.25)
    assert (overlay["url"], overlay["offset"]) == ("../../../faces/v.mp4", 0.0)
    assert media_of(tmp_path, "v", shown, about | {"audio_start_s": None})[0]["offset"] == 0.0
    assert media_of(tmp_path, "other", shown, about) == []


def test_predictions_of_other_frames_are_refused(tmp_path):
    arguments, longer = build_results(tmp_path / "a", ["v"]), build_results(tmp_path / "b", ["v"], frames=300)
    with pytest.raises(InputError, match="outside the 200 decoded frames"):
        render(tmp_path / "r" / "index.html", arguments | {"persons": longer["persons"], "predictions": []})


# ---- in a browser ----

BITS = 8


def write_clip(path: Path, times: np.ndarray) -> None:
    """A clip whose frame k, shown from ``times[k]`` on, holds the number k as black and white bars."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "12", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 160, 90, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 90000)
        for index, time in enumerate(times):
            image = np.zeros((90, 160, 3), np.uint8)
            for bit in range(BITS):
                image[:, 20 * bit : 20 * bit + 20] = 255 * (index >> bit & 1)
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = round(time * 90000), Fraction(1, 90000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """Results with a real clip of variable frame rate."""
    folder = tmp_path_factory.mktemp("filmed")
    arguments = build_results(folder, ["talk, of two"], frames=FRAMES)
    write_clip(folder / "talk.mp4", frame_times(folder, "talk, of two"))
    (folder / "talk.wmv").write_bytes(b"no video")
    render(
        folder / "report" / "index.html",
        arguments | {"shown": Shown({"talk, of two": folder / "talk.mp4"}, {}, {}, {}, {})},
    )
    assert read_metadata(arguments["frames"]["talk, of two"])["vfr"]
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


def shown_frame(browser, folder: Path) -> int:
    """The number in the bars that the browser shows; a browser on a busy machine may need a while to show what was sought."""
    until = time.monotonic() + 5
    while True:
        browser.image(folder / "seen.png")
        image, box = cv2.imread(str(folder / "seen.png"), cv2.IMREAD_GRAYSCALE), browser.box("#video")
        width = min(box["width"], box["height"] * 160 / 90)
        left = box["x"] + (box["width"] - width) / 2
        row = image[round(box["y"] + box["height"] / 2)]
        seen = sum(int(row[round(left + width * (bit + 0.5) / BITS)] > 127) << bit for bit in range(BITS))
        if seen == browser.run("viewer.state.frame") or time.monotonic() > until:
            return seen
        time.sleep(0.1)


@pytest.mark.slow
def test_valence_and_arousal_that_are_trained_apart_share_the_plane(pages, browser, tmp_path):
    shutil.copytree(pages / "report", tmp_path / "report")
    data = arrays(tmp_path, "two")
    person = data["persons"][0]
    joint = person["predictions"]
    person["predictions"] = {
        "lfan/unimodal/arousal": {"arousal": joint["tsav/two_stream/va"]["arousal"]},
        "lfan/multimodal/arousal": {"arousal": joint["lfan/multimodal/va"]["arousal"]},
        "lfan/multimodal/valence": {"valence": joint["lfan/multimodal/va"]["valence"]},
    }
    data["persons"] = [person | {"labels": {}}]
    folder = tmp_path / "report" / "videos" / "two"
    (folder / "data.js").write_text(f"show({json.dumps(data)});\n", encoding="utf-8")
    browser.open(folder / "index.html", 1300)
    browser.wait("window.viewer")
    found = browser.run("viewer.pairs().map((pair) => [Array.from(pair.x), Array.from(pair.y)])")
    assert len(found) == 1
    for values, name in zip(found[0], ("valence", "arousal"), strict=True):
        expected = unpacked(joint["lfan/multimodal/va"][name], "<f4")
        assert np.array_equal(np.array(values, float).astype("f4"), expected, equal_nan=True)
    browser.run("viewer.state.series['lfan/multimodal/arousal'] = false")
    assert browser.run("viewer.pairs().length") == 0


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1300, False), (800, True)])
def test_play_seek_mark_and_export(filmed, browser, tmp_path, width, dark):
    browser.errors.clear()
    browser.requested.clear()
    browser.open(filmed / "report" / "videos" / "talk, of two" / "index.html", width, height=1700, dark=dark)
    browser.run("localStorage.clear(); viewer.state.ranges.length = 0")
    browser.wait("viewer.state.playable === true")
    times = frame_times(filmed, "talk, of two")
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == (
        "rgb(20, 23, 28)" if dark else "rgb(255, 255, 255)"
    )

    # By frame: what is shown is the frame that the playhead names.
    for _ in range(3):
        browser.key("ArrowRight")
    assert browser.run("viewer.state.frame") == shown_frame(browser, tmp_path) == 3
    browser.key("ArrowRight", modifiers=8)
    browser.key("ArrowLeft")
    assert browser.run("viewer.state.frame") == shown_frame(browser, tmp_path) == 12
    browser.key("End")
    assert browser.run("viewer.state.frame") == shown_frame(browser, tmp_path) == FRAMES - 1

    # A click into the traces seeks to the frame that is shown at that time, also where the view is a part.
    browser.run("viewer.setView(2, 6)")
    browser.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    box = browser.box("#traces")
    left, right = box["x"] + 116, box["x"] + box["width"] - 10
    for part in (0.2, 0.55, 0.9):
        x = round(left + part * (right - left))
        browser.drag([(x, box["y"] + 40)])
        asked = 2 + 4 * (x - left) / (right - left)
        browser.wait("!document.getElementById('video').seeking")
        expected = int(np.searchsorted(times, asked, side="right")) - 1
        assert browser.run("viewer.state.frame") == shown_frame(browser, tmp_path) == expected

    # Playing moves the playhead, and where it stops it names what is seen.
    browser.key("Home")
    browser.key(" ")
    browser.wait("viewer.state.frame > 20")
    browser.key(" ")
    browser.wait("document.getElementById('video').paused")
    assert abs(browser.run("viewer.state.frame") - shown_frame(browser, tmp_path)) <= 1

    # Ranges: by dragging, and by keys.
    browser.run("viewer.setView(2, 6)")
    browser.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    browser.drag([(left + 100, box["y"] + 40), (left + 150, box["y"] + 40), (left + 200, box["y"] + 40)], modifiers=8)
    dragged = [int(np.searchsorted(times, 2 + 4 * at / (right - left), side="right")) - 1 for at in (100, 200)]
    browser.key("Home")
    browser.key("[")
    browser.key("ArrowRight")
    browser.key("]")
    assert browser.run("viewer.state.ranges.map(range => [range.first, range.last])") == [dragged, [0, 1]]
    fields = "document.querySelectorAll('#ranges input.name')"
    browser.run(f"{fields}[0].value = 'hand, \"before\" face'; {fields}[0].dispatchEvent(new Event('change'))")
    browser.run(
        "{ const who = document.querySelectorAll('#ranges select')[1]; who.value = 'talk, of two_right'; "
        "who.dispatchEvent(new Event('change')) }"
    )
    browser.run(
        "{ const track = document.querySelectorAll('#ranges [aria-label=track]')[1]; track.value = '7'; "
        "track.dispatchEvent(new Event('change')) }"
    )
    browser.downloads(tmp_path)
    for name in ("segments", "overrides"):
        browser.run(f"document.getElementById('{name}').click()")
        until(tmp_path / f"talk, of two.{name}.csv")
    trials = ["talk, of two", "talk, of two_right"]
    segments = read_segments(tmp_path / "talk, of two.segments.csv", dict.fromkeys(trials, "talk, of two"))
    first, last = dragged
    hand = ('hand, "before" face', times[first], times[last + 1])
    assert [(part.label, part.start_s, part.end_s) for part in segments[trials[0]]] == [hand]
    assert [(part.label, part.start_s, part.end_s) for part in segments[trials[1]]] == [
        hand,
        ("range 2", 0.0, times[2]),
    ]
    # As ranges without labels they hold exactly the frames that were marked.
    excluded = read_ranges(tmp_path / "talk, of two.segments.csv", dict.fromkeys(trials, "talk, of two"))
    frames = [np.flatnonzero(row).tolist() for row in in_ranges(times, excluded[trials[1]])]
    assert frames == [list(range(first, last + 1)), [0, 1]]
    overrides = read_overrides(tmp_path / "talk, of two.overrides.csv")
    assert [(each.trial, each.first, each.last, each.track, each.point) for each in overrides] == [
        (trials[0], first, last, None, None),
        (trials[1], first, last, None, None),
        (trials[1], 0, 1, 7, None),
    ]

    # They are there again after the page was closed.
    browser.open(filmed / "report" / "videos" / "talk, of two" / "index.html", width, height=1700, dark=dark)
    browser.wait("window.viewer && viewer.state.ranges.length === 2")
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    assert not browser.errors
    assert all(url.startswith((filmed.as_uri(), "blob:", "data:")) for url in browser.requested)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1300, False), (800, True)])
def test_the_overview_fits_and_shows_figures_and_sheets(filmed, browser, width, dark):
    browser.errors.clear()
    browser.requested.clear()
    browser.open(filmed / "report" / "index.html", width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    for kind in ("scores", "curves", "trial"):
        browser.run(f"document.querySelector('[data-figure={kind}]').scrollIntoView()")
        browser.wait(f"document.querySelector('[data-figure={kind}] .main-svg')")
    sheet = "document.querySelector('.sheets details')"
    browser.run(f"{sheet}.open = true; {sheet}.scrollIntoView()")
    assert browser.wait(f"{sheet}.querySelector('img').naturalWidth") == 480
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    # The same sheet is on the page of its video.
    browser.open(filmed / "report" / "videos" / "talk, of two" / "index.html", width)
    browser.run("document.querySelector('#sheets').scrollIntoView()")
    browser.wait("document.querySelector('#sheets img').naturalWidth === 480")
    assert not browser.errors
    assert all(url.startswith((filmed.as_uri(), "blob:", "data:")) for url in browser.requested)


def until(path: Path) -> None:
    for _ in range(100):
        if path.exists() and path.stat().st_size:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} was not saved: {list(path.parent.iterdir())}")


@pytest.mark.slow
def test_what_cannot_be_played_is_said_and_the_copy_is_shown(filmed, browser):
    arguments = build_results(filmed / "more", ["talk"], frames=FRAMES)
    shown = Shown({"talk": filmed / "talk.wmv"}, {"talk": filmed / "talk.mp4"}, {}, {}, {})
    render(filmed / "more" / "report" / "index.html", arguments | {"shown": shown})
    page = filmed / "more" / "report" / "videos" / "talk" / "index.html"
    browser.open(page, 1300)
    browser.wait("viewer.state.playable === true")
    assert ".wmv" in browser.run("document.getElementById('message').textContent")
    assert browser.run("document.getElementById('file').value") == "1"
    render(
        filmed / "more" / "report" / "index.html",
        arguments | {"shown": Shown({"talk": filmed / "talk.wmv"}, {}, {}, {}, {})},
    )
    browser.open(page, 1300)
    browser.wait("viewer.state.playable === false")
    assert "report.overlays" in browser.run("document.getElementById('message').textContent")
    browser.key("ArrowRight")
    assert browser.run("viewer.state.frame") == 1


FLOATS = st.floats(-2, 2, width=32) | st.just(float("nan"))
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
PROPERTY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def functions(filmed, browser):
    """The browser with the functions of the page."""
    browser.open(filmed / "report" / "videos" / "talk, of two" / "index.html", 1300)
    return browser


@pytest.mark.slow
@PROPERTY
@given(
    st.lists(FLOATS, min_size=1, max_size=700),
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 700)), min_size=1, max_size=20),
)
def test_levels_of_detail_are_exact(functions, values, ranges):
    array = np.array(values, np.float32)
    ranges = [sorted(min(edge, len(array)) for edge in each) for each in ranges]
    text = packed(array, np.float32)
    found = functions.run(
        f"{{ const levels = pyramid(decode('{text}', Float32Array));"
        f"{json.dumps(ranges)}.map(([first, stop]) => extent(levels, first, stop).map(value => Number.isNaN(value) ? null : value)) }}"
    )
    for (first, stop), (low, high) in zip(ranges, found, strict=True):
        part = array[first:stop]
        known = part[~np.isnan(part)]
        assert (low, high) == ((known.min(), known.max()) if len(known) else (None, None))


@pytest.mark.slow
@PROPERTY
@given(st.lists(st.floats(0.001, 3), min_size=1, max_size=300), st.lists(st.floats(-1, 900), min_size=1, max_size=20))
def test_frames_are_found_by_their_true_times(functions, durations, asked):
    bounds = np.r_[0.0, np.cumsum(durations)]
    times, end = bounds[:-1], float(bounds[-1])
    middles, frames = functions.run(
        f"{{ const times = decode('{packed(times, np.float64)}', Float64Array), end = {end!r};"
        f"[[...times.keys()].map(k => frameAt(times, middleOf(times, end, k))), {json.dumps(asked)}.map(time => frameAt(times, time))] }}"
    )
    assert middles == list(range(len(times)))
    expected = np.clip(np.searchsorted(times, asked, side="right") - 1, 0, len(times) - 1)
    assert frames == expected.tolist()


@pytest.mark.slow
@PROPERTY
@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12), min_size=2, max_size=2),
        min_size=1,
        max_size=5,
    )
)
def test_cells_are_read_as_they_were_named(functions, tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    rows = [[a.strip() or "x", b.strip()] for a, b in rows]
    path.write_text(functions.run(f"csv(['trial', 'label'], {json.dumps(rows)})"), encoding="utf-8", newline="")
    assert [list(row.values()) for _, row in read_rows(path, ("trial", "label"), ())] == rows
