"""Finding trials in the layouts that people have."""

import time

import pytest

from support.corpora import affwild2, touch, write_annotation
from wildaffect.corpus.folder import walk_files
from wildaffect.corpus.scan import scan_corpus
from wildaffect.corpus.trials import split_person
from wildaffect.errors import InputError


@pytest.mark.parametrize(
    ("trial", "expected"),
    [
        ("video10_1_left", ("video10_1", "left")),
        ("10-60-1280x720_right", ("10-60-1280x720", "right")),
        ("left_1", ("left_1", "main")),
        ("right", ("right", "main")),
        ("a_LEFT", ("a", "left")),
    ],
)
def test_only_a_final_suffix_names_a_person(trial, expected):
    assert split_person(trial) == expected


@pytest.mark.parametrize(
    ("task_folder", "train", "validation", "task", "header", "row"),
    [
        ("VA_Set", "Training_Set", "Validation_Set", "va", "valence,arousal", "0,0"),
        ("va_estimation_challenge", "train_set", "VALIDATION_SET", "va", "valence,arousal", "0,0"),
        ("EXPR_Set", "Training_Set", "Validation_Set", "expr", "Neutral,Anger", "1"),
        ("EXPR_Recognition_Challenge", "Train_Set", "Validation_Set", "expr", "Neutral,Anger", "1"),
        ("EXPR_Classification_Challenge", "Train_Set", "Validation_Set", "expr", "Neutral,Anger", "1"),
        ("AU_Set", "Training_Set", "Validation_Set", "au", "AU1,AU2", "0,1"),
        ("AU_Detection_Challenge", "Train_Set", "Validation_Set", "au", "AU1,AU2", "0,1"),
    ],
)
def test_folder_names_of_every_edition(tmp_path, task_folder, train, validation, task, header, row):
    touch(tmp_path / "videos" / "a.mp4", tmp_path / "batch2" / "deep" / "b.avi")
    write_annotation(tmp_path / task_folder / train / "a.txt", 2, header, row)
    write_annotation(tmp_path / task_folder / validation / "b.txt", 2, header, row)
    corpus = scan_corpus("affwild2", tmp_path, None, "abaw2")
    assert [(trial.trial, trial.partition(task)) for trial in corpus.trials] == [("a", "train"), ("b", "validation")]
    assert corpus.trials[1].media == "batch2/deep/b.avi"
    assert corpus.trials[0].annotation(task) == f"{task_folder}/{train}/a.txt"


def test_persons_share_their_video_and_unannotated_media_is_reported(tmp_path):
    affwild2(tmp_path, {"Train_Set": ["a_left", "a_right", "b", "b_right"]}, ["a.mp4", "b.avi", "c.mkv"])
    corpus = scan_corpus("affwild2", tmp_path, None, "abaw2")
    assert [(t.trial, t.video, t.person) for t in corpus.trials] == [
        ("a_left", "a", "left"),
        ("a_right", "a", "right"),
        ("b", "b", "main"),
        ("b_right", "b", "right"),
    ]
    assert [(f.video, f.finding) for f in corpus.findings] == [("c", "unused_media")]


def test_trials_follow_the_order_of_annotation_file_names(tmp_path):
    """'video1-1.txt' sorts before 'video1.txt', as it did where LFAN's folds were cut."""
    names = ["video1", "video1-1", "10", "9"]
    affwild2(tmp_path, {"Train_Set": names}, [f"{name}.mp4" for name in names])
    corpus = scan_corpus("affwild2", tmp_path, None, "abaw2")
    assert [trial.trial for trial in corpus.trials] == ["10", "9", "video1-1", "video1"]


def test_missing_media_is_a_finding_and_the_rest_goes_on(tmp_path):
    affwild2(tmp_path, {"Train_Set": ["a", "lost_left"]}, ["a.mp4"])
    corpus = scan_corpus("affwild2", tmp_path, None, "abaw2")
    assert [trial.trial for trial in corpus.trials] == ["a"]
    (finding,) = corpus.findings
    assert (finding.trial, finding.video, finding.severity, finding.finding) == (
        "lost_left",
        "lost",
        "error",
        "missing_media",
    )


