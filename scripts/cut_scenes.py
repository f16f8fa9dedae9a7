"""Cut one trial's crops of the whole scene, of the body in it, and of the scene without it, in one template or several."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect import paths
    from wildaffect.features.scenes import cut_scenes

    cut_scenes(
        Path(snakemake.input.video),
        Path(snakemake.input.frames),
        snakemake.input.get("bodies") or None,
        snakemake.wildcards.trial,
        {paths.wildcards(paths.CROPS, path)["template"]: Path(path) for path in snakemake.output},
        threads=snakemake.threads,
    )
