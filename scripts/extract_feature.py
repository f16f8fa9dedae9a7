"""Compute one feature of one video, a row per decoded frame."""

from wildaffect.stage import stage

with stage(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from wildaffect.features.extract import extract_feature
    from wildaffect.stage import device

    extract_feature(
        snakemake.wildcards.feature,
        Path(snakemake.input.audio),
        Path(snakemake.input.frames),
        Path(snakemake.output.feature),
        weights=snakemake.params.weights,
        pca=snakemake.params.pca,
        models_dir=Path(snakemake.params.models_dir),
        device=device(snakemake.resources.gpu),
        threads=snakemake.threads,
    )
