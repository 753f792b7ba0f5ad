// Elementwise work on arrays that lie in memory anyhow: sums, differences, products and quotients of two, which
// are broadcast; and copies, to the same dtype or to another. And the numbers of elements.
//
// Where all arrays are one stretch of memory, a thread moves 16 bytes at a time (an operand that is one number for
// all elements is read once). Else an element's place in each array is found from its index, with a division for
// each dimension but one; what is broadcast stays in the caches. Both are bound by memory.
#include "device.cuh"

namespace {

constexpr int threads = 256, dimensions = 4;

struct Extents {
    int64_t n[dimensions];
    __host__ __device__ int64_t count() const { return n[0] * n[1] * n[2] * n[3]; }
};

// From one element to the next along each dimension, in elements.
struct Steps {
    int64_t by[dimensions];
};

// In 32 bits, which are a fifth of the instructions, where the numbers fit.
__device__ inline int64_t quotient(int64_t a, int64_t b) {
    return ((a | b) >> 32) == 0 ? int64_t(uint32_t(a) / uint32_t(b)) : a / b;
}

// Where element `index` is in each array.
template <int arrays>
__device__ void find(int64_t (&places)[arrays], int64_t index, const Extents& of, const Steps (&steps)[arrays]) {
#pragma unroll
    for (int i = 0; i < arrays; ++i) places[i] = 0;
#pragma unroll
    for (int d = dimensions - 1; d >= 0; --d) {
        int64_t place = index;
        if (d > 0) {
            if (of.n[d] == 1) continue;
            index = quotient(place, of.n[d]);
            place -= index * of.n[d];
        }
#pragma unroll
        for (int i = 0; i < arrays; ++i) places[i] += place * steps[i].by[d];
    }
}

template <int arrays>
struct AllSteps {
    Steps of[arrays];
};

// Whether there is one dimension, along which each array has its elements beside each other, or but one.
template <int arrays>
bool is_dense(const Extents& of, const AllSteps<arrays>& steps) {
    bool dense = of.n[0] * of.n[1] * of.n[2] == 1 && steps.of[0].by[3] == 1;
    for (int i = 1; i < arrays; ++i) dense = dense && (steps.of[i].by[3] == 1 || steps.of[i].by[3] == 0);
    return dense;
}

// ---- of two ----

struct Add {
    template <class A>
    __device__ A operator()(A a, A b) const { return a + b; }
};
struct Subtract {
    template <class A>
    __device__ A operator()(A a, A b) const { return a - b; }
};
struct Multiply {
    template <class A>
    __device__ A operator()(A a, A b) const { return a * b; }
};
struct Divide {
    template <class A>
    __device__ A operator()(A a, A b) const { return a / b; }
};
struct DivideOrZero {  // 0 where b is 0
    template <class A>
    __device__ A operator()(A a, A b) const { return b == A(0) ? A(0) : a / b; }
};

// An array, or where it is null a number.
template <class T>
struct Operand {
    const T* array;
    acc_t<T> number;

