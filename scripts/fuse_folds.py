"""Fuse what the folds of an instance say of the test trials."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.scoring.fusion import fuse_files

    fuse_files(
        [Path(path) for path in snakemake.input.predictions],
        Path(snakemake.output.predictions),
        **snakemake.params.fusion,
    )
