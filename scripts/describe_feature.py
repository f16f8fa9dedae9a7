"""Write down what the columns of a feature are and how they were made."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.features.extract import describe_feature

    describe_feature(
        snakemake.wildcards.feature,
        Path(snakemake.output.about),
        weights=snakemake.params.weights,
        pca=snakemake.params.pca,
        models_dir=Path(snakemake.params.models_dir),
    )
