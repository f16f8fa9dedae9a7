"""Write down what was said of a feature that was computed elsewhere."""

from wildaffect.stage import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.features.imported import describe_import, source

    describe_import(
        source(snakemake.wildcards.name, snakemake.params.entry | {"path": snakemake.params.path}),
        Path(snakemake.output.about),
    )
