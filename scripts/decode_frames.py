"""Decode a video once and write its frame table."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.media.frames import write_frame_table

    write_frame_table(Path(snakemake.input.video), Path(snakemake.output.frames), snakemake.params.stream)
