"""Power spectrum of a real frame, in float32. Knows powers of two and twiddle factors; nothing of bands or time.

A real frame of N samples is read as N/2 complex numbers (even samples real, odd samples imaginary), transformed by
a Stockham radix-4 FFT with a radix-2 last stage where N/2 is not a power of four, and untangled into the bins
0..N/2 of the real transform. Only additions and multiplications: the same bits on every CPU.
Source: Cooley and Tukey 1965; autosort ordering after Stockham 1966; untangling after Sorensen et al. 1987.

Kernels are made for one N, so that every length and offset is a constant: LLVM then sees that what is read and what is
written do not overlap, and vectorises. One flat array holds four rows of N / 2: the real and imaginary parts that a
stage reads, and those that it writes.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numba as nb
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from engine.jit import OPTIONS, kernel, named, part

f32 = np.float32
usize = nb.uintp  # an unsigned index needs no test for "counted from the end"

LENGTHS = (256, 512, 1024, 2048, 4096)


def twiddles(n: int) -> NDArray[np.float32]:
    """exp(-2 pi i p / n) for p < n, (2, n) float32: cosines and sines, rounded once from float64."""
    angle = -2.0 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def first_twiddles(n: int) -> NDArray[np.float32]:
    """The first stage's twiddles in the order in which it reads them, (6, n / 8) float32.

    Rows: cosine and sine of exp(-2 pi i k p / (n / 2)) for k = 1, 2, 3.
    """
    table = twiddles(n)
    p = np.arange(n // 8)
    return np.concatenate([table[:, 2 * k * p] for k in (1, 2, 3)])


@kernel
def butterfly(
    ar: float, ai: float, br: float, bi: float, cr: float, ci: float, dr: float, di: float,
    c1: float, s1: float, c2: float, s2: float, c3: float, s3: float,
) -> tuple[float, float, float, float, float, float, float, float]:  # fmt: skip
    """Radix-4, decimation in frequency: four complex numbers a..d to y0..y3, y1..y3 turned by their twiddles.

    y0 = a + b + c + d; y1 = w1 ((a - c) - i (b - d)); y2 = w2 ((a + c) - (b + d)); y3 = w3 ((a - c) + i (b - d)).
    """
    pr, pi, mr, mi = ar + cr, ai + ci, ar - cr, ai - ci
    qr, qi, nr, ni = br + dr, bi + di, br - dr, bi - di
    xr, xi = mr + ni, mi - nr
    zr, zi = pr - qr, pi - qi
    tr, ti = mr - ni, mi + nr
    return (
        pr + qr, pi + qi,
        c1 * xr - s1 * xi, c1 * xi + s1 * xr,
        c2 * zr - s2 * zi, c2 * zi + s2 * zr,
        c3 * tr - s3 * ti, c3 * ti + s3 * tr,
    )  # fmt: skip


@cache
def power_spectrum_for(n: int) -> Callable[..., None]:
    """The compiled kernel for frames of `n` samples, one of LENGTHS.

    Its arguments: ring, start, window, table, first_table, work, power. It writes |rfft(window * frame)| ** 2 with
    frame = ring[start : start + n]. ring, window (n,), table (2, n) of `twiddles`, first_table (6, n / 8) of
    `first_twiddles`, work (2 n,) scratch, power (n / 2 + 1,): all float32.
    """
    half = n // 2
    near, far = 0, n  # where the two pairs of rows start in `work`
    stages = [_load(half, near), _first_stage(half, near, far), _second_stage(half, far, near)]
    src, dst, length, stride = near, far, half // 16, 16
    while length >= 4:
        stages.append(_stage(half, src, dst, length, stride))
        src, dst, length, stride = dst, src, length // 4, stride * 4
    if length == 2:
        stages.append(_last_stage(half, src, dst, stride))
        src, dst = dst, src
    stages.append(_untangle(half, src))

    # numba calls no list of functions: the stages are chained, each calling the one before
    chain = stages[0]
    for stage in stages[1:]:
        chain = _then(chain, stage)
    return chain


def _then(before: Callable[..., Any], stage: Callable[..., Any]) -> Callable[..., Any]:
    @part
    def both(ring, start, window, table, first_table, work, power):  # type: ignore[no-untyped-def]
        before(ring, start, window, table, first_table, work, power)
        stage(ring, start, window, table, first_table, work, power)

    return both


def _load(half: int, dst: int) -> Callable[..., Any]:
    """Window the frame; even samples to the real row, odd ones to the imaginary row."""
    re, im = dst, dst + half

    @part
    def load(ring, start, window, table, first_table, work, power):  # type: ignore[no-untyped-def]
        at = usize(start)
        for i in range(usize(half)):
            even = usize(2) * i
            odd = even + usize(1)
            work[usize(re) + i] = ring[at + even] * window[even]
            work[usize(im) + i] = ring[at + odd] * window[odd]

    return load


def _first_stage(half: int, src: int, dst: int) -> Callable[..., Any]:
    """Stride 1: the loop runs over the butterflies, and each writes four neighbours."""
    quarter = half // 4

    @part
    def first_stage(ring, start, window, table, first_table, work, power):  # type: ignore[no-untyped-def]
        t = first_table
        for p in range(usize(quarter)):
            a = usize(src) + p
            b, c, d = a + usize(quarter), a + usize(2 * quarter), a + usize(3 * quarter)
            y0r, y0i, y1r, y1i, y2r, y2i, y3r, y3i = butterfly(
                work[a], work[a + usize(half)], work[b], work[b + usize(half)],
                work[c], work[c + usize(half)], work[d], work[d + usize(half)],
                t[0, p], t[1, p], t[2, p], t[3, p], t[4, p], t[5, p],
            )  # fmt: skip
            y = usize(dst) + usize(4) * p
            work[y], work[y + usize(1)], work[y + usize(2)], work[y + usize(3)] = y0r, y1r, y2r, y3r
            y += usize(half)
            work[y], work[y + usize(1)], work[y + usize(2)], work[y + usize(3)] = y0i, y1i, y2i, y3i

    return first_stage


def _stage(half: int, src: int, dst: int, length: int, stride: int) -> Callable[..., Any]:
    """`stride` interleaved transforms of `length` become `4 * stride` of `length / 4`; runs over the former."""
    quarter = length // 4
    apart = stride * quarter
    step = 2 * half // length

    @part
    def stage(ring, start, window, table, first_table, work, power):  # type: ignore[no-untyped-def]
        for p in range(usize(quarter)):
            c1, s1 = table[0, usize(step) * p], table[1, usize(step) * p]
            c2, s2 = table[0, usize(2 * step) * p], table[1, usize(2 * step) * p]
            c3, s3 = table[0, usize(3 * step) * p], table[1, usize(3 * step) * p]
            for q in range(usize(stride)):
                a = usize(src) + usize(stride) * p + q
                b, c, d = a + usize(apart), a + usize(2 * apart), a + usize(3 * apart)
                y0r, y0i, y1r, y1i, y2r, y2i, y3r, y3i = butterfly(
                    work[a], work[a + usize(half)], work[b], work[b + usize(half)],
                    work[c], work[c + usize(half)], work[d], work[d + usize(half)],
                    c1, s1, c2, s2, c3, s3,
                )  # fmt: skip
                y = usize(dst) + usize(4 * stride) * p + q
                work[y], work[y + usize(half)] = y0r, y0i
                y += usize(stride)
                work[y], work[y + usize(half)] = y1r, y1i
                y += usize(stride)
                work[y], work[y + usize(half)] = y2r, y2i
                y += usize(stride)
                work[y], work[y + usize(half)] = y3r, y3i

    return stage


def _second_stage(half: int, src: int, dst: int) -> Callable[..., Any]:
    """Stride 4, too short a loop to vectorise: four butterflies by hand, all read before any is written."""
    quarter = half // 4
    length = half // 4
    step = 2 * half // length

    @part
    def read(work, a, c1, s1, c2, s2, c3, s3):  # type: ignore[no-untyped-def]
        b, c, d = a + usize(quarter), a + usize(2 * quarter), a + usize(3 * quarter)
        return butterfly(
            work[a], work[a + usize(half)], work[b], work[b + usize(half)],
            work[c], work[c + usize(half)], work[d], work[d + usize(half)],
            c1, s1, c2, s2, c3, s3,
        )  # fmt: skip

    @part
    def write(work, at, q0, q1, q2, q3):  # type: ignore[no-untyped-def]
        work[at], work[at + usize(1)], work[at + usize(2)], work[at + usize(3)] = q0, q1, q2, q3

    @part
    def second_stage(ring, start, window, table, first_table, work, power):  # type: ignore[no-untyped-def]
        for p in range(usize(length // 4)):
            c1, s1 = table[0, usize(step) * p], table[1, usize(step) * p]
            c2, s2 = table[0, usize(2 * step) * p], table[1, usize(2 * step) * p]
            c3, s3 = table[0, usize(3 * step) * p], table[1, usize(3 * step) * p]
            a = usize(src) + usize(4) * p
            q0 = read(work, a, c1, s1, c2, s2, c3, s3)
            q1 = read(work, a + usize(1), c1, s1, c2, s2, c3, s3)
            q2 = read(work, a + usize(2), c1, s1, c2, s2, c3, s3)
            q3 = read(work, a + usize(3), c1, s1, c2, s2, c3, s3)
            y = usize(dst) + usize(16) * p
            write(work, y, q0[0], q1[0], q2[0], q3[0])
            write(work, y + usize(4), q0[2], q1[2], q2[2], q3[2])
            write(work, y + usize(8), q0[4], q1[4], q2[4], q3[4])
            write(work, y + usize(12), q0[6], q1[6], q2[6], q3[6])
            y += usize(half)
            write(work, y, q0[1], q1[1], q2[1], q3[1])
            write(work, y + usize(4), q0[3], q1[3], q2[3], q3[3])
            write(work, y + usize(8), q0[5], q1[5], q2[5], q3[5])
            write(work, y + usize(12), q0[7], q1[7], q2[7], q3[7])

    return second_stage


def _last_stage(half: int, src: int, dst: int, stride: int) -> Callable[..., Any]:
    """Radix 2, for lengths that are not a power of four: `stride` transforms of length 2."""

    @part
    def last_stage(ring, start, window, table, first_table, work, power):  # type: ignore[no-untyped-def]
        for q in range(usize(stride)):
            a = usize(src) + q
            b = a + usize(stride)
            ar, ai, br, bi = work[a], work[a + usize(half)], work[b], work[b + usize(half)]
            y = usize(dst) + q
            work[y], work[y + usize(half)] = ar + br, ai + bi
            y += usize(stride)
            work[y], work[y + usize(half)] = ar - br, ai - bi

    return last_stage


def _untangle(half: int, src: int) -> Callable[..., Any]:
    """X[k] = (Z[k] + conj Z[-k]) / 2 - i w^k (Z[k] - conj Z[-k]) / 2 with w = exp(-2 pi i / n); power is |X| ** 2."""
    re, im = src, src + half

    @part
    def untangle(ring, start, window, table, first_table, work, power):  # type: ignore[no-untyped-def]
        re0, im0 = work[usize(re)], work[usize(im)]
        power[0] = (re0 + im0) * (re0 + im0)
        power[usize(half)] = (re0 - im0) * (re0 - im0)
        for k in range(usize(1), usize(half)):
            zr, zi = work[usize(re) + k], work[usize(im) + k]
            yr, yi = work[usize(re + half) - k], work[usize(im + half) - k]
            even_re, even_im = f32(0.5) * (zr + yr), f32(0.5) * (zi - yi)
            odd_re, odd_im = f32(0.5) * (zi + yi), f32(0.5) * (yr - zr)
            c, s = table[0, k], table[1, k]
            x = even_re + (c * odd_re - s * odd_im)
            y = even_im + (c * odd_im + s * odd_re)
            power[k] = x * x + y * y

    return untangle


def power_spectrum(
    ring: NDArray[np.float32],
    start: int,
    window: NDArray[np.float32],
    table: NDArray[np.float32],
    first_table: NDArray[np.float32],
    work: NDArray[np.float32],
    power: NDArray[np.float32],
) -> None:
    """`power_spectrum_for(len(window))`; inside a kernel, where `window` is a record's field, chosen by its type."""
    power_spectrum_for(len(window))(ring, start, window, table, first_table, work, power)


@overload(power_spectrum, jit_options=OPTIONS)
def _power_spectrum(ring, start, window, table, first_table, work, power):  # type: ignore[no-untyped-def]
    chosen = power_spectrum_for(window.shape[0])

    def call(ring, start, window, table, first_table, work, power):  # type: ignore[no-untyped-def]
        chosen(ring, start, window, table, first_table, work, power)

    return named(call)
