"""Draw boxes, points, names and predictions into a copy of a video."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.faces.previews import draw_overlay
    from wildaffect.faces.tables import read_counts
    from wildaffect.report.media import predicted_values

    values, title = predicted_values(
        paths.prediction_entries(snakemake.input.predictions), read_counts(snakemake.input.persons)
    )
    draw_overlay(
        Path(snakemake.input.video),
        Path(snakemake.input.frames),
        Path(snakemake.input.persons),
        Path(snakemake.output.overlay),
        audio=Path(snakemake.input.audio),
        values=values,
        title=title,
        threads=snakemake.threads,
    )