def test_test_lists_name_test_trials(tmp_path):
    affwild2(tmp_path, {"Train_Set": ["a"]}, ["a.mp4", "b.mp4", "c.mp4"])
    (tmp_path / "Valence_Arousal_Estimation_Challenge_test_set_release.txt").write_text("b\r\nc_left\n\n")
    (tmp_path / "CVPR_6th_ABAW_VA_test_set_sample.txt").write_text("image_location,valence,arousal\nz/00001.jpg,0,0\n")
    corpus = scan_corpus("affwild2", tmp_path, None, "abaw2")
    assert [(t.trial, t.partition_va, t.annotation_va) for t in corpus.trials][1:] == [
        ("b", "test", None),
        ("c_left", "test", None),
    ]


def test_organisers_crops_are_never_taken_for_videos(tmp_path):
    affwild2(tmp_path, {"Train_Set": ["a"]}, ["a.mp4"])
    touch(tmp_path / "cropped_aligned" / "a" / "a.mp4")
    assert scan_corpus("affwild2", tmp_path, None, "abaw2").videos == {"a": "batch1/a.mp4"}


@pytest.mark.parametrize(
    ("build", "layout", "message"),
    [
        (lambda root: touch(root / "x" / "a.mp4", root / "y" / "a.avi"), "folder", "share a name"),
        (lambda root: None, "folder", "no video files"),
        (lambda root: touch(root / "a{b}.mp4"), "folder", "braces"),
        (lambda root: touch(root / "a.mp4"), "affwild2", "no annotation folders"),
        (lambda root: affwild2(root, {"Train_Set": ["a"]}, ["b.mp4"]), "affwild2", "none of the 1 annotated"),
        (
            lambda root: affwild2(root, {"Train_Set": ["a"], "Validation_Set": ["a"]}, ["a.mp4"]),
            "affwild2",
            "two va annotation",
        ),
        (lambda root: None, "table", "trials.csv: not found"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_folder_named(tmp_path, build, layout, message):
    build(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        scan_corpus(layout, tmp_path, None, "abaw2")
    assert str(tmp_path) in str(caught.value)


def test_missing_root_names_the_key(tmp_path):
    with pytest.raises(InputError, match=r"corpus\.root.*nowhere"):
        scan_corpus("folder", tmp_path / "nowhere", None, "abaw2")


def test_folder_layout_takes_names_as_they_are(tmp_path):
    touch(
        tmp_path / "sub" / "film 1.final.mp4", tmp_path / "Ürsula.MOV", tmp_path / "notes.txt", tmp_path / ".hidden.mp4"
    )
    corpus = scan_corpus("folder", tmp_path, None, "abaw2")
    assert corpus.videos == {"film 1.final": "sub/film 1.final.mp4", "Ürsula": "Ürsula.MOV"}
    assert {trial.partition_va for trial in corpus.trials} == {"test"}


def test_table_layout(tmp_path):
    touch(tmp_path / "m" / "a.mp4", tmp_path / "m" / "b.mp4")
    write_annotation(tmp_path / "labels" / "a.txt", 2)
    (tmp_path / "trials.csv").write_text(
        "trial,media,person,partition_va,annotation_va\na_left,m/a.mp4,,validation,labels/a.txt\n,m/b.mp4,,,\n,m/gone.mp4,,,\n"
    )
    corpus = scan_corpus("table", tmp_path, None, "abaw2")
    assert [(t.trial, t.video, t.person, t.partition_va) for t in corpus.trials] == [
        ("a_left", "a", "left", "validation"),
        ("b", "b", "main", "test"),
    ]
    assert [finding.video for finding in corpus.findings] == ["gone"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ("test", "test", "test")),
        ({"annotation_va": "a.txt"}, ("train", None, None)),
        ({"annotation_va": "a.txt", "partition_va": "validation"}, ("validation", None, None)),
        ({"partition_expr": "test"}, (None, "test", None)),
        ({"annotation_va": "a.txt", "partition_au": "test"}, ("train", None, "test")),
    ],
)
def test_partitions_that_a_table_leaves_out(tmp_path, values, expected):
    touch(tmp_path / "a.mp4", tmp_path / "a.txt")
    row = {"media": "a.mp4", "annotation_va": "", "partition_va": "", "partition_expr": "", "partition_au": ""} | values
    (tmp_path / "trials.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    (trial,) = scan_corpus("table", tmp_path, None, "abaw2").trials
    assert (trial.partition_va, trial.partition_expr, trial.partition_au) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("media,color\na.mp4,red\n", "unknown columns"),
        ("trial\na\n", "'media' is missing"),
        ("media,partition_va\na.mp4,training\n", "line 2"),
        ("media,person\na.mp4,middle\n", "line 2"),
        ("media,annotation_va\na.mp4,none.txt\n", "none.txt"),
        ("trial,media\nx,a.mp4\nx,a.mp4\n", "more than once"),
        ("media\n", "no rows"),
        ("media\n  \n", "'media' is empty"),
        ("trial,media\nx{y},a.mp4\n", "braces or slashes"),
        ("media\nm/a.mp4\nn/a.mp4\n", "more than once"),
        ("trial,media\nx,m/a.mp4\ny,n/a.mp4\nz,m_a.mp4\n", "would both be the video 'm_a'"),
        ("media\nnone.mp4\n", "none of the media files"),
    ],
)
def test_bad_tables_are_refused(tmp_path, text, message):
    touch(tmp_path / "a.mp4")
    (tmp_path / "trials.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        scan_corpus("table", tmp_path, None, "abaw2")


def write(path, content: bytes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


TASKS_OF = {"VA_Set": ("valence,arousal", "0,0"), "EXPR_Set": ("Neutral,Anger", "1"), "AU_Set": ("AU1,AU2", "0,1")}


def three_sets(root, contents):
    """Videos and annotations of each task in a folder of its own, as the organisers hand them out."""
    for (task, (header, row)), content in zip(TASKS_OF.items(), contents, strict=True):
        write(root / task / "videos" / "a.mp4", content)
        write_annotation(root / task / "Training_Set" / "a.txt", 2, header, row)


@pytest.mark.parametrize("kind", ["copies", "hard links", "symbolic links"])
@pytest.mark.parametrize("results", [None, "results"])
def test_one_video_in_three_task_folders_is_one_video(tmp_path, kind, results):
    three_sets(tmp_path, [b"the same bytes"] * 3)
    for task in ("EXPR_Set", "VA_Set"):
        if kind != "copies":
            copy = tmp_path / task / "videos" / "a.mp4"
            copy.unlink()
            (copy.hardlink_to if kind == "hard links" else copy.symlink_to)(tmp_path / "AU_Set" / "videos" / "a.mp4")
    found = scan_corpus("affwild2", tmp_path, None, "abaw1", tmp_path / results if results else None)
    assert [(t.trial, t.media) for t in found.trials] == [("a", "AU_Set/videos/a.mp4")]
    assert all(found.trials[0].annotation(task) for task in ("va", "expr", "au"))
    assert [(f.severity, f.finding) for f in found.findings] == [("info", "several_copies")]


@pytest.mark.parametrize("other", [b"another bytes", b"the same byteS", b""])
def test_different_content_under_one_name_is_refused(tmp_path, other):
    three_sets(tmp_path, [b"the same bytes", b"the same bytes", other])
    with pytest.raises(InputError, match=r"different files share a name[^$]*AU_Set/videos/a\.mp4"):
        scan_corpus("affwild2", tmp_path, None, "abaw1")


def test_a_table_tells_videos_of_one_stem_apart_by_their_paths(tmp_path):
    write(tmp_path / "s1" / "talk.mp4", b"one")
    write(tmp_path / "s2" / "talk.mp4", b"two")
    write(tmp_path / "s3" / "deep" / "talk.mp4", b"six")
    rows = ["trial,media", "a,s1/talk.mp4", "b_left,s2/talk.mp4", "b_right,s2/talk.mp4", "c,s3/deep/talk.mp4"]
    (tmp_path / "trials.csv").write_text("\n".join(rows) + "\n")
    found = scan_corpus("table", tmp_path, None, "")
    assert {t.trial: t.video for t in found.trials} == {
        "a": "s1_talk", "b_left": "s2_talk", "b_right": "s2_talk", "c": "s3_deep_talk",
    }  # fmt: skip
    write(tmp_path / "s2" / "talk.mp4", b"one")
    write(tmp_path / "s3" / "deep" / "talk.mp4", b"one")
    found = scan_corpus("table", tmp_path, None, "")
    assert {t.video for t in found.trials} == {"talk"} and found.videos == {"talk": "s1/talk.mp4"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "These are the annotations of the training set.\n\nRows are frames, -5 is invalid.\n",
        "AFF-WILD2\n=========\n\nSee the paper\n",
        "Files: one per video, two columns\nplease cite\n",
    ],
)
def test_a_readme_among_annotations_is_no_trial(tmp_path, text):
    affwild2(tmp_path, {"Train_Set": ["a"], "Validation_Set": ["b"]}, ["a.mp4", "b.mp4"])
    folder = tmp_path / "annotations" / "VA_Estimation_Challenge"
    for place in ("", "Train_Set", "Validation_Set", "Test_Set"):
        (folder / place).mkdir(exist_ok=True)
        (folder / place / "README.txt").write_text(text)
    found = scan_corpus("affwild2", tmp_path, None, "abaw2")
    assert [t.trial for t in found.trials] == ["a", "b"]
    assert {(f.severity, f.finding) for f in found.findings} == {("info", "no_annotation")}
    assert len(found.findings) == 3


@pytest.mark.parametrize(
    ("header", "row"), [*TASKS_OF.values(), ("0.1,0.2", "0.3,-0.4"), ("label", "3"), ("a, b", "1e-3, nan")]
)
def test_labels_without_a_video_stay_an_error(tmp_path, header, row):
    affwild2(tmp_path, {"Train_Set": ["a"]}, ["a.mp4"])
    write_annotation(tmp_path / "annotations/VA_Estimation_Challenge/Train_Set/lost.txt", 3, header, row)
    (finding,) = scan_corpus("affwild2", tmp_path, None, "abaw2").findings
    assert (finding.severity, finding.finding, finding.trial) == ("error", "missing_media", "lost")


def test_folders_of_images_are_not_searched(tmp_path):
    """Face crops by their names, others by their endings; a video beside images is found."""
    for folder in ("cropped_aligned", "cropped_aligned_new_50_vids", "Cropped", "face_256"):
        touch(tmp_path / folder / "batch1" / "v" / "v.mp4")
    touch(tmp_path / "thumbs" / "00001.JPG", tmp_path / "thumbs" / "a.mp4", tmp_path / "cropped_videos" / "b.mp4")
    assert sorted(map(str, walk_files(tmp_path))) == ["cropped_videos/b.mp4", "thumbs/a.mp4"]


def test_a_scan_beside_many_images_is_quick(tmp_path):
    """20,000 images; a path and a comparison for each took three times as long."""
    affwild2(tmp_path, {"Train_Set": ["a"]}, ["a.mp4"])
    for trial in range(20):
        folder = tmp_path / "faces" / f"v{trial}"
        folder.mkdir(parents=True)
        for number in range(1000):
            (folder / f"{number:05}.jpg").touch()
    before = time.process_time()
    scan_corpus("affwild2", tmp_path, None, "abaw2")
    assert time.process_time() - before < 0.2
