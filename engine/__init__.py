"""The engine: samples in, instrument events out. It imports nothing of the server, the client or the models."""
