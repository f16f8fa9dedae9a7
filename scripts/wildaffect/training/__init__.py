"""One trainer and one predictor for all systems, on Lightning Fabric."""
