// Maxima and means over windows of one to three dimensions, and their gradients. A thread makes one result,
// wherever images lie, or those of a pack of channels; where images have their channels last, neighbouring threads
// have neighbouring channels, else neighbouring pixels. A gradient is gathered: a thread has a pixel and adds up what the windows that hold it
// say, in order, so that no two write the same place, and the bits are the same in every run.
#include "line.cuh"
#include "windows.cuh"

namespace {

constexpr int threads = 256;

// Along each dimension, the first element of a window that is in the image, and the one behind the last.
struct Inside {
    int first[3], end[3];
    __device__ Inside(const WindowPlaces& at, const int (&start)[3]) {
#pragma unroll
        for (int i = 0; i < 3; ++i) {
            const int step = at.element_step[i], left = at.image[i] - start[i];
            first[i] = start[i] < 0 ? (step - 1 - start[i]) / step : 0;
            end[i] = left <= 0 ? 0 : min(at.kernel[i], (left + step - 1) / step);
        }
    }
};

// The largest of each window, and where it is in its flattened image: the first of equals, the last NaN. A
// window that lies in the border alone has -inf, and the pixel beside it.
template <class T, int width>
__global__ void __launch_bounds__(threads, 4)
    max_pool_kernel(Images<T> y, Images<int64_t> where, Images<const T> x, WindowPlaces at, int64_t channels,
                    int64_t results) {
    for (int64_t index = global_thread(); index < results / width; index += thread_count()) {
        const Place here(index, channels / width, at.per_image(), y.channel == 1);
        const int64_t channel = here.channel * width;
        const Digits window(here.window, at.windows);
        int start[3];
        at.start_of(start, window.values);
        const Inside inside(at, start);
        int64_t beside = 0;
#pragma unroll
        for (int i = 0; i < 3; ++i) {
            const int place = start[i] + inside.first[i] * at.element_step[i];
            beside = beside * at.image[i] + max(0, min(place, at.image[i] - 1));
        }
        acc_t<T> best[width];
        int64_t found[width];
#pragma unroll
        for (int v = 0; v < width; ++v) best[v] = -acc_t<T>(INFINITY), found[v] = beside;
        for (int d = inside.first[0]; d < inside.end[0]; ++d) {
            const int z = start[0] + d * at.element_step[0];
            for (int h = inside.first[1]; h < inside.end[1]; ++h) {
                const int v = start[1] + h * at.element_step[1];
                for (int w = inside.first[2]; w < inside.end[2]; ++w) {
                    const int u = start[2] + w * at.element_step[2];
                    const int64_t pixel = (int64_t(z) * at.image[1] + v) * at.image[2] + u;
                    T line[width];
                    acc_t<T> values[width];
                    read_line(line, x.data + x.offset(window[0], channel, z, v, u));
                    widen(values, line);
#pragma unroll
                    for (int c = 0; c < width; ++c) {
                        const bool is_larger = values[c] > best[c] || values[c] != values[c];
                        best[c] = is_larger ? values[c] : best[c];
                        found[c] = is_larger ? pixel : found[c];
                    }
                }
            }
        }
        write_line(y.data + y.offset(window[0], channel, window[1], window[2], window[3]), best);
        int64_t* places = where.data + where.offset(window[0], channel, window[1], window[2], window[3]);
#pragma unroll
        for (int c = 0; c < width; ++c) places[c] = found[c];
    }
}

// What each pixel gets from the windows that hold it: `share` of (sums, image, channel, window, pixel in its image).
template <int width, class T, class Share>
__device__ inline void gather(const Images<T>& dx, const WindowPlaces& at, int64_t channels, int64_t results,
                              const Share& share) {
    for (int64_t index = global_thread(); index < results / width; index += thread_count()) {
        const Place here(index, channels / width, at.per_image(), dx.channel == 1);
        const int64_t channel = here.channel * width;
        const Digits pixel(here.window, at.windows);
        const int64_t in_image = (int64_t(pixel[1]) * at.windows[1] + pixel[2]) * at.windows[2] + pixel[3];
        int start[3];
        at.start_of(start, pixel.values);
        acc_t<T> sums[width] = {};
        for (int d = at.kernel[0] - 1; d >= 0; --d) {
            const int z = at.place(0, start[0], d);
            if (z < 0) continue;
            for (int h = at.kernel[1] - 1; h >= 0; --h) {
                const int v = at.place(1, start[1], h);
                if (v < 0) continue;
                for (int w = at.kernel[2] - 1; w >= 0; --w) {
                    const int u = at.place(2, start[2], w);
                    if (u >= 0) share(sums, pixel[0], channel, z, v, u, in_image);
                }
            }
        }
        write_line(dx.data + dx.offset(pixel[0], channel, pixel[1], pixel[2], pixel[3]), sums);
    }
}

template <class T, int width>
__global__ void __launch_bounds__(threads, 4)
    max_pool_backward_kernel(Images<T> dx, Images<const T> g, Images<const int64_t> where, WindowPlaces at,
                             int64_t channels, int64_t results) {
    const auto share = [&](acc_t<T>(&sums)[width], int n, int64_t c, int z, int v, int u, int64_t pixel) {
        const int64_t* places = where.data + where.offset(n, c, z, v, u);
        T line[width];
        acc_t<T> values[width];
        read_line(line, g.data + g.offset(n, c, z, v, u));
        widen(values, line);
#pragma unroll
        for (int i = 0; i < width; ++i) sums[i] += places[i] == pixel ? values[i] : acc_t<T>(0);
    };
    gather<width>(dx, at, channels, results, share);
}

// What a window's sum is divided by: `given`, or, if that is 0, the number of its elements, with those in the
// border or without.
struct Divisor {
    int64_t given;
    bool with_border;
    int image[3], kernel[3], stride[3], padding[3];

