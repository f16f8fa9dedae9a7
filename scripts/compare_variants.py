"""Compare every pair of variants on the held-out trials that both predict."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.scoring.comparison import compare_variants
    from wildaffect.scoring.tasks import tracks_of

    compare_variants(
        paths.prediction_entries(snakemake.input.predictions),
        paths.keyed(paths.LABELS, snakemake.input.labels),
        tracks_of(snakemake.params.editions),
        Path(snakemake.output.comparisons),
        resamples=snakemake.params.resamples,
    )
