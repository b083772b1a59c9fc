"""The systems of the literature: yardsticks for the spiking detectors, each trained and judged by the same commands."""
