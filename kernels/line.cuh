// One number or a pack of neighbours: what a thread reads and writes at once, by the same code.
#pragma once

#include "device.cuh"

namespace {

template <class T, int width>
__device__ inline void read_line(T (&to)[width], const T* from) {
    if constexpr (width == 1) {
        to[0] = *from;
    } else {
        const Pack<T> pack = load_pack(from);
        memcpy(to, &pack, sizeof to);
    }
}

template <class T, int width>
__device__ inline void write_line(T* to, const acc_t<T> (&values)[width]) {
    if constexpr (width == 1) {
        *to = from_acc<T>(values[0]);
    } else {
        store_pack(to, pack_of<T>(values));
    }
}

template <class T, int width>
__device__ inline void widen(acc_t<T> (&values)[width], const T (&from)[width]) {
    if constexpr (width == 1) {
        values[0] = to_acc(from[0]);
    } else {
        Pack<T> pack;
        memcpy(&pack, from, sizeof from);
        unpack(values, pack);
    }
}

}  // namespace
