"""Kernels of one's own, which several files of tests declare together."""

from __future__ import annotations

import tapegrad as tg

SOURCE = """
template <class T>
__global__ void swiglu(T* y, const T* a, const T* b, int64_t n) {
    for (int64_t i = global_thread(); i < n; i += thread_count()) {
        y[i] = from_acc<T>(to_acc(a[i]) * to_acc(b[i]) / (1 + exp(-to_acc(a[i]))));
    }
}
template <class T>
__global__ void swiglu_backward(T* da, T* db, const T* dy, const T* a, const T* b, int64_t n) {
    for (int64_t i = global_thread(); i < n; i += thread_count()) {
        const acc_t<T> x = to_acc(a[i]), s = 1 / (1 + exp(-x)), g = to_acc(dy[i]);
        da[i] = from_acc<T>(g * to_acc(b[i]) * s * (1 + x * (1 - s)));
        db[i] = from_acc<T>(g * x * s);
    }
}
template <class T>
void with_stream(T* y, const T* a, const T* b, int64_t n, cudaStream_t stream) {
    if (n > 0) {
        LAUNCH(swiglu<T>, blocks_for(n, 32), 32, 0, stream, y, a, b, n);
    }
}
// Sums and largest values of rows, with their places; scaled and shifted by a number each.
__global__ void summary(float* total, float* largest, int64_t* at, const float* x, int64_t cols,
                        double scale, int shift, bool negate) {
    const float* row = x + blockIdx.x * cols;
    float sum = 0;
    int64_t best = 0;
    for (int64_t i = 0; i < cols; ++i) {
        sum += row[i];
        best = row[i] > row[best] ? i : best;
    }
    total[blockIdx.x] = (negate ? -sum : sum) * float(scale) + shift;
    largest[blockIdx.x] = row[best];
    at[blockIdx.x] = best;
}
__global__ void gather(float* y, const float* table, const int64_t* index, int64_t cols) {
    for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
        y[blockIdx.x * cols + i] = table[index[blockIdx.x] * cols + i];
    }
}
__global__ void gather_backward(float* dtable, const float* dy, const int64_t* index,
                                int64_t cols) {
    for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
        atomicAdd(&dtable[index[blockIdx.x] * cols + i], dy[blockIdx.x * cols + i]);
    }
}
__global__ void tail(float* y, const float* x, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) {
        y[i] = x[i] * x[i];
    }
}
__global__ void endless(float* y, const float* x, int64_t n) {
    volatile float* seen = y;
    for (;;) {
        seen[0] = 1.0f;
    }
}
"""
PAIR = "a[*n], b[*n] -> y[*n]"


def gated(a, b):
    return a * b * a.sigmoid()


def gated_rule(dy, a, b):
    s = a.sigmoid()
    return dy * b * s * (1 + a * (1 - s)), dy * a * s


swiglu = tg.kernel(SOURCE, PAIR, name="swiglu", gradient="swiglu_backward")(gated)

# name: the kernel, in a float dtype
GATES = {
    "second kernel": swiglu,
    "rule": tg.kernel(SOURCE, PAIR, name="swiglu", gradient=gated_rule)(gated),
    "of the body": tg.kernel(SOURCE, PAIR, name="swiglu")(gated),
    "launcher": tg.kernel(SOURCE, PAIR, name="with_stream", gradient="swiglu_backward")(gated),
    "few blocks": tg.kernel(SOURCE, PAIR, name="swiglu", blocks=2, threads=(32,))(gated),
    "functions": tg.kernel(
        SOURCE, PAIR, name="swiglu", blocks=lambda n: (n // 64 + 1, 1, 1), threads=lambda: 64
    )(gated),
    "elementwise": tg.kernel.elementwise("a * b / (1 + exp(-a))", name="swiglu"),
}


@tg.kernel(
    SOURCE,
    "x[rows, cols] -> total[rows], largest[rows], at[rows]",
    blocks=lambda rows: rows,
    threads=1,
)
def summary(x, *, scale, shift=0, negate=False):
    total = x.sum(1)
    return (-total if negate else total) * scale + shift, x.amax(1), x.argmax(1)


@tg.kernel(
    SOURCE,
    "table[rows, cols], index[n] -> y[n, cols]",
    gradient="gather_backward -> dtable = 0",
    blocks=lambda n: n,
    threads=32,
    inputs={"index": lambda sizes, random: random.integers(0, max(sizes["rows"], 1), sizes["n"])},
)
def gather(table, index):
    return table[index]


@tg.kernel(SOURCE, "x[n] -> y[n]")
def tail(x):
    return x * x


cubed = tg.kernel.elementwise("x**3", name="cubed")
leaky = tg.kernel.elementwise("x if x > 0 else slope * x", name="leaky", slope=0.1)

# What a program begins with that declares one of them, whose name it is told.
OWN_PROCESS = f"""
import os, signal, sys, time
import tapegrad as tg
SOURCE = {SOURCE!r}
f = tg.kernel(SOURCE, "x[n] -> y[n]", name=sys.argv[1])(lambda x: x)
x = tg.ones(40, device="emulated")
"""
