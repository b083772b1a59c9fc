"""A model made by hand, whose answers can be worked out on paper: `low` below about 1 kHz, `high` above.

One layer of two integrators. Each band's spike speaks for one label and against the other; the bias pulls both to
"no" in silence.
"""

import numpy as np

from engine.config import FrontEnd
from engine.weights import Layer, Model

BETA = 0.9
SHIFT = 6


def toy_model() -> Model:
    front_end = FrontEnd(fibre_gains=(2.0,))
    low = np.arange(front_end.bands) < 28
    weight = np.where(low[:, None], [[24, -24]], [[-24, 24]]).astype(np.int8)
    layer = Layer(
        weight=weight,
        bias=np.full(2, -16, np.int32),
        shift=SHIFT,
        beta=np.full(2, BETA, np.float32),
        threshold=np.ones(2, np.float32),
        reset="none",
    )
    return Model(
        name="toy",
        version="0.0.1",
        labels=("low", "high"),
        families=("test", "test"),
        front_end=front_end,
        layers=(layer,),
        on=(0.7, 0.7),
        off=(0.4, 0.4),
        trained={"data": "none: made by hand"},
    )
