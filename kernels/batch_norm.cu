// Batch norm (Ioffe & Szegedy 2015) of (n, channels, ...), wherever pixels and channels lie, in three passes: the
// moments of each channel, the result, and on the way back sums and the gradient.
//
// Moments: a block finds the mean of a chunk, then sums the distances from it and their squares, of numbers
// that are in registers, so that memory is read once; a second kernel combines chunks in double (Chan, Golub &
// LeVeque 1983). What the mean loses by rounding is kept, too, for distances from it. Squares are added up as
// they are, and of distances times a power of two, which are used where the others overflow (Blue 1978); so
// the standard deviation is always in range, if the variance is not.
#include "channels.cuh"

namespace {

// Numbers of a thread, where they are summed and where each is mapped to another.
constexpr int summed = 16, mapped = 8;

// Squares of what is smaller by this do not overflow.
template <class A>
constexpr A smaller = sizeof(A) == 8 ? A(0x1p-600) : A(0x1p-80);

// parts: four of each [chunks, channels].
template <class T, bool last>
__global__ void __launch_bounds__(threads)
    batch_moments_kernel(acc_t<T>* parts, const T* x, Layout layout, Extents of) {
    using A = acc_t<T>;
    const int64_t plane = Span<last, summed>::chunks(of) * of.channels;
    for (int64_t index = blockIdx.x; index < Span<last, summed>::spans(of); index += gridDim.x) {
        const Span<last, summed> span(of, index);
        T held[summed];
        span.each(of, [&](int i, int64_t image, int64_t pixel) {
            held[i] = x[layout.at(image, pixel, span.channel)];
        });
        A sum = 0;
        span.each(of, [&](int i, int64_t, int64_t) { sum += to_acc(held[i]); });
        const A centre = Span<last, summed>::sum(sum) / A(span.numbers(of));
        A distances = 0, squares = 0, small_squares = 0;
        span.each(of, [&](int i, int64_t, int64_t) {
            const A distance = to_acc(held[i]) - centre;
            distances += distance;
            squares += distance * distance;
            small_squares += (distance * smaller<A>) * (distance * smaller<A>);
        });
        distances = Span<last, summed>::sum(distances);
        squares = Span<last, summed>::sum(squares);
        small_squares = Span<last, summed>::sum(small_squares);
        if (span.tells()) {
            A* own = parts + span.chunk * of.channels + span.channel;
            own[0] = centre, own[plane] = distances, own[2 * plane] = squares, own[3 * plane] = small_squares;
        }
    }
}

// A block has a channel.
template <class A>
__global__ void __launch_bounds__(threads)
    combine_moments_kernel(A* mean, A* variance, A* rest, A* deviation, const A* parts, int64_t chunks,
                           int64_t length, int64_t channels, int64_t count) {
    constexpr double scale = smaller<A>;
    const int64_t plane = chunks * channels;
    for (int64_t channel = blockIdx.x; channel < channels; channel += gridDim.x) {
        double sum = 0;
        for (int64_t chunk = threadIdx.x; chunk < chunks; chunk += threads) {
            const A* part = parts + chunk * channels + channel;
            const double numbers = double(min(length, count - chunk * length));
            sum += numbers * double(part[0]) + double(part[plane]);
        }
        const double centre = block_sum<threads>(sum) / double(count);
        double squares = 0, small_squares = 0;
        for (int64_t chunk = threadIdx.x; chunk < chunks; chunk += threads) {
            const A* part = parts + chunk * channels + channel;
            const double numbers = double(min(length, count - chunk * length));
            const double off = double(part[0]) - centre, distances = double(part[plane]);  // from part[0]
            squares += double(part[2 * plane]) + off * (2 * distances + numbers * off);
            const double small = off * scale;
            small_squares += double(part[3 * plane]) + small * (2 * (distances * scale) + numbers * small);
        }
        squares = block_sum<threads>(squares);
        small_squares = block_sum<threads>(small_squares);
        if (threadIdx.x == 0) {
            const double spread = (squares < 0 ? 0 : squares) / double(count);
            const bool overflows = squares - squares != 0;
            mean[channel] = A(centre);
            variance[channel] = A(spread);
            deviation[channel] = A(overflows ? sqrt(small_squares / double(count)) / scale : sqrt(spread));
            rest[channel] = A(centre - double(A(centre)));
        }
    }
}

// Weights, biases or their gradients: of T or, where they are `wide`, as under autocast, of what T is added up in.
template <class T>
struct PerChannel {
    using A = acc_t<T>;
    void* numbers;
    bool wide;
    __device__ explicit operator bool() const { return numbers != nullptr; }
    __device__ A at(int64_t channel) const {
        return wide ? static_cast<const A*>(numbers)[channel] : to_acc(static_cast<const T*>(numbers)[channel]);
    }
    __device__ void put(int64_t channel, A value) const {
        if (wide) {
            static_cast<A*>(numbers)[channel] = value;
        } else {
            static_cast<T*>(numbers)[channel] = from_acc<T>(value);
        }
    }
};

// What a channel's numbers are shifted and multiplied by.
template <class T>
struct Norm {
    using A = acc_t<T>;
    const A *mean, *rest, *deviation;
    double root;  // of eps
    __device__ A rstd(int64_t channel) const { return A(1) / hypot(deviation[channel], A(root)); }
};

template <class T, bool last>
__global__ void __launch_bounds__(threads, sizeof(T) == 8 ? 2 : 3)
    batch_norm_kernel(T* y, const T* x, PerChannel<T> weight, PerChannel<T> bias, Norm<T> norm, Layout to,
                      Layout from, Extents of) {
    using A = acc_t<T>;
    for (int64_t index = blockIdx.x; index < Span<last, mapped>::spans(of); index += gridDim.x) {
        const Span<last, mapped> span(of, index);
        if (!span.inside) continue;
        const int64_t channel = span.channel;
        const A mean = norm.mean[channel], rest = norm.rest[channel];
        const A scale = weight ? norm.rstd(channel) * weight.at(channel) : norm.rstd(channel);
        const A shift = bias ? bias.at(channel) : A(0);
        T held[mapped];
        span.each(of, [&](int i, int64_t image, int64_t pixel) { held[i] = x[from.at(image, pixel, channel)]; });
        span.each(of, [&](int i, int64_t image, int64_t pixel) {
            y[to.at(image, pixel, channel)] = from_acc<T>((to_acc(held[i]) - mean - rest) * scale + shift);
        });
    }
}

// Sums of the gradient, and of it times the normalised numbers. parts: two of each [chunks, channels].
template <class T, bool last>
__global__ void __launch_bounds__(threads)
    batch_norm_sums_kernel(acc_t<T>* parts, const T* g, const T* x, Norm<T> norm, Layout of_g, Layout of_x,
                           Extents of) {
    using A = acc_t<T>;
    const int64_t plane = Span<last, summed>::chunks(of) * of.channels;
    for (int64_t index = blockIdx.x; index < Span<last, summed>::spans(of); index += gridDim.x) {
        const Span<last, summed> span(of, index);
        const int64_t channel = span.inside ? span.channel : 0;
        const A mean = norm.mean[channel], rest = norm.rest[channel], rstd = norm.rstd(channel);
        A sum = 0, product = 0;
        T held_g[summed], held_x[summed];
        span.each(of, [&](int i, int64_t image, int64_t pixel) {
            held_g[i] = g[of_g.at(image, pixel, channel)];
            held_x[i] = x[of_x.at(image, pixel, channel)];
        });
        span.each(of, [&](int i, int64_t, int64_t) {
            sum += to_acc(held_g[i]);
            product += to_acc(held_g[i]) * ((to_acc(held_x[i]) - mean - rest) * rstd);
        });
        sum = Span<last, summed>::sum(sum);
        product = Span<last, summed>::sum(product);
        if (span.tells()) {
            A* own = parts + span.chunk * of.channels + channel;
            own[0] = sum, own[plane] = product;
        }
    }
}

// A block has a channel. sums: [2, channels].
template <class T>
__global__ void __launch_bounds__(threads)
    add_channel_sums_kernel(PerChannel<T> dweight, PerChannel<T> dbias, acc_t<T>* sums, const acc_t<T>* parts, int64_t chunks,
                            int64_t channels) {
    using A = acc_t<T>;
    for (int64_t channel = blockIdx.x; channel < channels; channel += gridDim.x) {
#pragma unroll
        for (int which = 0; which < 2; ++which) {
            A sum = 0;
            for (int64_t chunk = threadIdx.x; chunk < chunks; chunk += threads) {
                sum += parts[(which * chunks + chunk) * channels + channel];
            }
            sum = block_sum<threads>(sum);
            if (threadIdx.x == 0) {
                sums[which * channels + channel] = sum;
                const PerChannel<T>& result = which ? dweight : dbias;
                if (result) result.put(channel, sum);
            }
        }
    }
}

template <class T, bool last>
__global__ void __launch_bounds__(threads, sizeof(T) == 8 ? 2 : 3)
    batch_norm_gradient_kernel(T* dx, const T* g, const T* x, PerChannel<T> weight, const acc_t<T>* sums,
                               Norm<T> norm, Layout to, Layout of_g, Layout of_x, Extents of) {
    using A = acc_t<T>;
    for (int64_t index = blockIdx.x; index < Span<last, mapped>::spans(of); index += gridDim.x) {
        const Span<last, mapped> span(of, index);
        if (!span.inside) continue;
        const int64_t channel = span.channel;
        const A mean = norm.mean[channel], rest = norm.rest[channel], rstd = norm.rstd(channel);
        const A scale = weight ? rstd * weight.at(channel) : rstd;
        const A shift = sums[channel] / A(of.count()), slope = sums[of.channels + channel] / A(of.count());
        T held_g[mapped], held_x[mapped];
        span.each(of, [&](int i, int64_t image, int64_t pixel) {
            held_g[i] = g[of_g.at(image, pixel, channel)];
            held_x[i] = x[of_x.at(image, pixel, channel)];
        });
        span.each(of, [&](int i, int64_t image, int64_t pixel) {
            const A normal = (to_acc(held_x[i]) - mean - rest) * rstd;
            dx[to.at(image, pixel, channel)] = from_acc<T>((to_acc(held_g[i]) - shift - normal * slope) * scale);
        });
    }
}

// The running mean and variance, and the count of batches, after one more.
template <class T>
__global__ void fold_moments_kernel(T* running_mean, T* running_variance, int64_t* batches, const acc_t<T>* mean,
                                    const acc_t<T>* variance, int64_t channels, acc_t<T> part, acc_t<T> unbiased) {
    using A = acc_t<T>;
    const auto fold = [&](T* running, int64_t channel, A found) {
        if (running) {
            running[channel] = from_acc<T>((A(1) - part) * to_acc(running[channel]) + part * found);
        }
    };
    for (int64_t channel = global_thread(); channel < channels; channel += thread_count()) {
        fold(running_mean, channel, mean[channel]);
        fold(running_variance, channel, unbiased * variance[channel]);
    }
    if (batches && global_thread() == 0) *batches += 1;
}

}  // namespace

