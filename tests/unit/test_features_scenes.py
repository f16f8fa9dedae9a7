"""Pictures of bodies and scenes, and bodies guessed from faces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.data import astronaut

from support.bodies import persons_table
from support.faces import write_frames, write_video
from wildaffect.errors import InputError
from wildaffect.faces.crops import CropFile
from wildaffect.faces.templates import get_template
from wildaffect.features.bodies.find import find_bodies
from wildaffect.features.bodies.table import People, body_boxes, read_bodies, write_bodies
from wildaffect.features.scenes import MASK_MARGINS, cut_scenes, of_body, with_margins, without_body
from wildaffect.tables import read_metadata

NAMES = ("ntua_frame112", "ntua_body112", "ntua_context112")
NOTHING = np.full(4, np.nan)


def test_the_published_mask():
    """Joints over columns 50 to 70 and rows 20 to 60 of a picture of 200 x 100 (NTUA spec 2.5)."""
    picture = np.full((100, 200, 3), 255, np.uint8)
    masked = without_body(picture, np.array([50.0, 20, 70, 60]))
    rows, columns = np.nonzero((masked == 0).all(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 69, 50, 69)
    assert len(rows) == 60 * 20
    assert picture.min() == 255


def test_sides_and_margins_are_rounded_half_to_even_each_by_itself():
    assert with_margins(np.array([100.5, 101.5, 250.4, 111.5]), MASK_MARGINS, 1000, 1000) == (98, 100, 252, 114)
    assert with_margins(np.array([100.0, 100, 150, 102]), MASK_MARGINS, 1000, 1000) == (100, 100, 150, 102)


def test_margins_are_those_of_the_whole_body_where_it_reaches_out_of_the_image():
    """A body of 100 x 80 of which a quarter is left of the image and half below: margins of 1 and 20 pixels, not of the part in view."""
    box = np.array([-25.0, 60, 75, 140])
    assert with_margins(box, MASK_MARGINS, 200, 100) == (0, 40, 76, 100)
    picture = np.full((100, 200, 3), 255, np.uint8)
    rows, columns = np.nonzero((without_body(picture, box) == 0).all(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (40, 99, 0, 75)


@pytest.mark.parametrize(
    "box", [[-90.0, 20, -30, 60], [230.0, 20, 280, 60], [50.0, -90, 90, -30], [50.0, 130, 90, 180]]
)
def test_a_body_outside_the_image_blackens_nothing(box):
    picture = np.full((100, 200, 3), 255, np.uint8)
    assert without_body(picture, np.array(box)).min() == 255


@given(*(st.floats(-300, 500) for _ in range(2)), *(st.floats(0, 400) for _ in range(2)))
def test_masks_cover_the_body_and_nothing_far_from_it(x, y, width, height):
    box = np.array([x, y, x + width, y + height])
    left, top, right, bottom = with_margins(box, MASK_MARGINS, 320, 180)
    seen = box.clip(0, [320, 180, 320, 180])
    assert 0 <= left <= seen[0] + 0.5 and seen[2] - 0.5 <= right <= 320
    assert 0 <= top <= seen[1] + 0.5 and seen[3] - 0.5 <= bottom <= 180
    far = np.array([x - 0.01 * width - 2, y - 0.25 * height - 2, x + 1.01 * width + 2, y + 1.25 * height + 2])
    allowed = far.clip(0, [320, 180, 320, 180])
    assert left >= allowed[0] and top >= allowed[1] and right <= allowed[2] and bottom <= allowed[3]


def test_a_body_is_cut_out_with_as_much_again_on_each_side():
    picture = np.arange(100 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 200, 3)
    np.testing.assert_array_equal(of_body(picture, np.array([60.0, 40, 80, 60])), picture[20:80, 40:100])
    np.testing.assert_array_equal(of_body(picture, np.array([10.0, 40, 80, 60])), picture[20:80, :150])


@pytest.mark.parametrize("box", [NOTHING, np.array([30.0, 20, 30, 20]), np.array([500.0, 20, 600, 80])])
def test_without_a_body_in_the_picture_all_show_the_whole_scene(box):
    picture = np.random.default_rng(0).integers(1, 255, (100, 200, 3), np.uint8)
    np.testing.assert_array_equal(of_body(picture, box), picture)
    np.testing.assert_array_equal(without_body(picture, box), picture)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Seven pictures of 160 x 120, their body a white square that moves; nobody is found in frame 3."""
    folder = tmp_path_factory.mktemp("scenes")
    background = astronaut()[:120, 100:260] // 2
    pictures = []
    for frame in range(7):
        picture = background.copy()
        picture[40:80, 40 + frame : 70 + frame] = 255
        pictures.append(picture)
    write_video(folder / "v.mkv", pictures)
    write_frames(folder / "f.parquet", 7)
    persons_table(folder / "p.parquet", {"t": [None] * 7})
    people = []
    for frame in range(7):
        box = np.array([[40 + frame, 40, 70 + frame, 80]], np.float32)
        everyone = People(box, np.ones(1, np.float32), np.ones((1, 17, 3), np.float32), np.ones((1, 17), bool))
        nobody = People(*(values[:0] for values in vars(everyone).values()))
        people.append(nobody if frame == 3 else everyone)
    write_bodies(people, folder / "p.parquet", folder / "b.parquet", person="first", about={})
    cut_scenes(
        folder / "v.mkv", folder / "f.parquet", folder / "b.parquet", "t", {get_template(n): folder / n for n in NAMES}
    )
    return folder, pictures


