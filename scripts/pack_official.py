"""Put the organisers' images of one trial into one file."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.alignment import Template
    from wildaffect.faces.official import pack_official

    pack_official(
        Path(snakemake.params.root),
        Path(snakemake.input.frames),
        snakemake.wildcards.trial,
        {Template(**snakemake.params.template): Path(snakemake.output.crops)},
    )
