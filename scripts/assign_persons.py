"""Follow faces over time and decide which one each trial shows."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.options import TrackingOptions
    from wildaffect.faces.persons import assign_persons

    assign_persons(
        Path(snakemake.input.detections),
        Path(snakemake.input.frames),
        snakemake.params.trials,
        Path(snakemake.output.persons),
        options=TrackingOptions.from_plain(snakemake.params.options),
        overrides=snakemake.input.get("overrides"),
    )
