"""Compute features of one video's audio, a row per decoded frame."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.features.extract import extract_features
    from wildaffect.job import device

    extract_features(
        {paths.wildcards(paths.FEATURE, path)["feature"]: Path(path) for path in snakemake.output.features},
        Path(snakemake.input.audio),
        Path(snakemake.input.frames),
        weights=snakemake.params.weights,
        pca=snakemake.params.pca,
        models_dir=Path(snakemake.params.models_dir),
        device=device(snakemake.resources.gpu),
        threads=snakemake.threads,
    )
