"""Power spectrum of a real frame, in float32. Knows powers of two and twiddle factors; nothing of bands or time.

A real frame of N samples is read as N/2 complex numbers (even samples real, odd samples imaginary), transformed by
a Stockham radix-4 FFT with a radix-2 last stage where N/2 is not a power of four, and untangled into the bins
0..N/2 of the real transform. The first two stages work in columns, which one transposition sorts. Only additions and
multiplications: the same bits on every CPU.
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

from engine.jit import OPTIONS, Record, kernel, named, part
from engine.tile import SIDE, reverse_row, transpose_tile

f32 = np.float32
usize = nb.uintp  # an unsigned index needs no test for "counted from the end"

LENGTHS = (512, 1024, 2048, 4096)


def twiddles(n: int) -> NDArray[np.float32]:
    """exp(-2 pi i p / n) for p < n, (2, n) float32: cosines and sines, rounded once from float64."""
    angle = -2.0 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)


def first_twiddles(n: int) -> NDArray[np.float32]:
    """The first two stages' twiddles in the order in which they read them, (6, 5 n / 32) float32.

    Rows: cosine and sine of exp(-2 pi i k p / length) for k = 1, 2, 3; columns: p < length / 4 for the first stage's
    length, n / 2, then for the second's, n / 8.
    """
    table = twiddles(n)
    p = np.concatenate([2 * np.arange(n // 8), 8 * np.arange(n // 32)])
    return np.concatenate([table[:, k * p] for k in (1, 2, 3)])


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

    Its arguments: ear, scratch. It writes `scratch.power = |rfft(ear.window * scratch.frame)| ** 2`. Records, whose
    fields are float32: ear has window (n,), twiddle (2, n) of `twiddles`, first_twiddle (6, 5 n / 32) of
    `first_twiddles`; scratch has frame (n,), work (2 n,) and power (n / 2 + 1,).
    A record costs a call one argument, an array seven: with arrays the calls took as long as the stages.
    """
    half = n // 2
    near, far = 0, n  # where the two pairs of rows start in `work`
    stages = [_first_stage(half, far), _second_stage(half, far, near), _sort(half, near, far)]
    src, dst, length, stride = far, near, half // 16, 16
    while length >= 4:
        stages.append(_stage(half, src, dst, length, stride))
        src, dst, length, stride = dst, src, length // 4, stride * 4
    if length == 2:
        stages.append(_last_stage(half, src, dst, stride))
        src, dst = dst, src
    stages += [_mirror(half, src, dst), _untangle(half, src, dst)]

    return _in_turn(stages)


def _in_turn(stages: list[Callable[..., Any]]) -> Callable[..., Any]:
    """One function that calls them all, at most nine: numba calls no list of functions.

    Not a chain of pairs: each pair would be compiled and optimised again with all that it calls.
    """
    nine: list[Callable[..., Any]] = stages + [_nothing] * (9 - len(stages))
    a, b, c, d, e, f, g, h, i = nine

    @part
    def in_turn(ear, scratch):  # type: ignore[no-untyped-def]
        a(ear, scratch)
        b(ear, scratch)
        c(ear, scratch)
        d(ear, scratch)
        e(ear, scratch)
        f(ear, scratch)
        g(ear, scratch)
        h(ear, scratch)
        i(ear, scratch)

    return in_turn


@part
def _nothing(ear, scratch):  # type: ignore[no-untyped-def]
    pass


def _first_stage(half: int, dst: int) -> Callable[..., Any]:
    """Window the frame, even samples real, odd ones imaginary, and do the first stage in columns (`_second_stage`)."""
    quarter = half // 4

    @part
    def windowed(frame, window, i):  # type: ignore[no-untyped-def]
        even = usize(2) * i
        odd = even + usize(1)
        return frame[even] * window[even], frame[odd] * window[odd]

    @part
    def first_stage(ear, scratch):  # type: ignore[no-untyped-def]
        work, t = scratch.work, ear.first_twiddle
        frame, window = scratch.frame, ear.window
        for p in range(usize(quarter)):
            ar, ai = windowed(frame, window, p)
            br, bi = windowed(frame, window, p + usize(quarter))
            cr, ci = windowed(frame, window, p + usize(2 * quarter))
            dr, di = windowed(frame, window, p + usize(3 * quarter))
            y0r, y0i, y1r, y1i, y2r, y2i, y3r, y3i = butterfly(
                ar, ai, br, bi, cr, ci, dr, di, t[0, p], t[1, p], t[2, p], t[3, p], t[4, p], t[5, p]
            )
            y = usize(dst) + p
            work[y], work[y + usize(half)] = y0r, y0i
            y += usize(quarter)
            work[y], work[y + usize(half)] = y1r, y1i
            y += usize(quarter)
            work[y], work[y + usize(half)] = y2r, y2i
            y += usize(quarter)
            work[y], work[y + usize(half)] = y3r, y3i

    return first_stage


