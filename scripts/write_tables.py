"""Write tables by frame, by person and video, and by segment, and the dictionary of their columns."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.manifests import read_lists, video_of_trial
    from wildaffect.tabulation.write import Inputs, write_tables

    given, made = snakemake.input, snakemake.output
    speech = paths.keyed(paths.FEATURE, read_lists(given.speech))
    write_tables(
        Path(made.frames),
        Path(made.videos),
        Path(made.segments),
        Path(made.text),
        Path(made.data),
        Inputs(
            video_of=video_of_trial(Path(given.trials)),
            frames=paths.keyed(paths.FRAMES, read_lists(given.frames)),
            persons=paths.keyed(paths.PERSONS, read_lists(given.persons)),
            quality=paths.keyed(paths.QUALITY, read_lists(given.quality)),
            predictions=paths.prediction_entries(given.predictions),
            speech=speech.get("speech", {}),
            subjects=snakemake.params.subjects,
            segments=next(map(Path, given.get("given", [])), None),
        ),
        snakemake.params.tables,
    )
