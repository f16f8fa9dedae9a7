"""Fuse the members of a declared ensemble."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.scoring.ensembles import fuse_members

    fuse_members(
        Path(snakemake.output.predictions),
        paths.prediction_entries(snakemake.input.predictions),
        snakemake.params.members,
        snakemake.params.columns,
        **snakemake.params.fusion,
    )
