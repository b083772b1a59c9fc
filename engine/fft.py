"""Power spectrum of a real frame, in float32. Knows powers of two and twiddle factors; nothing of bands or time.

A real frame of N samples is read as N/2 complex numbers (even samples real, odd samples imaginary), transformed by
a Stockham radix-4 FFT with a radix-2 last stage where N/2 is not a power of four, and untangled into the bins
0..N/2 of the real transform. Only additions and multiplications: the same bits on every CPU.
Source: Cooley and Tukey 1965; autosort ordering after Stockham 1966; untangling after Sorensen et al. 1987.
"""

import numpy as np
from numpy.typing import NDArray

from engine.jit import kernel

f32 = np.float32


def stage_twiddles(n: int) -> NDArray[np.float32]:
    """exp(-2 pi i p / n) for p < n, (2, n) float32: cosines and sines, rounded once from float64."""
    angle = -2.0 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)


@kernel
def power_spectrum(
    ring: NDArray[np.float32],
    start: int,
    window: NDArray[np.float32],
    twiddle: NDArray[np.float32],
    work: NDArray[np.float32],
    power: NDArray[np.float32],
) -> None:
    """|rfft(window * ring[start : start + N])| ** 2.

    window: (N,) float32. twiddle: (2, N) float32 of `stage_twiddles(N)`. work: (4, N/2) float32 scratch.
    power: (N/2 + 1,) float32, written.
    """
    half = window.shape[0] // 2
    for i in range(half):
        work[0, i] = ring[start + 2 * i] * window[2 * i]
        work[1, i] = ring[start + 2 * i + 1] * window[2 * i + 1]

    n = half  # length of the transforms that remain
    stride = 1  # how many of them are interleaved
    src = 0  # which half of `work` holds the data: rows 0, 1 or rows 2, 3
    while n >= 4:
        _radix4(work, src, n, stride, twiddle, 2 * half // n)
        n //= 4
        stride *= 4
        src = 2 - src
    if n == 2:
        _radix2(work, src, stride)
        src = 2 - src

    # X[k] = (Z[k] + conj Z[-k]) / 2 - i w^k (Z[k] - conj Z[-k]) / 2, with w = exp(-2 pi i / N)
    re0 = work[src, 0]
    im0 = work[src + 1, 0]
    power[0] = (re0 + im0) * (re0 + im0)
    power[half] = (re0 - im0) * (re0 - im0)
    for k in range(1, half):
        zr = work[src, k]
        zi = work[src + 1, k]
        yr = work[src, half - k]
        yi = work[src + 1, half - k]
        even_re = f32(0.5) * (zr + yr)
        even_im = f32(0.5) * (zi - yi)
        odd_re = f32(0.5) * (zi + yi)
        odd_im = f32(0.5) * (yr - zr)
        c = twiddle[0, k]
        s = twiddle[1, k]
        re = even_re + (c * odd_re - s * odd_im)
        im = even_im + (c * odd_im + s * odd_re)
        power[k] = re * re + im * im


@kernel
def _radix4(work: NDArray[np.float32], src: int, n: int, stride: int, twiddle: NDArray[np.float32], step: int) -> None:
    """One Stockham stage: `stride` interleaved transforms of length `n` become `4 * stride` of length `n / 4`.

    twiddle[:, step * p] is exp(-2 pi i p / n).
    """
    dst = 2 - src
    quarter = n // 4
    for p in range(quarter):
        c1 = twiddle[0, step * p]
        s1 = twiddle[1, step * p]
        c2 = twiddle[0, 2 * step * p]
        s2 = twiddle[1, 2 * step * p]
        c3 = twiddle[0, 3 * step * p]
        s3 = twiddle[1, 3 * step * p]
        a = stride * p
        b = a + stride * quarter
        c = b + stride * quarter
        d = c + stride * quarter
        out = 4 * stride * p
        for q in range(stride):
            ar = work[src, a + q]
            ai = work[src + 1, a + q]
            br = work[src, b + q]
            bi = work[src + 1, b + q]
            cr = work[src, c + q]
            ci = work[src + 1, c + q]
            dr = work[src, d + q]
            di = work[src + 1, d + q]
            sum_ac_re = ar + cr
            sum_ac_im = ai + ci
            dif_ac_re = ar - cr
            dif_ac_im = ai - ci
            sum_bd_re = br + dr
            sum_bd_im = bi + di
            dif_bd_re = br - dr
            dif_bd_im = bi - di
            work[dst, out + q] = sum_ac_re + sum_bd_re
            work[dst + 1, out + q] = sum_ac_im + sum_bd_im
            xr = dif_ac_re + dif_bd_im  # (a - c) - i (b - d)
            xi = dif_ac_im - dif_bd_re
            work[dst, out + stride + q] = c1 * xr - s1 * xi
            work[dst + 1, out + stride + q] = c1 * xi + s1 * xr
            xr = sum_ac_re - sum_bd_re
            xi = sum_ac_im - sum_bd_im
            work[dst, out + 2 * stride + q] = c2 * xr - s2 * xi
            work[dst + 1, out + 2 * stride + q] = c2 * xi + s2 * xr
            xr = dif_ac_re - dif_bd_im  # (a - c) + i (b - d)
            xi = dif_ac_im + dif_bd_re
            work[dst, out + 3 * stride + q] = c3 * xr - s3 * xi
            work[dst + 1, out + 3 * stride + q] = c3 * xi + s3 * xr


@kernel
def _radix2(work: NDArray[np.float32], src: int, stride: int) -> None:
    """Last stage for lengths that are not a power of four: `stride` transforms of length 2."""
    dst = 2 - src
    for q in range(stride):
        ar = work[src, q]
        ai = work[src + 1, q]
        br = work[src, stride + q]
        bi = work[src + 1, stride + q]
        work[dst, q] = ar + br
        work[dst + 1, q] = ai + bi
        work[dst, stride + q] = ar - br
        work[dst + 1, stride + q] = ai - bi
