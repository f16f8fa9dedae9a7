"""Run a frozen image network over the crops of one trial."""

from wildaffect.job import stage

with stage(snakemake.log[0], snakemake.threads, snakemake.params.code):
    from pathlib import Path

    from wildaffect.faces.crops import CropFile
    from wildaffect.features.embeddings import embed_crops, open_network, preparation
    from wildaffect.job import device

    entry = snakemake.params.entry
    network, _ = open_network(entry["network"], snakemake.params.weights, snakemake.params.models_dir, entry["onnx"])
    embed_crops(
        network,
        preparation(entry["network"], entry["onnx"])[0],
        CropFile(snakemake.input.crops),
        Path(snakemake.output.feature),
        device=device(snakemake.resources.gpu),
        threads=snakemake.threads,
    )
