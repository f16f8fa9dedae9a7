"""What a corpus of short clips costs, against the same library calls in one process.

    python benchmarks/clips.py CLIP --model DETECTOR.onnx [--clips 12] [--seconds 4] [--options JSON] [--feature mfcc39]

CLIP (H.264 or HEVC with sound) is cut to so many seconds, under as many names. The workflow makes tables of frames, audio, persons, one
template of crops with contact sheets, and a feature of the audio (VGGish has random weights); then one process makes the same by calling
the library, clip after clip, libraries loaded once. Prints processor time (user and system, with all children) and whether all files are
the same.
"""

import argparse
import json
import tempfile
from pathlib import Path

import yaml
from dag import ROOT, call
from jobs import repeat

from wildaffect import paths

TEMPLATE = "arcface112"


def config_of(folder: Path, model: Path, options: str) -> Path:
    """A configuration that makes the features and crops of a folder of videos."""
    path = folder / "clips.yaml"
    settings = {
        "results_dir": str(folder / "results"),
        "corpus": {"layout": "folder", "root": str(folder / "corpus")},
        "faces": {"backend": "retinaface", "model": str(model.resolve()), "options": json.loads(options)},
        "features": {"vggish_weights": "seeded"},
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def wanted(results: Path, names: list[str], feature: str) -> dict[str, list[Path]]:
    """The files that are compared, by clip."""
    kinds = (paths.FRAMES, paths.AUDIO, paths.PERSONS, paths.CROPS, paths.FEATURE)
    return {
        name: [
            Path(paths.at(str(results), kind, video=name, trial=name, owner=name, template=TEMPLATE, feature=feature))
            for kind in kinds
        ]
        for name in names
    }


def in_one_process(folder: Path, model: str, options: str, name: str) -> None:
    """What the workflow's jobs call, clip after clip."""
    from wildaffect.job import keep_freed_memory, limit_threads

    limit_threads(1)
    keep_freed_memory()
    import cv2

    from wildaffect.faces.cutting import cut_crops
    from wildaffect.faces.detect import detect_faces
    from wildaffect.faces.detectors import detector_options
    from wildaffect.faces.options import TrackingOptions
    from wildaffect.faces.persons import assign_persons
    from wildaffect.faces.previews import write_contact_sheet
    from wildaffect.faces.templates import all_templates
    from wildaffect.features.extract import extract_features
    from wildaffect.media.audio import write_audio
    from wildaffect.media.frames import write_frame_table

    cv2.setNumThreads(1)
    template, settings = all_templates()[TEMPLATE], detector_options("retinaface", json.loads(options))
    for video in sorted((folder / "corpus").iterdir()):
        files = wanted(folder / "alone", [video.stem], name)[video.stem]
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
        frames, audio, persons, crops, feature = files
        found = folder / "alone" / "detections.parquet"
        write_frame_table(video, frames)
        write_audio(video, frames, audio)
        detect_faces(video, frames, found, backend="retinaface", model=model, options=settings)
        assign_persons(found, frames, {video.stem: "main"}, persons, options=TrackingOptions())
        cut_crops(video, persons, video.stem, {template: crops})
        write_contact_sheet(video, crops, persons, folder / "alone" / "sheet.jpg")
        extract_features({name: feature}, audio, frames, weights="seeded" if name.startswith("vggish") else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--options", default="{}", help="faces.options as JSON")
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--feature", default="mfcc39")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        in_one_process(arguments.alone, arguments.model, arguments.options, arguments.feature)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "corpus").mkdir()
        names = [f"clip{number:04}" for number in range(arguments.clips)]
        for clip in names:
            repeat(arguments.clip, folder / "corpus" / f"{clip}.mp4", arguments.seconds)
        config = config_of(folder, Path(arguments.model), arguments.options)
        made = wanted(folder / "results", names, arguments.feature)
        files = [str(path) for clip in names for path in made[clip]]
        files += [paths.at(str(folder / "results"), paths.SHEET, trial=clip) for clip in names]
        options = ["--directory", str(folder), "--cores", "1", "--configfile", str(config), "--quiet", "all"]
        command = ["-m", "snakemake", "--snakefile", str(ROOT / "workflow" / "Snakefile"), *options]
        plan = call(folder, *command, "-n", "--", *files)
        workflow = call(folder, *command, "--", *files)
        alone = call(folder, __file__, str(arguments.clip), "--model", arguments.model, "--options", arguments.options,
                     "--feature", arguments.feature, "--alone", str(folder))  # fmt: skip
        other = wanted(folder / "alone", names, arguments.feature)
        same = all(
            one.read_bytes() == two.read_bytes()
            for clip in names
            for one, two in zip(made[clip], other[clip], strict=True)
        )
    print(
        f"{len(names)} clips of {arguments.seconds:g} s: workflow {workflow.seconds:.1f} s (planning {plan.seconds:.1f} s), "
        f"one process {alone.seconds:.1f} s, {workflow.seconds / alone.seconds:.2f} times; same bytes: {same}"
    )


if __name__ == "__main__":
    main()
