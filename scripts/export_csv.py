"""Write one CSV per predicted trial, for people without a Parquet reader."""

from wildaffect.stage import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.layout import instance_entries
    from wildaffect.submission.export import export_csv

    export_csv(Path(snakemake.output.folder), instance_entries(snakemake.input.predictions))
