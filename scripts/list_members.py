"""Write down which trials the trainings for certain tasks on one fold read, apart from all others."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.corpus.folds import write_fold_trials

    write_fold_trials(
        Path(snakemake.output.trials),
        Path(snakemake.output.folds),
        trials=snakemake.params.trials,
        folds=snakemake.params.folds,
    )
