"""List in which frames the organisers found each trial's face."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.official import read_official

    read_official(
        Path(snakemake.params.root),
        Path(snakemake.input.frames),
        snakemake.params.trials,
        Path(snakemake.output.persons),
        Path(snakemake.output.detections),
    )
