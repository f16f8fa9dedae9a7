"""Take the faces of one video as TSAV's authors aligned them."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.tsav_alignment import read_alignments

    read_alignments(
        dict(zip(snakemake.params.trials, map(Path, snakemake.input.alignments), strict=True)),
        Path(snakemake.input.frames),
        snakemake.params.trials,
        Path(snakemake.output.persons),
        Path(snakemake.output.detections),
    )
