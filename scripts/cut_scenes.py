"""Make one trial's pictures of the whole scene, of the body in it, or of the scene without it."""

from wildaffect.stage import stage

with stage(snakemake.log[0], snakemake.threads):
    from pathlib import Path

    from wildaffect.features.scenes import cut_scenes

    cut_scenes(
        Path(snakemake.input.video),
        Path(snakemake.input.frames),
        snakemake.input.get("bodies") or None,
        snakemake.wildcards.trial,
        {snakemake.wildcards.template: Path(snakemake.output.crops)},
        threads=snakemake.threads,
    )
