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

// Lines of a thread, where their numbers are summed and where each is mapped to another.
template <class Lies>
constexpr int summed = Lies::width == 1 ? 16 : 8;
template <class Lies>
constexpr int mapped = 8;
template <class Lies>
constexpr int mapped_twice = Lies::width == 1 ? 8 : 4;  // of two arrays

// Squares of what is smaller by this do not overflow.
template <class A>
constexpr A smaller = sizeof(A) == 8 ? A(0x1p-600) : A(0x1p-80);

// parts: four of each [chunks, channels].
template <class T, class Lies>
__global__ void __launch_bounds__(threads)
    batch_moments_kernel(acc_t<T>* parts, const T* x, Layout layout, Extents of) {
    using A = acc_t<T>;
    using Part = Span<Lies, summed<Lies>>;
    constexpr int width = Part::width, channels = Part::channels;
    const int64_t plane = Part::chunks(of) * of.channels;
    for (int64_t index = blockIdx.x; index < Part::spans(of); index += gridDim.x) {
        const Part span(of, index);
        T held[summed<Lies>][width];
        span.each(of, [&](int i, int64_t image, int64_t pixel) {
            read_line(held[i], x + layout.at(image, pixel, span.channel));
        });
        A centre[channels] = {}, distances[channels] = {}, squares[channels] = {}, small_squares[channels] = {};
        const auto each = [&](const auto& use) {
            span.each(of, [&](int i, int64_t, int64_t) {
                A values[width];
                widen(values, held[i]);
#pragma unroll
                for (int v = 0; v < width; ++v) use(Lies::channel(v), values[v]);
            });
        };
        each([&](int c, A value) { centre[c] += value; });
        Part::sum(centre);
        const A numbers = A(span.numbers(of));
#pragma unroll
        for (int c = 0; c < channels; ++c) centre[c] /= numbers;
        each([&](int c, A value) {
            const A distance = value - centre[c];
            distances[c] += distance;
            squares[c] += distance * distance;
            small_squares[c] += (distance * smaller<A>) * (distance * smaller<A>);
        });
        Part::sum(distances);
        Part::sum(squares);
        Part::sum(small_squares);
        if (span.tells()) {
            A* own = parts + span.chunk * of.channels + span.channel;
#pragma unroll
            for (int c = 0; c < channels; ++c) {
                own[c] = centre[c], own[plane + c] = distances[c];
                own[2 * plane + c] = squares[c], own[3 * plane + c] = small_squares[c];
            }
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
    // Those of channels that follow each other.
    template <int count>
    __device__ void read(A (&to)[count], int64_t channel) const {
        if (wide) {
#pragma unroll
            for (int c = 0; c < count; ++c) to[c] = static_cast<const A*>(numbers)[channel + c];
        } else {
#pragma unroll
            for (int c = 0; c < count; ++c) to[c] = to_acc(static_cast<const T*>(numbers)[channel + c]);
        }
    }
    __device__ void put(int64_t channel, A value) const {
        if (wide) {
            static_cast<A*>(numbers)[channel] = value;
        } else {
            static_cast<T*>(numbers)[channel] = from_acc<T>(value);
        }
    }
};

template <class T, class Lies>
constexpr int blocks_at_a_time = sizeof(T) == 8 || Lies::width > 1 ? 2 : 3;

// What a channel's numbers are shifted and multiplied by.
template <class T>
struct Norm {
    using A = acc_t<T>;
    const A *mean, *rest, *deviation;
    double root;  // of eps

    // Of a thread's channels, mean and 1 / deviation; the latter each by one thread. All threads call it.
    template <class Part, int count>
    __device__ void find(A (&means)[count], A (&rests)[count], A (&rstds)[count], const Part& span,
                         int64_t channels) const {
        constexpr int all = Part::across * count;
        SHARED(found, A[all]);
        __syncthreads();  // those of an earlier part may still be being read
        const int64_t channel = span.channel - threadIdx.x % Part::across * count + threadIdx.x;
        if (threadIdx.x < all && channel < channels) {
            found[threadIdx.x] = A(1) / hypot(deviation[channel], A(root));
        }
        __syncthreads();
        if (!span.inside) return;
#pragma unroll
        for (int c = 0; c < count; ++c) {
            means[c] = mean[span.channel + c], rests[c] = rest[span.channel + c];
            rstds[c] = found[threadIdx.x % Part::across * count + c];
        }
    }
};

template <class T, class Lies>
__global__ void __launch_bounds__(threads, blocks_at_a_time<T, Lies>)
    batch_norm_kernel(T* y, const T* x, PerChannel<T> weight, PerChannel<T> bias, Norm<T> norm, Layout to,
                      Layout from, Extents of) {
    using A = acc_t<T>;
    using Part = Span<Lies, mapped<Lies>>;
    constexpr int width = Part::width, channels = Part::channels;
    for (int64_t index = blockIdx.x; index < Part::spans(of); index += gridDim.x) {
        const Part span(of, index);
        const int64_t channel = span.channel;
        T held[mapped<Lies>][width];
        span.each(of, [&](int i, int64_t image, int64_t pixel) {
            read_line(held[i], x + from.at(image, pixel, channel));
        });
        A mean[channels], rest[channels], scale[channels], factors[channels], shift[channels] = {};
        norm.find(mean, rest, scale, span, of.channels);
        if (!span.inside) continue;
        if (bias) bias.read(shift, channel);
        if (weight) {
            weight.read(factors, channel);
#pragma unroll
            for (int c = 0; c < channels; ++c) scale[c] *= factors[c];
        }
        span.each(of, [&](int i, int64_t image, int64_t pixel) {
            A values[width];
            widen(values, held[i]);
#pragma unroll
            for (int v = 0; v < width; ++v) {
                const int c = Lies::channel(v);
                values[v] = (values[v] - mean[c] - rest[c]) * scale[c] + shift[c];
            }
            write_line(y + to.at(image, pixel, channel), values);
        });
    }
}

// Sums of the gradient, and of it times the normalised numbers. parts: two of each [chunks, channels].
template <class T, class Lies>
__global__ void __launch_bounds__(threads)
    batch_norm_sums_kernel(acc_t<T>* parts, const T* g, const T* x, Norm<T> norm, Layout of_g, Layout of_x,
                           Extents of) {
    using A = acc_t<T>;
    using Part = Span<Lies, summed<Lies>>;
    constexpr int width = Part::width, channels = Part::channels;
    const int64_t plane = Part::chunks(of) * of.channels;
    for (int64_t index = blockIdx.x; index < Part::spans(of); index += gridDim.x) {
        const Part span(of, index);
        const int64_t channel = span.channel;
        T held_g[summed<Lies>][width], held_x[summed<Lies>][width];
        span.each(of, [&](int i, int64_t image, int64_t pixel) {
            read_line(held_g[i], g + of_g.at(image, pixel, channel));
            read_line(held_x[i], x + of_x.at(image, pixel, channel));
        });
        A mean[channels], rest[channels], rstd[channels], sum[channels] = {}, product[channels] = {};
        norm.find(mean, rest, rstd, span, of.channels);
        span.each(of, [&](int i, int64_t, int64_t) {
            A gradients[width], values[width];
            widen(gradients, held_g[i]), widen(values, held_x[i]);
#pragma unroll
            for (int v = 0; v < width; ++v) {
                const int c = Lies::channel(v);
                sum[c] += gradients[v];
                product[c] += gradients[v] * ((values[v] - mean[c] - rest[c]) * rstd[c]);
            }
        });
        Part::sum(sum);
        Part::sum(product);
        if (span.tells()) {
            A* own = parts + span.chunk * of.channels + channel;
#pragma unroll
            for (int c = 0; c < channels; ++c) own[c] = sum[c], own[plane + c] = product[c];
        }
    }
}

// A block has a channel. sums: [2, channels].
template <class T>
__global__ void __launch_bounds__(threads)
    add_channel_sums_kernel(PerChannel<T> dweight, PerChannel<T> dbias, acc_t<T>* sums, const acc_t<T>* parts,
                            int64_t chunks, int64_t channels) {
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

template <class T, class Lies>
__global__ void __launch_bounds__(threads, blocks_at_a_time<T, Lies>)
    batch_norm_gradient_kernel(T* dx, const T* g, const T* x, PerChannel<T> weight, const acc_t<T>* sums,
                               Norm<T> norm, Layout to, Layout of_g, Layout of_x, Extents of) {
    using A = acc_t<T>;
    constexpr int pixels = mapped_twice<Lies>;
    using Part = Span<Lies, pixels>;
    constexpr int width = Part::width, channels = Part::channels;
    for (int64_t index = blockIdx.x; index < Part::spans(of); index += gridDim.x) {
        const Part span(of, index);
        const int64_t channel = span.channel;
        T held_g[pixels][width], held_x[pixels][width];
        span.each(of, [&](int i, int64_t image, int64_t pixel) {
            read_line(held_g[i], g + of_g.at(image, pixel, channel));
            read_line(held_x[i], x + of_x.at(image, pixel, channel));
        });
        A mean[channels], rest[channels], rstd[channels], scale[channels], shift[channels], slope[channels];
        norm.find(mean, rest, rstd, span, of.channels);
        if (!span.inside) continue;
        A factors[channels];
        if (weight) weight.read(factors, channel);
#pragma unroll
        for (int c = 0; c < channels; ++c) {
            scale[c] = weight ? rstd[c] * factors[c] : rstd[c];
            shift[c] = sums[channel + c] / A(of.count());
            slope[c] = sums[of.channels + channel + c] / A(of.count());
        }
        span.each(of, [&](int i, int64_t image, int64_t pixel) {
            A gradients[width], values[width];
            widen(gradients, held_g[i]), widen(values, held_x[i]);
#pragma unroll
            for (int v = 0; v < width; ++v) {
                const int c = Lies::channel(v);
                const A normal = (values[v] - mean[c] - rest[c]) * rstd[c];
                values[v] = (gradients[v] - shift[c] - normal * slope[c]) * scale[c];
            }
            write_line(dx + to.at(image, pixel, channel), values);
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
    using Last = Lying<true, 1>;  // of packs there are not more
    using First = Lying<false, 1>;
    return channels_last ? Span<Last, summed<Last>>::chunks(of) : Span<First, summed<First>>::chunks(of);
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
    const bool last = layout.channel == 1;
    for_layout<T>(last, in_packs(of, layout, last, x), [&](auto lies) {
        using Lies = decltype(lies);
        using Part = Span<Lies, summed<Lies>>;
        LAUNCH_AS("batch_moments_kernel", (batch_moments_kernel<T, Lies>),
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
    const bool last = from.channel == 1, packs = in_packs(of, to, last, y) && in_packs(of, from, last, x);
    for_layout<T>(last, packs, [&](auto lies) {
        using Lies = decltype(lies);
        LAUNCH_AS("batch_norm_kernel", (batch_norm_kernel<T, Lies>),
                  blocks_for(Span<Lies, mapped<Lies>>::spans(of), 1), threads, 0, stream, y, x, weights, biases, norm,
                  to, from, of);
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
    const bool last = of_x.channel == 1;
    const bool packs = in_packs(of, of_g, last, g) && in_packs(of, of_x, last, x) &&
                       (!dx || in_packs(of, to, last, dx));
    for_layout<T>(last, packs, [&](auto lies) {
        using Lies = decltype(lies);
        using Summed = Span<Lies, summed<Lies>>;
        LAUNCH_AS("batch_norm_sums_kernel", (batch_norm_sums_kernel<T, Lies>), blocks_for(Summed::spans(of), 1),
                  threads, 0, stream, parts, g, x, norm, of_g, of_x, of);
        LAUNCH(add_channel_sums_kernel<T>, blocks_for(channels, 1), threads, 0, stream,
               (PerChannel<T>{dweight, wide}), (PerChannel<T>{dbias, wide}), sums, parts, Summed::chunks(of), channels);
        if (dx) {
            LAUNCH_AS("batch_norm_gradient_kernel", (batch_norm_gradient_kernel<T, Lies>),
                      blocks_for(Span<Lies, mapped_twice<Lies>>::spans(of), 1), threads, 0, stream, dx, g, x, weights,
                      sums, norm, to, of_g, of_x, of);
        }
    });
}
LAUNCHER(batch_norm_backward);
