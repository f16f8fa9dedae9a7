"""Make the crops of a template that is resized from another one's."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.alignment import Template
    from wildaffect.faces.cutting import resize_crops

    resize_crops(Path(snakemake.input.crops), Template(**snakemake.params.template), Path(snakemake.output.crops))
