"""A finished model for other machines: NIR graphs for spiking toolkits and chips, ONNX, a chip's own numbers."""
