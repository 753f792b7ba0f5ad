// Fragments of a kind that is the same for all types: 16 lines of a factor, 16 deep. Half and bfloat16
// are multiplied by one instruction for 8 columns; floats, each the sum of two tfloat32, by six.
#pragma once

#include "tile.cuh"

constexpr int fragment_depth = 16;

// A float as the sum of two tfloat32, to 22 bits or more. (Below 2^-112 the lower one is subnormal, and has fewer
// bits.) With care, what is not finite is itself and 0, and what would be rounded to infinity is cut. Without, which
// takes a third of the instructions, such a number makes every sum that it goes into infinite or NaN: by these, who
// multiplies knows that care is needed. All others are the same in both ways, bit for bit.
template <bool careful>
struct Halves {
    unsigned high, low;
    __device__ explicit Halves(unsigned bits) {
        const float x = __uint_as_float(bits);
        high = cut(bits + 0x1000u);  // to nearest, ties away from zero; NaN may become -0, as low is NaN then
        if (careful && (bits & 0x7FFFFFFFu) >= 0x7F7FF000u) high = cut(x != x ? bits | 0x00400000u : bits);
        low = cut(__float_as_uint(x - __uint_as_float(high)));
        if (careful && !is_finite(bits)) low = 0;
    }
    __device__ static unsigned cut(unsigned bits) { return bits & 0xFFFFE000u; }
    __device__ static bool is_finite(unsigned bits) { return (bits & 0x7F800000u) != 0x7F800000u; }
};

// Of a left factor. careful: how floats are split.
template <class T, bool careful = true>
struct LeftFragment {
    unsigned bits[4];

    template <class Tile>
    __device__ void load(const T* tile, int line, int k) {
        Tile::load_left(bits, tile, line, k);
    }

    // Of 16 columns of a warp's sums, which are rounded to T.
    __device__ void take(const float (&first)[4], const float (&second)[4]) {
        bits[0] = pair_of<T>(first[0], first[1]);
        bits[1] = pair_of<T>(first[2], first[3]);
        bits[2] = pair_of<T>(second[0], second[1]);
        bits[3] = pair_of<T>(second[2], second[3]);
    }
};

template <bool careful>
struct LeftFragment<float, careful> {
    unsigned high[2][4], low[2][4];

    template <class Tile>
    __device__ void load(const float* tile, int line, int k) {
#pragma unroll
        for (int part = 0; part < 2; ++part) {
            unsigned bits[4];
            Tile::load_left(bits, tile, line, k + part * 8);
            split(part, bits);
        }
    }

    // A lane's two neighbouring sums count as those 4 apart in k: RightFragment::load_across has the
    // lines of its factor in the same order.
    __device__ void take(const float (&first)[4], const float (&second)[4]) {
#pragma unroll
        for (int part = 0; part < 2; ++part) {
            const float(&sums)[4] = part ? second : first;
            split(part, {__float_as_uint(sums[0]), __float_as_uint(sums[2]), __float_as_uint(sums[1]),
                         __float_as_uint(sums[3])});
        }
    }

  private:
    __device__ void split(int part, const unsigned (&bits)[4]) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const Halves<careful> halves(bits[i]);
            high[part][i] = halves.high;
            low[part][i] = halves.low;
        }
    }
};

// Of a right factor, 16 columns.
template <class T, bool careful = true>
struct RightFragment {
    unsigned bits[2][2];

    template <class Tile>
    __device__ void load(const T* tile, int line, int k) {
        Tile::load_right(bits, tile, line, k);
    }

    // Of a tile whose lines are this factor's k.
    template <class Tile>
    __device__ void load_across(const T* tile, int line, int column) {
        Tile::load_across(bits, tile, line, column);
    }
};

template <bool careful>
struct RightFragment<float, careful> {
    unsigned high[2][2][2], low[2][2][2];

    template <class Tile>
    __device__ void load(const float* tile, int line, int k) {
#pragma unroll
        for (int part = 0; part < 2; ++part) {
            unsigned bits[2][2];
            Tile::load_right(bits, tile, line, k + part * 8);
            split(part, bits);
        }
    }

    template <class Tile>
    __device__ void load_across(const float* tile, int line, int column) {
#pragma unroll
        for (int part = 0; part < 2; ++part) {
            unsigned bits[2][2];
            Tile::load_across(bits, tile, line + part * 8, column);
            split(part, bits);
        }
    }

  private:
    __device__ void split(int part, const unsigned (&bits)[2][2]) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const Halves<careful> halves(bits[i / 2][i % 2]);
            high[part][i / 2][i % 2] = halves.high;
            low[part][i / 2][i % 2] = halves.low;
        }
    }
};

// Adds to 16 columns of a warp's sums.
template <class T, bool careful>
__device__ inline void multiply_fragments(float (&first)[4], float (&second)[4],
                                          const LeftFragment<T, careful>& left,
                                          const RightFragment<T, careful>& right) {
    mma_m16n8k16<T>(first, left.bits, right.bits[0]);
    mma_m16n8k16<T>(second, left.bits, right.bits[1]);
}

// By three products each: high * high, high * low and low * high. What tensor cores add is cut, not
// rounded, so they add up one fragment, whose sums are then added as others are. Where high * high is
// not finite, it is the sum: of infinities the other two are NaN.
template <bool careful>
__device__ inline void multiply_fragments(float (&first)[4], float (&second)[4],
                                          const LeftFragment<float, careful>& left,
                                          const RightFragment<float, careful>& right) {
#pragma unroll
    for (int side = 0; side < 2; ++side) {
        float main[4] = {}, rest[4] = {};
#pragma unroll
        for (int part = 0; part < 2; ++part) {
            mma_m16n8k8(rest, left.high[part], right.low[part][side]);
            mma_m16n8k8(rest, left.low[part], right.high[part][side]);
            mma_m16n8k8(main, left.high[part], right.high[part][side]);
        }
        float(&sums)[4] = side ? second : first;
#pragma unroll
        for (int v = 0; v < 4; ++v) {
            const bool adds = !careful || Halves<careful>::is_finite(__float_as_uint(main[v]));
            sums[v] += adds ? main[v] + rest[v] : main[v];
        }
    }
}
