"""Put the organisers' pictures of one trial into one file."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.official import pack_official

    pack_official(
        Path(snakemake.params.root),
        Path(snakemake.input.frames),
        snakemake.wildcards.trial,
        {snakemake.wildcards.template: Path(snakemake.output.crops)},
    )
