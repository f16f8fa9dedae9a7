"""Find the body of the person that each trial of a video shows."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.features.bodies.find import find_bodies
    from wildaffect.job import device

    find_bodies(
        snakemake.params.bodies["source"],
        snakemake.input.get("source") or None,
        Path(snakemake.input.video),
        Path(snakemake.input.persons),
        Path(snakemake.output.bodies),
        first_frame=snakemake.params.bodies["first_frame"],
        person=snakemake.params.bodies["person"],
        models_dir=snakemake.params.models_dir,
        device=device(snakemake.resources.gpu),
        threads=snakemake.threads,
    )
