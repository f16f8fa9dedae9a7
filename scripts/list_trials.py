"""Write the table of trials and the folds."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.workflow.corpus import write_corpus_tables

    write_corpus_tables(
        Path(snakemake.output.trials),
        Path(snakemake.output.folds),
        corpus=snakemake.params.corpus,
        folds_config=snakemake.params.folds,
    )