def _second_stage(half: int, src: int, dst: int) -> Callable[..., Any]:
    """The second stage in columns: four transforms of `half / 4`, each read and written as a row.

    Autosort would write output k of butterfly p beside output k + 1: too short a stride to vectorise. Here output k of
    all butterflies stays a row of its own, and `_sort` puts them in order after this stage.
    """
    length = half // 4
    quarter = length // 4

    @part
    def second_stage(ear, scratch):  # type: ignore[no-untyped-def]
        work, t = scratch.work, ear.first_twiddle
        for row in range(usize(4)):
            for p in range(usize(quarter)):
                a = usize(src) + row * usize(length) + p
                b, c, d = a + usize(quarter), a + usize(2 * quarter), a + usize(3 * quarter)
                turn = usize(length) + p
                y0r, y0i, y1r, y1i, y2r, y2i, y3r, y3i = butterfly(
                    work[a], work[a + usize(half)], work[b], work[b + usize(half)],
                    work[c], work[c + usize(half)], work[d], work[d + usize(half)],
                    t[0, turn], t[1, turn], t[2, turn], t[3, turn], t[4, turn], t[5, turn],
                )  # fmt: skip
                y = usize(dst) + row * usize(quarter) + p
                work[y], work[y + usize(half)] = y0r, y0i
                y += usize(length)
                work[y], work[y + usize(half)] = y1r, y1i
                y += usize(length)
                work[y], work[y + usize(half)] = y2r, y2i
                y += usize(length)
                work[y], work[y + usize(half)] = y3r, y3i

    return second_stage


def _sort(half: int, src: int, dst: int) -> Callable[..., Any]:
    """The 16 rows that the first two stages left become columns: what autosort would have written."""
    column = half // SIDE

    @part
    def sort(ear, scratch):  # type: ignore[no-untyped-def]
        work = scratch.work
        for p in range(usize(0), usize(column), usize(SIDE)):
            for re in (usize(0), usize(half)):
                at = usize(src) + re + p
                to = usize(dst) + re + usize(SIDE) * p
                transpose_tile(work, at, usize(column), to, usize(SIDE))

    return sort


def _stage(half: int, src: int, dst: int, length: int, stride: int) -> Callable[..., Any]:
    """`stride` interleaved transforms of `length` become `4 * stride` of `length / 4`; runs over the former."""
    quarter = length // 4
    apart = stride * quarter
    step = 2 * half // length

    @part
    def stage(ear, scratch):  # type: ignore[no-untyped-def]
        work, table = scratch.work, ear.twiddle
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


def _last_stage(half: int, src: int, dst: int, stride: int) -> Callable[..., Any]:
    """Radix 2, for lengths that are not a power of four: `stride` transforms of length 2."""

    @part
    def last_stage(ear, scratch):  # type: ignore[no-untyped-def]
        work = scratch.work
        for q in range(usize(stride)):
            a = usize(src) + q
            b = a + usize(stride)
            ar, ai, br, bi = work[a], work[a + usize(half)], work[b], work[b + usize(half)]
            y = usize(dst) + q
            work[y], work[y + usize(half)] = ar + br, ai + bi
            y += usize(stride)
            work[y], work[y + usize(half)] = ar - br, ai - bi

    return last_stage


def _mirror(half: int, src: int, dst: int) -> Callable[..., Any]:
    """dst[k] = src[(half - k) % half], for both rows: what `_untangle` reads beside src[k]."""

    @part
    def mirror(ear, scratch):  # type: ignore[no-untyped-def]
        work = scratch.work
        for k in range(usize(0), usize(half), usize(SIDE)):
            back = usize(half - SIDE + 1) - k
            reverse_row(work, usize(src) + back, usize(dst) + k)
            reverse_row(work, usize(src + half) + back, usize(dst + half) + k)
        work[usize(dst)] = work[usize(src)]
        work[usize(dst + half)] = work[usize(src + half)]

    return mirror


def _untangle(half: int, src: int, mirrored: int) -> Callable[..., Any]:
    """X[k] = (Z[k] + conj Z[-k]) / 2 - i w^k (Z[k] - conj Z[-k]) / 2 with w = exp(-2 pi i / n); power is |X| ** 2."""

    @part
    def untangle(ear, scratch):  # type: ignore[no-untyped-def]
        work, power, table = scratch.work, scratch.power, ear.twiddle
        for k in range(usize(half)):
            zr, zi = work[usize(src) + k], work[usize(src + half) + k]
            yr, yi = work[usize(mirrored) + k], work[usize(mirrored + half) + k]
            even_re, even_im = f32(0.5) * (zr + yr), f32(0.5) * (zi - yi)
            odd_re, odd_im = f32(0.5) * (zi + yi), f32(0.5) * (yr - zr)
            c, s = table[0, k], table[1, k]
            x = even_re + (c * odd_re - s * odd_im)
            y = even_im + (c * odd_im + s * odd_re)
            power[k] = x * x + y * y
        last = work[usize(src)] - work[usize(src + half)]
        power[usize(half)] = last * last

    return untangle


def power_spectrum(ear: Record, scratch: Record) -> None:
    """`power_spectrum_for` the length of `ear.window`, for use inside kernels."""
    raise NotImplementedError("power_spectrum runs inside compiled kernels only")


@overload(power_spectrum, jit_options=OPTIONS)
def _power_spectrum(ear, scratch):  # type: ignore[no-untyped-def]
    chosen = power_spectrum_for(dict(ear.fields)["window"].type.shape[0])

    def call(ear, scratch):  # type: ignore[no-untyped-def]
        chosen(ear, scratch)

    return named(call)
