"""Make one trial's pictures of the whole scene, of the body in it, and of the scene without it, in one template or several."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from wildaffect.features.scenes import cut_scenes

    cut_scenes(
        Path(snakemake.input.video),
        Path(snakemake.input.frames),
        snakemake.input.get("bodies") or None,
        snakemake.wildcards.trial,
        {Path(crops).parent.name: Path(crops) for crops in snakemake.output},
        threads=snakemake.threads,
    )
