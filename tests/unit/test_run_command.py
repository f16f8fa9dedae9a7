"""What `wildaffect run` says when it is done."""

from wildaffect import paths
from wildaffect.workflow.run import missing_faces


def test_trials_whose_values_mean_little_are_named(tmp_path):
    assert missing_faces(tmp_path) == []
    audit = tmp_path / paths.AUDIT
    audit.parent.mkdir()
    rows = [f'a{number}#1,a{number},warning,no_face,"no face, none",' for number in range(6)]
    rows += ["b,b,warning,low_face_coverage,a face in 3% of the frames,", ",c,warning,audio_absent,no audio stream,"]
    audit.write_text("\n".join(["trial,video,severity,finding,detail,rule", *rows]) + "\n", encoding="utf-8")
    assert missing_faces(tmp_path) == [
        *(f"a{number}#1: no face, none" for number in range(5)),
        "and 2 more, see the page",
    ]
