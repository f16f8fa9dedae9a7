"""Draw a page of thumbnails by which one trial can be checked at a glance."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.previews import write_contact_sheet

    write_contact_sheet(
        Path(snakemake.input.video),
        Path(snakemake.input.crops),
        Path(snakemake.input.persons),
        Path(snakemake.output.sheet),
    )
