"""Write the labels that drive the rendering, in the layout of Aff-Wild2."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.demo.corpus import write_demo_annotations

    write_demo_annotations(
        Path(snakemake.params.root),
        subjects=snakemake.params.subjects,
        seconds=snakemake.params.seconds,
        seed=snakemake.params.seed,
    )
