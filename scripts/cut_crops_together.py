"""Cut the face of one trial in several templates, and draw its contact sheet if asked to."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.alignment import Template
    from wildaffect.faces.cutting import cut_together

    cut_together(
        Path(snakemake.input.video),
        Path(snakemake.input.persons),
        snakemake.wildcards.trial,
        dict(
            zip(
                (Template(**value) for value in snakemake.params.templates),
                map(Path, snakemake.output.crops),
                strict=True,
            )
        ),
        sheet=next(map(Path, snakemake.output.sheet), None),
        sheet_source=snakemake.params.sheet_source,
        threads=snakemake.threads,
    )