// How many numbers of scratch memory a channel takes in the launchers below, for `sums` sums of each chunk.
int64_t channel_chunks(int64_t batch, int64_t channels, int64_t pixels, bool channels_last) {
    const Extents of{batch, channels, pixels};
    return channels_last ? Span<true, summed>::chunks(of) : Span<false, summed>::chunks(of);
}
FUNCTION(channel_chunks);

// mean, variance (biased), what the mean has lost by rounding, and the root of the variance, of each channel of
// x: (batch, channels, pixels), none of them 0. Strides are of images, pixels and channels, in elements. parts:
// [4, channel_chunks, channels].
template <class T>
void batch_moments(acc_t<T>* mean, acc_t<T>* variance, acc_t<T>* rest, acc_t<T>* deviation,
                   acc_t<T>* parts, const T* x, int64_t batch, int64_t channels, int64_t pixels, int64_t x_image, int64_t x_pixel,
                   int64_t x_channel, cudaStream_t stream) {
    const Extents of{batch, channels, pixels};
    if (of.count() * channels == 0) return;
    const Layout layout{x_image, x_pixel, x_channel};
    for_layout(layout, [&](auto last) {
        using Part = Span<decltype(last)::value, summed>;
        LAUNCH_AS("batch_moments_kernel", (batch_moments_kernel<T, decltype(last)::value>),
                  blocks_for(Part::spans(of), 1), threads, 0, stream, parts, x, layout, of);
        LAUNCH(combine_moments_kernel<acc_t<T>>, blocks_for(channels, 1), threads, 0, stream, mean, variance, rest,
               deviation, parts, Part::chunks(of), int64_t(Part::length), channels, of.count());
    });
}
LAUNCHER(batch_moments);

