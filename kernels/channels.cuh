// Work on the channels of (n, channels, pixels), each of which is spread over the whole batch: blocks share a
// channel's numbers, and sums of what they have found are made by a second kernel, in order.
#pragma once

#include "line.cuh"
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

// How numbers lie: channels beside each other, or pixels of a channel; and how many a thread reads at once, of as
// many channels or of one.
template <bool channels_last, int read_at_once>
struct Lying {
    static constexpr bool last = channels_last;
    static constexpr int width = read_at_once, channels = last ? width : 1;
    __host__ __device__ static constexpr int channel(int number) { return last ? number : 0; }
};

// A block's part: neighbouring threads read neighbours, of one channel, or, where channels are beside each other,
// of 32 channels, or of 8 packs of them; a thread reads `lines` times before it looks at what it has read.
template <class Lies, int lines>
struct Span {
    static constexpr int width = Lies::width, channels = Lies::channels;
    static constexpr int across = !Lies::last ? 1 : width == 1 ? 32 : 8, along = threads / across;
    static constexpr int pixels_of_a_line = Lies::last ? 1 : width;
    static constexpr int length = along * lines * pixels_of_a_line;

    int64_t chunk, channel, first, step_image, step_pixel;
    bool inside;

    __host__ __device__ static int64_t chunks(const Extents& of) { return ceil_div(of.count(), length); }
    __host__ __device__ static int64_t spans(const Extents& of) {
        return chunks(of) * ceil_div(of.channels, across * channels);
    }
    __device__ Span(const Extents& of, int64_t index) {
        const int64_t groups = ceil_div(of.channels, across * channels);
        constexpr int apart = along * pixels_of_a_line;  // a thread's lines
        chunk = index / groups;
        channel = (index % groups * across + threadIdx.x % across) * channels;
        first = chunk * length + threadIdx.x / across * pixels_of_a_line;
        step_image = apart / of.pixels, step_pixel = apart % of.pixels;
        inside = channel < of.channels;
    }
    __device__ int64_t numbers(const Extents& of) const {  // in the chunk, of a channel
        return min(int64_t(length), of.count() - chunk * length);
    }
    // use(index of the line among the thread's, image, first pixel)
    template <class Use>
    __device__ void each(const Extents& of, const Use& use) const {
        int64_t image = first / of.pixels, pixel = first % of.pixels;
#pragma unroll
        for (int i = 0; i < lines; ++i) {
            if (inside && image < of.batch) use(i, image, pixel);
            image += step_image, pixel += step_pixel;
            if (pixel >= of.pixels) pixel -= of.pixels, ++image;
        }
    }
    // The sums over the threads that have the same channels. All threads call it, and get them.
    template <class A>
    __device__ static void sum(A (&values)[channels]) {
        if constexpr (!Lies::last) {
            values[0] = block_sum<threads>(values[0]);
        } else {
            constexpr int warps = threads / 32, all = across * channels;
            SHARED(parts, A[warps][all]);
            SHARED(totals, A[all]);
            const int own = threadIdx.x % across * channels;
#pragma unroll
            for (int v = 0; v < channels; ++v) {
#pragma unroll
                for (int lanes = across; lanes < 32; lanes *= 2) values[v] += shuffle_xor(values[v], lanes);
                if (threadIdx.x % 32 < across) parts[threadIdx.x / 32][own + v] = values[v];
            }
            __syncthreads();
            if (threadIdx.x < all) {
                A total = 0;
#pragma unroll
                for (int warp = 0; warp < warps; ++warp) total += parts[warp][threadIdx.x];
                totals[threadIdx.x] = total;
            }
            __syncthreads();
#pragma unroll
            for (int v = 0; v < channels; ++v) values[v] = totals[own + v];
        }
    }
    // Whether this thread writes what its channels' have in common.
    __device__ bool tells() const { return inside && threadIdx.x < across; }
};

// Whether an array, whose channels or pixels are beside each other, can be read in packs of them.
template <class T>
bool in_packs(const Extents& of, const Layout& layout, bool last, const T* array) {
    constexpr int size = Pack<T>::size;
    const int64_t beside = last ? layout.channel : layout.pixel, apart = last ? layout.pixel : layout.channel;
    return beside == 1 && (last ? of.channels : of.pixels) % size == 0 && apart % size == 0 &&
           layout.image % size == 0 && aligned_for_packs(array);
}

// Calls f(Lying<>()) as numbers lie.
template <class T, class F>
void for_layout(bool last, bool packs, const F& f) {
    constexpr int size = Pack<T>::size;
    if (last && packs) {
        f(Lying<true, size>());
    } else if (last) {
        f(Lying<true, 1>());
    } else if (packs) {
        f(Lying<false, size>());
    } else {
        f(Lying<false, 1>());
    }
}

}  // namespace
