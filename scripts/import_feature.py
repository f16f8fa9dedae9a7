"""Take one trial's vectors that were computed elsewhere, a row per decoded frame."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.features.imported import import_feature, imported_feature
    from wildaffect.media.frames import read_frames

    import_feature(
        imported_feature(snakemake.wildcards.name, snakemake.params.entry | snakemake.params.files),
        snakemake.wildcards.trial,
        snakemake.params.video,
        read_frames(snakemake.input.frames).times,
        Path(snakemake.output.feature),
        Path(snakemake.output.report),
    )
