"""Write down what was said of a feature that was computed elsewhere."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from wildaffect.features.imported import describe_import, imported_feature

    describe_import(imported_feature(snakemake.wildcards.name, snakemake.params.entry), Path(snakemake.output.about))
