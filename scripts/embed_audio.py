"""Run a frozen network of speech over the audio of one video."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.features.audio_embeddings import embed_audio
    from wildaffect.job import device

    embed_audio(
        snakemake.wildcards.name,
        Path(snakemake.output.feature),
        Path(snakemake.input.audio),
        Path(snakemake.input.frames),
        **snakemake.params.entry,
        weights=snakemake.params.weights,
        models_dir=snakemake.params.models_dir,
        device=device(snakemake.resources.gpu),
        threads=snakemake.threads,
    )
