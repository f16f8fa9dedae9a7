"""Finding trials in the layouts that people have."""

import time

import pytest

from support.corpora import affwild2, touch, write_annotation
from wildaffect.corpus.folder import video_name, walk_files
from wildaffect.corpus.folds import make_folds
from wildaffect.corpus.scan import scan_corpus
from wildaffect.corpus.table import NEW_COLUMNS, fill_in, new_table
from wildaffect.corpus.trials import PARTITIONS, split_person
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
    ("values", "expected"),
    [
        ({"partition": "test"}, ("test", "test", "test")),
        ({"partition": "validation", "annotation_va": "a.txt"}, ("validation", None, None)),
        ({"partition": "validation", "annotation_va": "a.txt", "partition_va": "train"}, ("train", None, None)),
        ({"partition": "train"}, (None, None, None)),
        ({"partition": "train", "partition_au": "test"}, (None, None, "test")),
    ],
)
def test_one_partition_holds_for_the_annotated_tasks(tmp_path, values, expected):
    touch(tmp_path / "a.mp4", tmp_path / "a.txt")
    row = {"media": "a.mp4"} | values
    (tmp_path / "trials.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")
    corpus = scan_corpus("table", tmp_path, None, "abaw2")
    (trial,) = corpus.trials
    assert (trial.partition_va, trial.partition_expr, trial.partition_au) == expected
    assert [finding.finding for finding in corpus.findings] == ["no_annotation"] * (values == {"partition": "train"})


def test_columns_that_divide_the_tables_of_the_report(tmp_path):
    touch(*(tmp_path / f"{name}.mp4" for name in "abc"))
    (tmp_path / "trials.csv").write_text("media,subject,condition\na.mp4,anna,calm\nb.mp4,anna,loud\nc.mp4,,\n")
    corpus = scan_corpus("table", tmp_path, None, "abaw2")
    conditions = {"a": "calm", "b": "loud"}
    assert corpus.groupings == {"subject": dict.fromkeys("ab", "anna"), "group": {}, "condition": conditions}
    # Folds keep a subject whole, and no condition.
    assert corpus.group_of == {"a": "a", "b": "a", "c": "c"}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_of_every_spreadsheet_are_the_same_corpus(tmp_path, separator, encoding, end):
    touch(tmp_path / "café, 1;2.mp4", tmp_path / "名前.mp4")
    rows = [["media", "subject"], ['"café, 1;2.mp4"', "anna"], ["名前.mp4", "bert"]]
    (tmp_path / "trials.csv").write_bytes("".join(separator.join(row) + end for row in rows).encode(encoding))
    corpus = scan_corpus("table", tmp_path, None, "abaw2")
    assert [(t.media, t.subject) for t in corpus.trials] == [("café, 1;2.mp4", "anna"), ("名前.mp4", "bert")]


@pytest.mark.parametrize("layout", ["table", "affwild2"])
@pytest.mark.parametrize(
    ("text", "line"), [("a\ncafé\n".encode("latin-1"), 2), ("a\nb\n".encode("utf-16-le"), 1), (b"a\n\nb\x00\n", 3)]
)
def test_tables_and_lists_of_another_encoding_are_refused_with_the_line(tmp_path, layout, text, line):
    affwild2(tmp_path, {"Train_Set": ["a"]}, ["a.mp4"])
    path = (
        tmp_path
        / {"table": "trials.csv", "affwild2": "Valence_Arousal_Estimation_Challenge_test_set_release.txt"}[layout]
    )
    path.write_bytes(text)
    with pytest.raises(InputError, match=f"{path.name}, line {line}: cannot be read as UTF-8.*Save it as UTF-8"):
        scan_corpus(layout, tmp_path, None, "abaw2")


def test_a_large_table_is_read_in_time_that_grows_with_its_rows(tmp_path):
    touch(tmp_path / "a.txt", *(tmp_path / f"{index}.mp4" for index in range(4000)))

    def seconds(rows):
        lines = [f"{index}.mp4,s{index % 100},train,a.txt\n" for index in range(rows)]
        (tmp_path / "trials.csv").write_text("media,subject,partition_va,annotation_va\n" + "".join(lines))
        began = time.process_time()
        corpus = scan_corpus("table", tmp_path, None, "abaw2")
        assert len(corpus.group_of) == rows and make_folds(corpus.trials, "grouped", 5, 0).num_rows == 5 * rows
        return time.process_time() - began

    seconds(100)
    assert seconds(4000) < 10 * seconds(1000) + 0.5


def test_a_new_table_takes_partitions_from_folders_and_is_read_again(tmp_path):
    touch(*(tmp_path / f for f in ("train/a.mp4", "Val_Set/x/b.mp4", "test/c.mp4", "d.mp4", "dev/testing/e, f.mp4")))
    path = new_table(tmp_path)
    assert path.read_text().splitlines()[1:4] == [
        "a,train/a.mp4,main,,train,,,",
        "b,Val_Set/x/b.mp4,main,,validation,,,",
        "c,test/c.mp4,main,,test,,,",
    ]
    corpus = scan_corpus("table", tmp_path, None, "abaw2")
    assert {t.trial: t.partition_va for t in corpus.trials} == {
        "a": None, "b": None, "c": "test", "d": "test", video_name("e, f"): "test",
    }  # fmt: skip
    assert [f.trial for f in corpus.findings] == ["a", "b"]
    with pytest.raises(InputError, match="exists already"):
        new_table(tmp_path)


def test_labels_of_whole_clips_stand_in_the_table(tmp_path):
    touch(*(tmp_path / f"{name}.mp4" for name in "abc"))
    rows = ["a.mp4,train,0.5,-0.25,", "b.mp4,validation,,,Fear", "c.mp4,test,,,"]
    (tmp_path / "trials.csv").write_text("media,partition,valence,arousal,expression\n" + "\n".join(rows) + "\n")
    corpus = scan_corpus("table", tmp_path, None, "abaw2")
    assert corpus.labelled_tasks() == ["va", "expr"] and corpus.findings == ()
    assert [(t.partition_va, t.partition_expr, t.clip_va, t.clip_expr) for t in corpus.trials] == [
        ("train", None, "0.5,-0.25", None),
        (None, "validation", None, "Fear"),
        ("test", "test", None, None),
    ]
    assert make_folds(corpus.trials, "official", 2, 0).num_rows == 5


def test_what_to_fill_in_names_every_partition_and_column():
    words = fill_in()
    assert all(word in words for word in (*PARTITIONS, *NEW_COLUMNS[3:], "valence,arousal", "-5", "AU1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("media,partition_va\nHello, world.mp4,train\n", r"line 2: 3 values where the header names 2 columns"),
        ('media,person\n"a.mp4",main\n\n"b\nb.mp4"\n', r"line 4: 1 values"),
        ('media,person\n"a.mp4,main\nb.mp4,main\n', r"line 2: unexpected end of data"),
        ("media,media\na.mp4,a.mp4\n", "more than once"),
        ("media,,\na.mp4,,\n", "line 1: column 2 has no name"),
        ("media,valence\na.mp4,1\n", "line 2: valence and arousal are given together"),
        ("media,expression,annotation_expr\na.mp4,Fear,a.txt\n", "line 2: has both annotation_expr and a label"),
        ("media,partition_va\na.mp4,trian\n", r"line 2: partition_va is 'trian'; did you mean 'train'"),
        ("media,partiton\na.mp4,train\n", r"unknown columns \['partiton'\]; did you mean 'partition'"),
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
