"""Other people's detectors, where a path to them is given: CPU for each second of audio. Knows their inputs only.

YAMNet answers every half window of 0.975 s; Silero VAD, a voice detector, takes chunks of 32 ms and carries its state.
"""

from pathlib import Path

import numpy as np

from engine.pipeline import Pipeline
from engine.weights import Model
from tests.bench.subjects import RATE_HZ, sound
from tests.bench.timing import Run

SILERO_CHUNK = 512
SILERO_CONTEXT = 64  # samples of the chunk before


def engine(model: Model) -> tuple[Run, float]:
    """A frame of the engine, and its hop in seconds."""
    stream, music = Pipeline(model), sound(10.0)
    return Run(lambda: stream.feed(music), len(music) // model.front_end.hop_samples), model.front_end.hop_s


def yamnet(path: Path) -> tuple[Run, float]:
    """One window, and the seconds of audio between two of them. Raises ImportError without ai-edge-litert."""
    from ai_edge_litert.interpreter import Interpreter

    model = Interpreter(str(path), num_threads=1)
    model.allocate_tensors()
    given = model.get_input_details()[0]
    answer = model.get_output_details()[0]["index"]
    window = int(given["shape"][-1])
    music = sound(10.0)

    def run() -> None:
        for start in range(0, len(music) - window, window // 2):
            model.set_tensor(given["index"], music[start : start + window].reshape(given["shape"]))
            model.invoke()
            model.get_tensor(answer)

    return Run(run, len(range(0, len(music) - window, window // 2))), window / 2 / RATE_HZ


def silero(path: Path) -> tuple[Run, float]:
    """One chunk, and its seconds. Raises ImportError without onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    rate = np.array(RATE_HZ, np.int64)
    music = sound(10.0)
    starts = range(SILERO_CONTEXT, len(music) - SILERO_CHUNK, SILERO_CHUNK)

    def run() -> None:
        state = np.zeros((2, 1, 128), np.float32)
        for start in starts:
            chunk = music[None, start - SILERO_CONTEXT : start + SILERO_CHUNK]
            _, state = session.run(None, {"input": chunk, "state": state, "sr": rate})

    return Run(run, len(starts)), SILERO_CHUNK / RATE_HZ


PEERS = {"YAMNet": yamnet, "Silero VAD": silero}