// y = (x - mean) / sqrt(deviation^2 + eps) * weight + bias. weight and bias may be null; where they are `wide` they
// are of acc_t<T>.
template <class T>
void batch_norm(T* y, const T* x, void* weight, void* bias, const acc_t<T>* mean,
                const acc_t<T>* rest, const acc_t<T>* deviation, int64_t batch, int64_t channels, int64_t pixels,
                int64_t y_image, int64_t y_pixel, int64_t y_channel, int64_t x_image, int64_t x_pixel,
                int64_t x_channel, bool wide, double eps, cudaStream_t stream) {
    const Extents of{batch, channels, pixels};
    if (of.count() * channels == 0) return;
    const PerChannel<T> weights{weight, wide}, biases{bias, wide};
    const Layout to{y_image, y_pixel, y_channel}, from{x_image, x_pixel, x_channel};
    const Norm<T> norm{mean, rest, deviation, sqrt(eps)};
    for_layout(from, [&](auto last) {
        LAUNCH_AS("batch_norm_kernel", (batch_norm_kernel<T, decltype(last)::value>),
                  blocks_for(Span<decltype(last)::value, mapped>::spans(of), 1), threads, 0, stream, y, x,
                  weights, biases, norm, to, from, of);
    });
}
LAUNCHER(batch_norm);

