"""Draw boxes, points and names into a copy of a video."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.previews import draw_overlay

    draw_overlay(
        Path(snakemake.input.video),
        Path(snakemake.input.frames),
        Path(snakemake.input.persons),
        Path(snakemake.output.overlay),
        threads=snakemake.threads,
    )
