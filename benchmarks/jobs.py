"""How long the jobs of one video take, and how much of that is not work.

    python benchmarks/jobs.py CLIP [--model DETECTOR.onnx] [--options JSON] [--minutes 5] [--cores 1]

CLIP (H.264 or HEVC with sound) is repeated to so many minutes without coding it again, and cut to two seconds; both go through
everything that the five systems need of a video, job by job. Prints the seconds that each took, as the workflow's benchmark files
have them. What the job of the two-second video takes is little more than starting
Python, reading libraries and opening models: the overhead.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import av
import yaml
from dag import ROOT, call, write_config, write_corpus

sys.path.insert(0, str(ROOT / "scripts"))

from wildaffect.workflow.plan import Plan, make_plan

LENGTHS = {"video0": 2.0, "video1": None}
"""Videos of the generated corpus that get pictures and sound, by length in seconds; None: the length asked for."""


def repeat(clip: Path, output: Path, seconds: float) -> None:
    """The packets of ``clip`` over and over, up to ``seconds``."""
    with av.open(str(output), "w") as target:
        streams, start = {}, 0.0
        while start < seconds:
            end = start
            with av.open(str(clip)) as source:
                wanted = [*source.streams.video[:1], *source.streams.audio[:1]]
                streams = streams or {stream.index: target.add_stream_from_template(stream) for stream in wanted}
                for packet in source.demux(wanted):
                    if packet.dts is None or start + float(packet.dts * packet.time_base) >= seconds:
                        continue
                    ticks = round(start / packet.time_base)
                    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                    end = max(end, float((max(packet.pts, packet.dts) + packet.duration) * packet.time_base))
                    packet.stream = streams[packet.stream.index]
                    target.mux(packet)
            start = end + 0.1  # sound may begin before zero


def wanted_files(plan: Plan, videos: Iterable[str]) -> list[str]:
    """Everything that the trainings read of some videos, and their contact sheets."""
    trials = {trial.trial for trial in plan.corpus.trials if trial.video in set(videos)}
    names = trials | set(videos)
    lists = {path for i in plan.instances for part in plan.inputs.training_lists(i).values() for path in part}
    groups = ((Path(path).stem, Path(path).parent.name) for path in lists)
    files = (path for kind, group in groups for path in plan.inputs.listed_files(kind, group))
    sheets = {f"{plan.config['results_dir']}/faces/sheets/{trial}.jpg" for trial in trials}
    return sorted({path for path in files if names & {Path(path).stem, Path(path).parent.name}} | sheets)


def parser_of(description: str, minutes: float) -> argparse.ArgumentParser:
    """The options of everything that repeats a clip: which, how long, and who finds faces in it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", help="ONNX detector for the retinaface backend; dlib's HOG otherwise")
    parser.add_argument("--options", default="{}", help="faces.options as JSON")
    parser.add_argument("--minutes", type=float, default=minutes)
    return parser


def prepare(folder: Path, videos: int, model: str | None, options: str) -> tuple[Path, Plan]:
    """A corpus of names, and the configuration of every system with the detector that was asked for."""
    write_corpus(folder / "corpus", videos)
    config = write_config(folder)
    settings = yaml.safe_load(config.read_text())
    if model:
        settings["faces"] |= {"backend": "retinaface", "model": str(Path(model).resolve())}
    settings["faces"]["options"] = json.loads(options)
    config.write_text(yaml.safe_dump(settings))
    return config, make_plan(settings)


def durations(results: Path) -> dict[str, dict[str, float]]:
    """Seconds by rule and what it makes, then by video."""
    found: dict[str, dict[str, float]] = {}
    for path in (results / "benchmarks").rglob("*.jsonl"):
        if path.stem in LENGTHS:
            what = str(path.parent.relative_to(results / "benchmarks"))
            found.setdefault(what, {})[path.stem] = json.loads(path.read_text())["s"]
    return found


def main() -> None:
    parser = parser_of(__doc__, minutes=5)
    parser.add_argument("--cores", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, plan = prepare(folder, 20, arguments.model, arguments.options)
        for video, seconds in LENGTHS.items():
            repeat(arguments.clip, folder / "corpus" / f"{video}.mp4", seconds or 60 * arguments.minutes)
        # Not in the project's folder: what Snakemake remembers of these files must not stay there.
        options = ["--directory", str(folder), "--cores", str(arguments.cores), "--configfile", str(config)]
        call(
            folder,
            "-m",
            "snakemake",
            "--snakefile",
            str(ROOT / "workflow" / "Snakefile"),
            *options,
            "--",
            *wanted_files(plan, LENGTHS),
        )
        print(f"{'job':40} {'2 s':>8} {arguments.minutes:>6g} min   overhead")
        for what, seconds in sorted(durations(folder / "results").items()):
            short, long = (seconds[video] for video in LENGTHS)
            print(f"{what:40} {short:6.1f} s {long:8.1f} s {short / long:10.0%}", flush=True)


if __name__ == "__main__":
    main()