// Running statistics become `part` of a batch's, whose variance is multiplied by `unbiased`, and the rest of what they
// were; batches is counted up. Each of the three may be null.
template <class T>
void fold_moments(T* running_mean, T* running_variance, int64_t* batches, const acc_t<T>* mean,
                  const acc_t<T>* variance, int64_t channels, double part, double unbiased, cudaStream_t stream) {
    if (channels == 0) return;
    LAUNCH(fold_moments_kernel<T>, blocks_for(channels, threads), threads, 0, stream, running_mean, running_variance,
           batches, mean, variance, channels, acc_t<T>(part), acc_t<T>(unbiased));
}
LAUNCHER(fold_moments);

// The gradients, through the moments as well. dx, dweight and dbias may be null, and are of acc_t<T> as weight is where
// it is `wide`. sums: [2, channels]; parts: [2, channel_chunks of x's layout, channels].
template <class T>
void batch_norm_backward(T* dx, void* dweight, void* dbias, acc_t<T>* sums, acc_t<T>* parts, const T* g, const T* x,
                         void* weight, const acc_t<T>* mean, const acc_t<T>* rest, const acc_t<T>* deviation,
                         int64_t batch, int64_t channels, int64_t pixels, int64_t dx_image, int64_t dx_pixel,
                         int64_t dx_channel, int64_t g_image, int64_t g_pixel, int64_t g_channel,
                         int64_t x_image, int64_t x_pixel, int64_t x_channel, bool wide, double eps,
                         cudaStream_t stream) {
    const Extents of{batch, channels, pixels};
    if (of.count() * channels == 0) return;
    const Layout to{dx_image, dx_pixel, dx_channel}, of_g{g_image, g_pixel, g_channel};
    const Layout of_x{x_image, x_pixel, x_channel};
    const PerChannel<T> weights{weight, wide};
    const Norm<T> norm{mean, rest, deviation, sqrt(eps)};
    for_layout(of_x, [&](auto last) {
        constexpr bool is_last = decltype(last)::value;
        using Summed = Span<is_last, summed>;
        LAUNCH_AS("batch_norm_sums_kernel", (batch_norm_sums_kernel<T, is_last>),
                  blocks_for(Summed::spans(of), 1), threads, 0, stream, parts, g, x, norm, of_g, of_x, of);
        LAUNCH(add_channel_sums_kernel<T>, blocks_for(channels, 1), threads, 0, stream,
               (PerChannel<T>{dweight, wide}), (PerChannel<T>{dbias, wide}), sums, parts, Summed::chunks(of), channels);
        if (dx) {
            LAUNCH_AS("batch_norm_gradient_kernel", (batch_norm_gradient_kernel<T, is_last>),
                      blocks_for(Span<is_last, mapped>::spans(of), 1), threads, 0, stream, dx, g, x, weights,
                      sums, norm, to, of_g, of_x, of);
        }
    });
}
LAUNCHER(batch_norm_backward);