    template <class A>
    __device__ A of(int d, int h, int w) const {
        if (given != 0) return A(given);
        const int at[] = {d, h, w};
        A count = 1;
#pragma unroll
        for (int i = 0; i < 3; ++i) {
            const int start = at[i] * stride[i] - padding[i];
            const int end = min(start + kernel[i], image[i] + padding[i]);
            count *= A(with_border ? end - start : min(end, image[i]) - max(start, 0));
        }
        return count;
    }
};

template <class T, int width>
__global__ void __launch_bounds__(threads, 4)
    avg_pool_kernel(Images<T> y, Images<const T> x, WindowPlaces at, Divisor divisor, int64_t channels,
                    int64_t results) {
    for (int64_t index = global_thread(); index < results / width; index += thread_count()) {
        const Place here(index, channels / width, at.per_image(), y.channel == 1);
        const int64_t channel = here.channel * width;
        const Digits window(here.window, at.windows);
        int start[3];
        at.start_of(start, window.values);
        const Inside inside(at, start);
        acc_t<T> sums[width] = {};
        for (int d = inside.first[0]; d < inside.end[0]; ++d) {
            for (int h = inside.first[1]; h < inside.end[1]; ++h) {
                for (int w = inside.first[2]; w < inside.end[2]; ++w) {
                    T line[width];
                    acc_t<T> values[width];
                    read_line(line, x.data + x.offset(window[0], channel, start[0] + d, start[1] + h, start[2] + w));
                    widen(values, line);
#pragma unroll
                    for (int c = 0; c < width; ++c) sums[c] += values[c];
                }
            }
        }
        const acc_t<T> by = divisor.of<acc_t<T>>(window[1], window[2], window[3]);
#pragma unroll
        for (int c = 0; c < width; ++c) sums[c] /= by;
        write_line(y.data + y.offset(window[0], channel, window[1], window[2], window[3]), sums);
    }
}

template <class T, int width>
__global__ void __launch_bounds__(threads, 4)
    avg_pool_backward_kernel(Images<T> dx, Images<const T> g, WindowPlaces at, Divisor divisor, int64_t channels,
                             int64_t results) {
    const auto share = [&](acc_t<T>(&sums)[width], int n, int64_t c, int z, int v, int u, int64_t) {
        const acc_t<T> by = divisor.of<acc_t<T>>(z, v, u);
        T line[width];
        acc_t<T> values[width];
        read_line(line, g.data + g.offset(n, c, z, v, u));
        widen(values, line);
#pragma unroll
        for (int i = 0; i < width; ++i) sums[i] += values[i] / by;
    };
    gather<width>(dx, at, channels, results, share);
}

// Whether images have whole packs of channels at each pixel.
template <class T>
bool in_packs(const Images<T>& images, int64_t channels) {
    constexpr int64_t size = 16 / sizeof(T);
    const bool whole = images.image % size == 0 && images.steps[0] % size == 0 && images.steps[1] % size == 0 &&
                       images.steps[2] % size == 0;
    return images.channel == 1 && channels % size == 0 && whole && aligned_for_packs(images.data);
}

// Calls f with the number of channels that a thread has.
template <class T, class F>
void for_width(const Images<T>& made, const Images<const T>& read, int64_t channels, const F& f) {
    if (in_packs(made, channels) && in_packs(read, channels)) {
        f(std::integral_constant<int, Pack<T>::size>());
    } else {
        f(std::integral_constant<int, 1>());
    }
}

Divisor divisor_of(const WindowSizes& sizes, int64_t given, bool with_border) {
    Divisor all{given, with_border, {}, {}, {}, {}};
    sizes.image.to(all.image), sizes.kernel.to(all.kernel);
    sizes.stride.to(all.stride), sizes.padding.to(all.padding);
    return all;
}

// The gradient's pixels are counted as windows are.
WindowPlaces pixels_of(const WindowSizes& sizes) {
    return sizes.with_image_and_windows_exchanged().places_of_gradient();
}

}  // namespace

