"""Cut one trial's crops of the whole scene, of the body in it, and of the scene without it, in one template or several."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.alignment import Template
    from wildaffect.features.scenes import cut_scenes

    cut_scenes(
        Path(snakemake.input.video),
        Path(snakemake.input.frames),
        snakemake.input.get("bodies") or None,
        snakemake.wildcards.trial,
        dict(
            zip((Template(**value) for value in snakemake.params.templates), map(Path, snakemake.output), strict=True)
        ),
        threads=snakemake.threads,
    )
