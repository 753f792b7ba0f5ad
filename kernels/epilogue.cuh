// What becomes of a product's sums, eight neighbours of a row at a time, where they are stored: so that
// a layer's bias and activation, and the slope of an activation on the way back, cost no
// pass over memory of their own.
#pragma once

#include "device.cuh"

#include "activation.h"

enum class Finish : int64_t {
    none,                // the sum, and what is `beside`, if it is there
    gelu,                // of the sum, as it is rounded for `kept`
    gelu_tanh,
    gelu_backward,       // the sum is the gradient of gelu's result, `beside` what gelu was of
    gelu_tanh_backward,
};

// y = finish(sums + bias), of rows of n elements that follow each other.
template <class T>
struct Epilogue {
    static constexpr int size = Pack<T>::size;
    T* y;
    T* kept;         // gets sums + bias; null: nobody needs it
    const T* bias;   // n elements, or null
    const T* beside; // as y; null where `finish` needs none
    int64_t n;
    Finish finish;

    // What is the same in all rows.
    struct Column {
        int64_t first;
        Pack<T> shift[8 / size];
    };
    __device__ Column column(int64_t first) const {
        Column here{first, {}};
#pragma unroll
        for (int part = 0; part < 8; part += size) {
            if (bias && first < n) here.shift[part / size] = at(bias, first + part);
        }
        return here;
    }

    // The sums become what is stored, before it is rounded.
    __device__ void store(float (&sums)[8], int64_t row, const Column& column) const {
        const int64_t start = row * n;
#pragma unroll
        for (int part = 0; part < 8; part += size) {
            const int64_t first = column.first + part;
            const Pack<T>& shift = column.shift[part / size];
            const Pack<T> other = beside ? at(beside + start, first) : Pack<T>{};
            Pack<T> before, after;
#pragma unroll
            for (int i = 0; i < size; ++i) {
                const float sum = bias ? sums[part + i] + to_acc(shift[i]) : sums[part + i];
                before[i] = from_acc<T>(sum);
                sums[part + i] = finished(sum, to_acc(before[i]), to_acc(other[i]));
                after[i] = from_acc<T>(sums[part + i]);
            }
            if (kept) put(kept + start, before, first);
            put(y + start, after, first);
        }
    }

  private:
    __device__ Pack<T> at(const T* row, int64_t column) const {
        return load_pack(row, column, n, aligned_for_packs(row));
    }
    __device__ void put(T* row, const Pack<T>& pack, int64_t column) const {
        store_pack(row, pack, column, n, aligned_for_packs(row));
    }
    __device__ float finished(float sum, float rounded, float other) const {
        switch (finish) {
            case Finish::gelu:
                return activation::Gelu<float>().value(rounded);
            case Finish::gelu_tanh:
                return activation::GeluTanh<float>().value(rounded);
            case Finish::gelu_backward:
                return activation::Gelu<float>().gradient(sum, other);
            case Finish::gelu_tanh_backward:
                return activation::GeluTanh<float>().gradient(sum, other);
            case Finish::none:
                break;
        }
        return sum + other;  // 0 where nothing is beside; no sum is -0
    }
};

// y = finish(sums); and the sums of its columns, not rounded, of every 16 rows that a warp stores: a line of n. What
// adds these up reads a small part of what y is. (There is no bias, and nothing kept, for they take registers.)
template <class T>
struct EpilogueAndColumns {
    T* y;
    float* lines;
    const T* beside;
    int64_t n;
    Finish finish;

    using Column = int64_t;
    __device__ Column column(int64_t first) const { return first; }

    __device__ void store(float (&sums)[8], int64_t row, Column column) const {
        Epilogue<T>{y, nullptr, nullptr, beside, n, finish}.store(sums, row, {column, {}});
    }
};
template <class Destination>
constexpr bool adds_columns = false;
template <class T>
constexpr bool adds_columns<EpilogueAndColumns<T>> = true;

// y = sums, in fp32.
struct FloatSums {
    float* y;
    int64_t n;

    using Column = int64_t;
    __device__ Column column(int64_t first) const { return first; }

    __device__ void store(const float (&sums)[8], int64_t row, Column column) const {
        float* start = y + row * n;
        const bool aligned = aligned_for_packs(start);
#pragma unroll
        for (int i = 0; i < 8; i += 4) {
            Pack<float> part;
#pragma unroll
            for (int j = 0; j < 4; ++j) part[j] = sums[i + j];
            store_pack(start, part, column + i, n, aligned);
        }
    }
};
