"""Fuse the members of a declared ensemble."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.scoring.ensembles import fuse_members
    from wildaffect.scoring.tasks import tracks_of

    fuse_members(
        Path(snakemake.output.predictions),
        paths.prediction_entries(snakemake.input.predictions),
        snakemake.params.members,
        snakemake.params.columns,
        **snakemake.params.fusion,
        held_out=paths.prediction_entries(snakemake.input.get("held_out", [])),
        labels=paths.keyed(paths.LABELS, snakemake.input.get("labels", [])),
        editions=tracks_of(snakemake.params.editions),
    )
