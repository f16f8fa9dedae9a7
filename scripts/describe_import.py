"""Write down what the configuration says of a feature that was computed elsewhere."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.features.imported import describe_import, imported_feature

    entry = snakemake.params.entry | snakemake.params.files
    describe_import(imported_feature(snakemake.wildcards.name, entry), Path(snakemake.output.about))
