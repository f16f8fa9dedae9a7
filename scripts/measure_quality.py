"""Measure head pose, size, sharpness and brightness of the face of one trial, frame by frame."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.quality import measure_quality

    measure_quality(
        Path(snakemake.input.persons),
        Path(snakemake.input.crops),
        Path(snakemake.input.frames),
        snakemake.wildcards.trial,
        Path(snakemake.output.quality),
    )
