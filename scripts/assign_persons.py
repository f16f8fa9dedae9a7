"""Follow faces over time and decide which one each trial shows."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from wildaffect.faces.persons import assign_persons

    assign_persons(
        Path(snakemake.input.detections),
        Path(snakemake.input.frames),
        snakemake.params.trials,
        Path(snakemake.output.persons),
        options=snakemake.params.options | {"overrides": snakemake.input.get("overrides")},
    )
