// Work on the channels of (n, channels, pixels), each of which is spread over the whole batch: blocks share a
// channel's numbers, and sums of what they have found are made by a second kernel, in order.
#pragma once

#include "reduce.cuh"

namespace {

constexpr int threads = 256;

// What lies where: distances of images, pixels and channels, in elements.
struct Layout {
    int64_t image, pixel, channel;
    __device__ int64_t at(int64_t of_image, int64_t of_pixel, int64_t of_channel) const {
        return of_image * image + of_pixel * pixel + of_channel * channel;
    }
};

struct Extents {
    int64_t batch, channels, pixels;
    __host__ __device__ int64_t count() const { return batch * pixels; }  // of a channel's numbers
};

// A block's part: neighbouring threads have neighbouring pixels of a channel, or, where channels are beside each
// other (`last`), those of 32 channels; a thread has `held` numbers, all of one channel, which it reads before
// it looks at the first.
template <bool last, int held>
struct Span {
    static constexpr int across = last ? 32 : 1, along = threads / across;
    static constexpr int length = along * held;

    int64_t chunk, channel, first, step_image, step_pixel;
    bool inside;

    __host__ __device__ static int64_t chunks(const Extents& of) { return ceil_div(of.count(), length); }
    __host__ __device__ static int64_t spans(const Extents& of) {
        return chunks(of) * ceil_div(of.channels, across);
    }
    __device__ Span(const Extents& of, int64_t index) {
        const int64_t groups = ceil_div(of.channels, across);
        chunk = index / groups;
        channel = index % groups * across + threadIdx.x % across;
        first = chunk * length + threadIdx.x / across;
        step_image = along / of.pixels, step_pixel = along % of.pixels;
        inside = channel < of.channels;
    }
    __device__ int64_t numbers(const Extents& of) const {  // in the chunk, of a channel
        return min(int64_t(length), of.count() - chunk * length);
    }
    // use(index of the number among the thread's, image, pixel)
    template <class Use>
    __device__ void each(const Extents& of, const Use& use) const {
        int64_t image = first / of.pixels, pixel = first % of.pixels;
#pragma unroll
        for (int i = 0; i < held; ++i) {
            if (inside && image < of.batch) use(i, image, pixel);
            image += step_image, pixel += step_pixel;
            if (pixel >= of.pixels) pixel -= of.pixels, ++image;
        }
    }
    // The sum over the threads that have the same channel. All threads call it, and get it.
    template <class A>
    __device__ static A sum(A value) {
        if constexpr (!last) {
            return block_sum<threads>(value);
        } else {
            SHARED(parts, A[along][across]);
            __syncthreads();  // an earlier sum may still be being read
            parts[threadIdx.x / across][threadIdx.x % across] = value;
            __syncthreads();
            A total = 0;
#pragma unroll
            for (int i = 0; i < along; ++i) total += parts[i][threadIdx.x % across];
            return total;
        }
    }
    // Whether this thread writes what its channel's have in common.
    __device__ bool tells() const { return inside && threadIdx.x < across; }
};

// Calls f(Span<last>()) as channels lie.
template <class F>
void for_layout(const Layout& layout, const F& f) {
    if (layout.channel == 1) {
        f(std::true_type());
    } else {
        f(std::false_type());
    }
}

}  // namespace
