"""Render one video of the demo corpus."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.demo.corpus import render_demo_video

    render_demo_video(
        Path(snakemake.output.video),
        subjects=snakemake.params.subjects,
        seconds=snakemake.params.seconds,
        seed=snakemake.params.seed,
    )
