"""Cut the aligned face of one trial out of every frame."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.alignment import Template
    from wildaffect.faces.cutting import cut_crops

    cut_crops(
        Path(snakemake.input.video),
        Path(snakemake.input.persons),
        snakemake.wildcards.trial,
        {Template(**snakemake.params.template): Path(snakemake.output.crops)},
        threads=snakemake.threads,
    )
