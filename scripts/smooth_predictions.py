"""Filter predictions over time."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.scoring.smoothing import smooth_file
    from wildaffect.scoring.tasks import tracks_of

    smooth_file(
        Path(snakemake.input.predictions),
        Path(snakemake.output.predictions),
        **snakemake.params.smoothing,
        held_out=paths.prediction_entries(snakemake.input.get("held_out", [])),
        labels=paths.keyed(paths.LABELS, snakemake.input.get("labels", [])),
        editions=tracks_of(snakemake.params.editions),
    )
