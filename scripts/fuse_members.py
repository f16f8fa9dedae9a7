"""Fuse the members of a declared ensemble."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from wildaffect.paths import instance_entries
    from wildaffect.scoring.ensembles import fuse_members

    fuse_members(
        Path(snakemake.output.predictions),
        instance_entries(snakemake.input.predictions),
        snakemake.params.members,
        snakemake.params.columns,
        **snakemake.params.fusion,
    )