// Strides are of images, channels, depth, height and width, in elements; those of `where`, int64, are y's, or g's.
// The dilation is positive, and 1 for means.

// y and `where` of each window of x: (batch, channels, windows).
template <class T>
void max_pool(T* y, int64_t* where, const T* x, int64_t batch, int64_t channels, WINDOW_PARAMETERS,
              int64_t x_image, int64_t x_channel, int64_t x_depth, int64_t x_height, int64_t x_width,
              int64_t y_image, int64_t y_channel, int64_t y_depth, int64_t y_height, int64_t y_width,
              cudaStream_t stream) {
    const WindowPlaces at = WINDOW_SIZES.places();
    const int64_t results = batch * channels * at.per_image();
    if (results == 0) return;
    const Images<T> made{y, y_image, y_channel, {y_depth, y_height, y_width}};
    const Images<int64_t> places{where, y_image, y_channel, {y_depth, y_height, y_width}};
    const Images<const T> read{x, x_image, x_channel, {x_depth, x_height, x_width}};
    for_width(made, read, channels, [&](auto width) {
        LAUNCH((max_pool_kernel<T, width>), blocks_for(results / width, threads), threads, 0, stream, made, places, read, at, channels, results);
    });
}
LAUNCHER(max_pool);

// dx of g; `where` is max_pool's, and lies as g does.
template <class T>
void max_pool_backward(T* dx, const T* g, const int64_t* where, int64_t batch, int64_t channels, WINDOW_PARAMETERS,
                       int64_t x_image, int64_t x_channel, int64_t x_depth, int64_t x_height, int64_t x_width,
                       int64_t g_image, int64_t g_channel, int64_t g_depth, int64_t g_height, int64_t g_width,
                       cudaStream_t stream) {
    const WindowPlaces at = pixels_of(WINDOW_SIZES);
    const int64_t results = batch * channels * at.per_image();
    if (results == 0) return;
    const Images<T> made{dx, x_image, x_channel, {x_depth, x_height, x_width}};
    const Images<const T> read{g, g_image, g_channel, {g_depth, g_height, g_width}};
    const Images<const int64_t> places{where, g_image, g_channel, {g_depth, g_height, g_width}};
    for_width(made, read, channels, [&](auto width) {
        LAUNCH((max_pool_backward_kernel<T, width>), blocks_for(results / width, threads), threads, 0, stream, made, read, places, at, channels, results);
    });
}
LAUNCHER(max_pool_backward);

// The mean of each window of x: its sum by `divisor`, or, if that is 0, by the number of its elements, those in
// the border included or not.
template <class T>
void avg_pool(T* y, const T* x, int64_t batch, int64_t channels, WINDOW_PARAMETERS, int64_t divisor,
              bool with_border, int64_t x_image, int64_t x_channel, int64_t x_depth, int64_t x_height,
              int64_t x_width, int64_t y_image, int64_t y_channel, int64_t y_depth, int64_t y_height,
              int64_t y_width, cudaStream_t stream) {
    const WindowSizes sizes = WINDOW_SIZES;
    const WindowPlaces at = sizes.places();
    const int64_t results = batch * channels * at.per_image();
    if (results == 0) return;
    const Images<T> made{y, y_image, y_channel, {y_depth, y_height, y_width}};
    const Images<const T> read{x, x_image, x_channel, {x_depth, x_height, x_width}};
    for_width(made, read, channels, [&](auto width) {
        LAUNCH((avg_pool_kernel<T, width>), blocks_for(results / width, threads), threads, 0, stream, made, read, at, divisor_of(sizes, divisor, with_border), channels, results);
    });
}
LAUNCHER(avg_pool);

// dx of g, likewise.
template <class T>
void avg_pool_backward(T* dx, const T* g, int64_t batch, int64_t channels, WINDOW_PARAMETERS, int64_t divisor,
                       bool with_border, int64_t x_image, int64_t x_channel, int64_t x_depth, int64_t x_height,
                       int64_t x_width, int64_t g_image, int64_t g_channel, int64_t g_depth, int64_t g_height,
                       int64_t g_width, cudaStream_t stream) {
    const WindowSizes sizes = WINDOW_SIZES;
    const WindowPlaces at = pixels_of(sizes);
    const int64_t results = batch * channels * at.per_image();
    if (results == 0) return;
    const Images<T> made{dx, x_image, x_channel, {x_depth, x_height, x_width}};
    const Images<const T> read{g, g_image, g_channel, {g_depth, g_height, g_width}};
    for_width(made, read, channels, [&](auto width) {
        LAUNCH((avg_pool_backward_kernel<T, width>), blocks_for(results / width, threads), threads, 0, stream, made, read, at, divisor_of(sizes, divisor, with_border), channels, results);
    });
}
LAUNCHER(avg_pool_backward);