    __device__ acc_t<T> at(int64_t place) const { return array ? to_acc(array[place]) : number; }
    // What it is for all elements, if it is `one` for all.
    __device__ acc_t<T> whole(bool one) const { return array && one ? to_acc(array[0]) : number; }
    __device__ void pack(acc_t<T> (&values)[Pack<T>::size], bool one, acc_t<T> whole, int64_t i, int64_t n,
                         bool aligned) const {
        if (array && !one) {
            unpack(values, load_pack(array, i, n, aligned));
        } else {
#pragma unroll
            for (acc_t<T>& value : values) value = whole;
        }
    }
};

template <class T, class F>
__global__ void binary_kernel(T* y, Operand<T> a, Operand<T> b, bool one_a, bool one_b, int64_t n, bool aligned) {
    constexpr int size = Pack<T>::size;
    const acc_t<T> whole_a = a.whole(one_a), whole_b = b.whole(one_b);
    for (int64_t i = global_thread() * size; i < n; i += thread_count() * size) {
        acc_t<T> left[size], right[size];
        a.pack(left, one_a, whole_a, i, n, aligned);
        b.pack(right, one_b, whole_b, i, n, aligned);
#pragma unroll
        for (int j = 0; j < size; ++j) left[j] = F()(left[j], right[j]);
        store_pack(y, pack_of<T>(left), i, n, aligned);
    }
}

template <class T, class F>
__global__ void strided_binary_kernel(T* y, Operand<T> a, Operand<T> b, Extents of, AllSteps<3> steps) {
    const int64_t n = of.count();
    for (int64_t i = global_thread(); i < n; i += thread_count()) {
        int64_t places[3];
        find(places, i, of, steps.of);
        y[places[0]] = from_acc<T>(F()(a.at(places[1]), b.at(places[2])));
    }
}

template <class T, class F>
void binary(T* y, const T* a, const T* b, int64_t n0, int64_t n1, int64_t n2, int64_t n3, int64_t y0, int64_t y1,
            int64_t y2, int64_t y3, int64_t a0, int64_t a1, int64_t a2, int64_t a3, int64_t b0, int64_t b1,
            int64_t b2, int64_t b3, double number, cudaStream_t stream) {
    const Extents of{n0, n1, n2, n3};
    const AllSteps<3> steps{{{y0, y1, y2, y3}, {a0, a1, a2, a3}, {b0, b1, b2, b3}}};
    const Operand<T> left{a, acc_t<T>(number)}, right{b, acc_t<T>(number)};
    const int64_t n = of.count();
    if (n == 0) return;
    if (is_dense(of, steps)) {
        const bool one_a = a3 == 0, one_b = b3 == 0;
        LAUNCH((binary_kernel<T, F>), blocks_for(n, threads * Pack<T>::size), threads, 0, stream, y, left, right,
               one_a, one_b, n, aligned_for_packs(y, one_a ? nullptr : a, one_b ? nullptr : b));
    } else {
        LAUNCH((strided_binary_kernel<T, F>), blocks_for(n, threads), threads, 0, stream, y, left, right, of, steps);
    }
}

// ---- copies ----

// Each pack of the narrower dtype's elements is as many of the wider one's.
template <class To, class From>
__global__ void cast_kernel(To* y, const From* x, int64_t n, bool aligned) {
    constexpr int size = Pack<To>::size < Pack<From>::size ? Pack<From>::size : Pack<To>::size;
    for (int64_t i = global_thread() * size; i < n; i += thread_count() * size) {
        acc_t<From> values[size];
        constexpr int read = Pack<From>::size, written = Pack<To>::size;
#pragma unroll
        for (int part = 0; part < size; part += read) {
            acc_t<From> some[read];
            unpack(some, load_pack(x, i + part, n, aligned));
#pragma unroll
            for (int j = 0; j < read; ++j) values[part + j] = some[j];
        }
#pragma unroll
        for (int part = 0; part < size; part += written) {
            acc_t<To> some[written];
#pragma unroll
            for (int j = 0; j < written; ++j) some[j] = acc_t<To>(values[part + j]);
            store_pack(y, pack_of<To>(some), i + part, n, aligned);
        }
    }
}

template <class To, class From>
__global__ void strided_cast_kernel(To* y, const From* x, Extents of, AllSteps<2> steps) {
    const int64_t n = of.count();
    for (int64_t i = global_thread(); i < n; i += thread_count()) {
        int64_t places[2];
        find(places, i, of, steps.of);
        y[places[0]] = from_acc<To>(acc_t<To>(to_acc(x[places[1]])));
    }
}

template <class To, class From>
void cast(To* y, const From* x, int64_t n0, int64_t n1, int64_t n2, int64_t n3, int64_t y0, int64_t y1, int64_t y2,
          int64_t y3, int64_t x0, int64_t x1, int64_t x2, int64_t x3, cudaStream_t stream) {
    const Extents of{n0, n1, n2, n3};
    const AllSteps<2> steps{{{y0, y1, y2, y3}, {x0, x1, x2, x3}}};
    const int64_t n = of.count();
    if (n == 0) return;
    if (is_dense(of, steps) && x3 == 1) {
        constexpr int size = Pack<To>::size < Pack<From>::size ? Pack<From>::size : Pack<To>::size;
        LAUNCH((cast_kernel<To, From>), blocks_for(n, threads * size), threads, 0, stream, y, x, n,
               aligned_for_packs(y, x));
    } else {
        LAUNCH((strided_cast_kernel<To, From>), blocks_for(n, threads), threads, 0, stream, y, x, of, steps);
    }
}

// ---- 0, 1, 2, ... ----

__global__ void counting_kernel(int64_t* y, int64_t n) {
    for (int64_t i = global_thread(); i < n; i += thread_count()) y[i] = i;
}

}  // namespace

// y = 0, 1, ..., n - 1.
void counting(int64_t* y, int64_t n, cudaStream_t stream) {
    if (n > 0) LAUNCH(counting_kernel, blocks_for(n, threads), threads, 0, stream, y, n);
}
FUNCTION(counting);

// y = f(a, b) of arrays with the sizes n, whose steps along them are said in elements, as y's are, which may be a's
// or b's memory where it lies alike. Where a or b is null it is `number`, and its steps are 0.
LAUNCHER_AS(add, binary<T, Add>);
LAUNCHER_AS(subtract, binary<T, Subtract>);
LAUNCHER_AS(multiply, binary<T, Multiply>);
LAUNCHER_AS(divide, binary<T, Divide>);
LAUNCHER_AS(divide_or_zero, binary<T, DivideOrZero>);

// y = x, rounded once, of arrays said in the same way. (From float64 to 16 bits that would be twice.)
LAUNCHER_AS(cast_to_float32, cast<float, T>);
LAUNCHER_AS(cast_to_float64, cast<double, T>);
LAUNCHER_UP_TO_FLOAT32_AS(cast_to_float16, cast<half, T>);
LAUNCHER_UP_TO_FLOAT32_AS(cast_to_bfloat16, cast<bfloat16, T>);
