"""Write down which network with which weights made the vectors."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.features.embeddings import describe_embedding

    describe_embedding(
        snakemake.wildcards.name,
        Path(snakemake.output.about),
        **snakemake.params.entry,
        weights=snakemake.params.weights,
        models_dir=snakemake.params.models_dir,
    )
