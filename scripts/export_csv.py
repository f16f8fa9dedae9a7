"""Write one CSV per predicted trial, for people without a Parquet reader."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.faces.tables import absent_trials
    from wildaffect.manifests import read_lists
    from wildaffect.submission.export import export_csv

    absent = [absent_trials(persons) for persons in read_lists(snakemake.input.persons)]
    export_csv(
        Path(snakemake.output.folder),
        paths.prediction_entries(snakemake.input.predictions),
        without=set().union(*absent),
    )
