"""List the files of one kind that a block of trials consists of."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.manifests import write_list

    write_list(snakemake.input.files, Path(snakemake.output.list))
