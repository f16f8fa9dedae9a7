"""Cut the face of one trial in several templates, and draw its contact sheet if asked to."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.cutting import cut_together

    cut_together(
        Path(snakemake.input.video),
        Path(snakemake.input.persons),
        snakemake.wildcards.trial,
        {Path(crops).parent.name: Path(crops) for crops in snakemake.output.crops},
        sheet=next(map(Path, snakemake.output.sheet), None),
        threads=snakemake.threads,
    )