def test_stored_pictures_are_those_of_the_frames(made):
    folder, pictures = made
    files = {name: CropFile(folder / name) for name in NAMES}
    for name, file in files.items():
        assert file.about["template"] == name and file.size == 112 and file.valid.all() and len(file) == 7
    for frame, picture in enumerate(pictures):
        masked = picture.copy()
        if frame != 3:
            masked[30:90, 40 + frame : 70 + frame] = 0
        body = picture if frame == 3 else picture[0:120, 10 + frame : 100 + frame]
        for name, want in zip(NAMES, (picture, body, masked), strict=True):
            got = files[name].read(np.array([frame]))[0].astype(int)
            squeezed = np.asarray(Image.fromarray(want).resize((112, 112), Image.Resampling.BILINEAR))
            np.testing.assert_array_equal(got, squeezed, str((name, frame)))


def test_whole_scenes_need_no_bodies(made, tmp_path):
    folder, _ = made
    cut_scenes(folder / "v.mkv", folder / "f.parquet", None, "t", {get_template("ntua_frame112"): tmp_path / "c.arrow"})
    assert (tmp_path / "c.arrow").read_bytes() == (folder / "ntua_frame112").read_bytes()
    with pytest.raises(InputError, match="ntua_context112 needs the table of bodies"):
        cut_scenes(
            folder / "v.mkv", folder / "f.parquet", None, "t", {get_template("ntua_context112"): tmp_path / "d.arrow"}
        )
    with pytest.raises(InputError, match="arcface112 is no crop of the scene"):
        cut_scenes(
            folder / "v.mkv", folder / "f.parquet", None, "t", {get_template("arcface112"): tmp_path / "d.arrow"}
        )


@pytest.mark.parametrize("frames", [6, 8])
def test_tables_of_another_video_are_refused(made, tmp_path, frames):
    folder, _ = made
    write_frames(tmp_path / "f.parquet", frames)
    with pytest.raises(InputError, match=f"7 frames decoded, .*f.parquet has {frames}"):
        cut_scenes(
            folder / "v.mkv", tmp_path / "f.parquet", None, "t", {get_template("ntua_frame112"): tmp_path / "c.arrow"}
        )
    with pytest.raises(InputError, match=rf"b\.parquet: 7 rows, but .* has {frames} frames"):
        cut_scenes(
            folder / "v.mkv",
            tmp_path / "f.parquet",
            folder / "b.parquet",
            "t",
            {get_template("ntua_body112"): tmp_path / "c.arrow"},
        )
    assert not list(tmp_path.glob("c.arrow*"))


def test_videos_without_frames(tmp_path):
    write_frames(tmp_path / "f.parquet", 0)
    cut_scenes(
        tmp_path / "no.mp4", tmp_path / "f.parquet", None, "t", {get_template("ntua_frame112"): tmp_path / "c.arrow"}
    )
    assert len(CropFile(tmp_path / "c.arrow")) == 0


