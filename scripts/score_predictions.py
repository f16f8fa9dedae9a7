"""Score all held-out predictions by the rules of every edition asked for."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.scoring.results import score_predictions
    from wildaffect.scoring.tasks import tracks_of

    score_predictions(
        paths.prediction_entries(snakemake.input.predictions),
        paths.keyed(paths.LABELS, snakemake.input.labels),
        tracks_of(snakemake.params.editions),
        Path(snakemake.output.scores),
        Path(snakemake.output.trials),
        folds=Path(snakemake.input.folds),
        resamples=snakemake.params.bootstrap,
    )
