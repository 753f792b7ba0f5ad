// Maxima and means over windows of one to three dimensions, and their gradients. A thread makes one result,
// wherever images lie; where they have their channels last, neighbouring threads have neighbouring channels,
// else neighbouring pixels. A gradient is gathered: a thread has a pixel and adds up what the windows that hold it
// say, in order, so that no two write the same place, and the bits are the same in every run.
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
template <class T>
__global__ void __launch_bounds__(threads, 4)
    max_pool_kernel(Images<T> y, Images<int64_t> where, Images<const T> x, WindowPlaces at, int64_t channels,
                    int64_t results) {
    for (int64_t index = global_thread(); index < results; index += thread_count()) {
        const Place here(index, channels, at.per_image(), y.channel == 1);
        const Digits window(here.window, at.windows);
        int start[3];
        at.start_of(start, window.values);
        const Inside inside(at, start);
        acc_t<T> best = -acc_t<T>(INFINITY);
        int64_t found = 0;
#pragma unroll
        for (int i = 0; i < 3; ++i) {
            const int beside = start[i] + inside.first[i] * at.element_step[i];
            found = found * at.image[i] + max(0, min(beside, at.image[i] - 1));
        }
        for (int d = inside.first[0]; d < inside.end[0]; ++d) {
            const int z = start[0] + d * at.element_step[0];
            for (int h = inside.first[1]; h < inside.end[1]; ++h) {
                const int v = start[1] + h * at.element_step[1];
                for (int w = inside.first[2]; w < inside.end[2]; ++w) {
                    const int u = start[2] + w * at.element_step[2];
                    const acc_t<T> value = to_acc(x.data[x.offset(window[0], here.channel, z, v, u)]);
                    if (value > best || value != value) {
                        best = value;
                        found = (int64_t(z) * at.image[1] + v) * at.image[2] + u;
                    }
                }
            }
        }
        y.data[y.offset(window[0], here.channel, window[1], window[2], window[3])] = from_acc<T>(best);
        where.data[where.offset(window[0], here.channel, window[1], window[2], window[3])] = found;
    }
}

// What each pixel gets from the windows that hold it: `share` of (image, channel, window, pixel in its image).
template <class T, class Share>
__device__ inline void gather(const Images<T>& dx, const WindowPlaces& at, int64_t channels, int64_t results,
                              const Share& share) {
    for (int64_t index = global_thread(); index < results; index += thread_count()) {
        const Place here(index, channels, at.per_image(), dx.channel == 1);
        const Digits pixel(here.window, at.windows);
        const int64_t in_image = (int64_t(pixel[1]) * at.windows[1] + pixel[2]) * at.windows[2] + pixel[3];
        int start[3];
        at.start_of(start, pixel.values);
        acc_t<T> sum = 0;
        for (int d = at.kernel[0] - 1; d >= 0; --d) {
            const int z = at.place(0, start[0], d);
            if (z < 0) continue;
            for (int h = at.kernel[1] - 1; h >= 0; --h) {
                const int v = at.place(1, start[1], h);
                if (v < 0) continue;
                for (int w = at.kernel[2] - 1; w >= 0; --w) {
                    const int u = at.place(2, start[2], w);
                    if (u >= 0) sum += share(pixel[0], here.channel, z, v, u, in_image);
                }
            }
        }
        dx.data[dx.offset(pixel[0], here.channel, pixel[1], pixel[2], pixel[3])] = from_acc<T>(sum);
    }
}

template <class T>
__global__ void __launch_bounds__(threads, 4)
    max_pool_backward_kernel(Images<T> dx, Images<const T> g, Images<const int64_t> where, WindowPlaces at,
                             int64_t channels, int64_t results) {
    gather(dx, at, channels, results, [&](int n, int64_t c, int z, int v, int u, int64_t pixel) {
        const bool chosen = where.data[where.offset(n, c, z, v, u)] == pixel;
        return chosen ? to_acc(g.data[g.offset(n, c, z, v, u)]) : acc_t<T>(0);
    });
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

template <class T>
__global__ void __launch_bounds__(threads, 4)
    avg_pool_kernel(Images<T> y, Images<const T> x, WindowPlaces at, Divisor divisor, int64_t channels,
                    int64_t results) {
    for (int64_t index = global_thread(); index < results; index += thread_count()) {
        const Place here(index, channels, at.per_image(), y.channel == 1);
        const Digits window(here.window, at.windows);
        int start[3];
        at.start_of(start, window.values);
        const Inside inside(at, start);
        acc_t<T> sum = 0;
        for (int d = inside.first[0]; d < inside.end[0]; ++d) {
            for (int h = inside.first[1]; h < inside.end[1]; ++h) {
                for (int w = inside.first[2]; w < inside.end[2]; ++w) {
                    sum += to_acc(x.data[x.offset(window[0], here.channel, start[0] + d, start[1] + h, start[2] + w)]);
                }
            }
        }
        sum /= divisor.of<acc_t<T>>(window[1], window[2], window[3]);
        y.data[y.offset(window[0], here.channel, window[1], window[2], window[3])] = from_acc<T>(sum);
    }
}

template <class T>
__global__ void __launch_bounds__(threads, 4)
    avg_pool_backward_kernel(Images<T> dx, Images<const T> g, WindowPlaces at, Divisor divisor, int64_t channels,
                             int64_t results) {
    gather(dx, at, channels, results, [&](int n, int64_t c, int z, int v, int u, int64_t) {
        return to_acc(g.data[g.offset(n, c, z, v, u)]) / divisor.of<acc_t<T>>(z, v, u);
    });
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
    LAUNCH(max_pool_kernel<T>, blocks_for(results, threads), threads, 0, stream, made, places, read, at, channels,
           results);
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
    LAUNCH(max_pool_backward_kernel<T>, blocks_for(results, threads), threads, 0, stream, made, read, places, at,
           channels, results);
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
    LAUNCH(avg_pool_kernel<T>, blocks_for(results, threads), threads, 0, stream, made, read, at,
           divisor_of(sizes, divisor, with_border), channels, results);
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
    LAUNCH(avg_pool_backward_kernel<T>, blocks_for(results, threads), threads, 0, stream, made, read, at,
           divisor_of(sizes, divisor, with_border), channels, results);
}
LAUNCHER(avg_pool_backward);