def test_bodies_guessed_from_faces(tmp_path):
    table = persons_table(
        tmp_path / "p.parquet", {"v_left": [[100, 50, 140, 90], None], "v_right": [[300, 60, 320, 140], [0, 0, 10, 10]]}
    )
    find_bodies("face_box", None, "no.mp4", table, tmp_path / "b.parquet")
    left, right = (read_bodies(tmp_path / "b.parquet", trial) for trial in ("v_left", "v_right"))
    assert left.found.tolist() == [True, False] and right.found.all()
    assert left.boxes[0].tolist() == [60, 50, 180, 290]
    assert np.isnan(left.boxes[1]).all()
    assert right.boxes[0].tolist() == [250, 60, 370, 300]  # the side of a face is that of the square of its area
    assert left.joints == () and left.keypoints.shape == (2, 0, 3)
    about = read_metadata(tmp_path / "b.parquet")
    assert about["source"] == "face_box" and about["box"].startswith("guessed")
    assert about["trials"] == {"v_left": {"faces": 1, "found": 1}, "v_right": {"faces": 2, "found": 2}}


FACE = [
    60,
    30,
    100,
    70,
]  # a body of 120 x 240 is guessed from it: columns 20 to 140, rows 30 to 270 of an image of 160 x 120


@pytest.mark.parametrize(
    ("guessed", "black"),
    [
        (True, (8, 119, 19, 140)),  # ends at row 120: a height of 90, and a margin of 22
        (False, (0, 119, 19, 140)),  # the whole height of 240, and a margin of 60
    ],
)
def test_guesses_end_at_the_border_before_margins_and_found_bodies_after_them(tmp_path, guessed, black):
    """The same box, guessed from a face or spanned by joints that lie outside of the image."""
    persons_table(tmp_path / "p.parquet", {"t": [FACE]})
    write_frames(tmp_path / "f.parquet", 1)
    write_video(tmp_path / "v.mkv", [np.full((120, 160, 3), 255, np.uint8)])
    if guessed:
        find_bodies("face_box", None, "no.mp4", tmp_path / "p.parquet", tmp_path / "b.parquet")
    else:
        joints = np.zeros((1, 25, 3), np.float32)
        joints[0, :2] = [20, 30, 0.9], [140, 270, 0.9]
        person = People(
            np.array([[20, 30, 140, 270]], np.float32), np.ones(1, np.float32), joints, joints[..., 2] > 0.1
        )
        write_bodies([person], tmp_path / "p.parquet", tmp_path / "b.parquet", person="first", about={})
    body = read_bodies(tmp_path / "b.parquet", "t")
    assert body.boxes.tolist() == [[20, 30, 140, 270]]
    picture = np.full((120, 160, 3), 255, np.uint8)
    rows, columns = np.nonzero((without_body(picture, body.box_in(0, 160, 120)) == 0).all(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == black
    cut_scenes(
        tmp_path / "v.mkv",
        tmp_path / "f.parquet",
        tmp_path / "b.parquet",
        "t",
        {get_template("ntua_context112"): tmp_path / "c.arrow"},
    )
    stored = CropFile(tmp_path / "c.arrow").read(np.array([0]))[0]
    masked = picture.copy()
    masked[black[0] : black[1] + 1, black[2] : black[3] + 1] = 0
    np.testing.assert_array_equal(
        stored, np.asarray(Image.fromarray(masked).resize((112, 112), Image.Resampling.BILINEAR))
    )


@given(st.floats(0.1, 10), st.floats(-500, 500), st.floats(-500, 500))
def test_guesses_move_and_grow_with_the_face(scale, x, y):
    face = np.array([[100.0, 50, 140, 100], [np.nan] * 4])
    want = body_boxes(face)[0] * scale + np.array([x, y, x, y])
    np.testing.assert_allclose(body_boxes(face * scale + np.array([x, y, x, y]))[0], want, rtol=1e-4, atol=1e-2)
    assert np.isnan(body_boxes(face)[1]).all()
