"""Write down which trials the trainings for certain tasks on one fold read, apart from all others."""

from wildaffect.stage import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.corpus.members import write_members

    write_members(
        Path(snakemake.output.trials),
        Path(snakemake.output.folds),
        trials=snakemake.params.trials,
        folds=snakemake.params.folds,
    )
