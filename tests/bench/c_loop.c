/* The honest rival: the same network as a plain event-driven loop in C.
 *
 * Compact the indices of the neurons that spiked, add their weight rows, step the LIF neurons in snntorch's order
 * (engine/lif.py has the equation). float32, every size a constant of the compiler, one call for many frames.
 * Compiled by tests/bench/c_loop.py with -D LAYERS, N0 (inputs), N1 .. N4 (widths) and R1 .. R4 (1: reset by
 * subtraction one step late, 0: none).
 */

#if defined(__GNUC__) && !defined(__clang__)
/* gcc 12's -O3 jams the loop over rows into the loop over neurons and so doubles the time: the rival is spared that. */
#pragma GCC optimize("no-loop-unroll-and-jam")
#endif

#include <stdint.h>
#include <string.h>

#define FIELDS(IN, OUT) float weight[IN][OUT]; float bias[OUT]; float beta[OUT]; float threshold[OUT];

struct network {
  struct { FIELDS(N0, N1) } l1;
#if LAYERS > 1
  struct { FIELDS(N1, N2) } l2;
#endif
#if LAYERS > 2
  struct { FIELDS(N2, N3) } l3;
#endif
#if LAYERS > 3
  struct { FIELDS(N3, N4) } l4;
#endif
};

#define MOST 512 /* the widest layer */

static inline __attribute__((always_inline)) void layer(
    int in, int out, int subtract, const float *restrict weight, const float *restrict bias, const float *restrict beta,
    const float *restrict threshold, const uint8_t *restrict inputs, float *restrict v, uint8_t *restrict spikes) {
  int active[MOST];
  _Alignas(64) float current[MOST];
  int count = 0;
  for (int i = 0; i < in; i++) {
    active[count] = i;
    count += inputs[i];
  }
  memcpy(current, bias, out * sizeof(float));
  for (int k = 0; k < count; k++) {
    const float *row = weight + (long)active[k] * out;
    for (int j = 0; j < out; j++) current[j] += row[j];
  }
  for (int j = 0; j < out; j++) {
    float due = v[j] > threshold[j] ? threshold[j] : 0.0f;
    float value = beta[j] * v[j] + current[j];
    if (subtract) value -= due;
    v[j] = value;
    spikes[j] = value > threshold[j];
  }
}

#define STEP(I, IN, OUT, INPUTS, AT)                                                                        \
  layer(IN, OUT, R##I, &net->l##I.weight[0][0], net->l##I.bias, net->l##I.beta, net->l##I.threshold, INPUTS, v + AT, \
        spikes + AT)

/* inputs: (frames, N0). v, spikes: (neurons), layer after layer. kept_v, kept_spikes: (frames, neurons), or NULL. */
void run(const struct network *restrict net, const uint8_t *restrict inputs, long frames, float *restrict v,
         uint8_t *restrict spikes, float *kept_v, uint8_t *kept_spikes) {
  enum { NEURONS = N1 + N2 + N3 + N4 };
  for (long frame = 0; frame < frames; frame++) {
    STEP(1, N0, N1, inputs + frame * N0, 0);
#if LAYERS > 1
    STEP(2, N1, N2, spikes, N1);
#endif
#if LAYERS > 2
    STEP(3, N2, N3, spikes + N1, N1 + N2);
#endif
#if LAYERS > 3
    STEP(4, N3, N4, spikes + N1 + N2, N1 + N2 + N3);
#endif
    if (kept_v) {
      memcpy(kept_v + frame * NEURONS, v, sizeof(float) * NEURONS);
      memcpy(kept_spikes + frame * NEURONS, spikes, NEURONS);
    }
  }
}
