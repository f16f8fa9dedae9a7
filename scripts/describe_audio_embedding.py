"""Write down which network of speech with which weights made the vectors."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.features.audio_embeddings import describe_audio_embedding

    describe_audio_embedding(
        snakemake.wildcards.name,
        Path(snakemake.output.about),
        **snakemake.params.entry,
        weights=snakemake.params.weights,
        models_dir=snakemake.params.models_dir,
    )
