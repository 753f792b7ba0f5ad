// Convolution in groups of few channels, such as depthwise, where there is no matrix worth the name: a thread
// sums up one result, for all dtypes, wherever images lie. Where they have their channels last, neighbouring
// threads have neighbouring channels, else neighbouring pixels. (Others: conv.cu.)
#include "reduce.cuh"
#include "windows.cuh"

#include "activation.h"

namespace {

constexpr int threads = 256;

// Weights of a group are `outputs` apart from one result's channel to the next, `inputs` from one channel that
// it is summed up from to the next.
struct WeightSteps {
    int64_t group, outputs, inputs;
};

template <class T>
__global__ void __launch_bounds__(threads, 4)
    convolution_direct_kernel(Images<T> y, Images<const T> x, const T* weight, const T* bias, WindowPlaces at,
                              WeightSteps steps, int64_t batch, int64_t groups, int64_t channels,
                              int64_t filters, bool relu) {
    const int64_t all = groups * filters, per_image = at.per_image(), results = batch * all * per_image;
    for (int64_t index = global_thread(); index < results; index += thread_count()) {
        const Place here(index, all, per_image, y.channel == 1);
        const int64_t group = here.channel / filters;
        const Digits window(here.window, at.windows);
        int start[3];
        at.start_of(start, window.values);
        const T* own = weight + group * steps.group + here.channel % filters * steps.outputs;
        acc_t<T> sum = bias ? to_acc(bias[here.channel]) : acc_t<T>(0);
        int element = 0;
        for (int d = 0; d < at.kernel[0]; ++d) {
            for (int h = 0; h < at.kernel[1]; ++h) {
                for (int w = 0; w < at.kernel[2]; ++w, ++element) {
                    const int z = at.place(0, start[0], d), v = at.place(1, start[1], h);
                    const int u = at.place(2, start[2], w);
                    if (z < 0 || v < 0 || u < 0) continue;
                    const T* pixel = x.data + x.offset(window[0], group * channels, z, v, u);
                    for (int64_t c = 0; c < channels; ++c) {
                        sum += to_acc(pixel[c * x.channel]) * to_acc(own[c * steps.inputs + element]);
                    }
                }
            }
        }
        if (relu) sum = activation::Relu<acc_t<T>>().value(sum);
        y.data[y.offset(window[0], here.channel, window[1], window[2], window[3])] = from_acc<T>(sum);
    }
}

// A block has an element of the weight, and its threads share the windows.
template <class T>
__global__ void __launch_bounds__(threads, 4)
    convolution_weight_direct_kernel(T* dweight, Images<const T> x, Images<const T> dy, WindowPlaces at,
                                     int64_t batch, int64_t groups, int64_t channels, int64_t filters) {
    const int elements = at.elements();
    const Digits step(threads, at.windows);
    for (int64_t index = blockIdx.x; index < groups * filters * channels * elements; index += gridDim.x) {
        const int64_t filter = index / elements / channels, channel = index / elements % channels;
        const int64_t from = filter / filters * channels + channel;
        const int element[] = {static_cast<int>(index % elements) / (at.kernel[1] * at.kernel[2]),
                               static_cast<int>(index % elements) / at.kernel[2] % at.kernel[1],
                               static_cast<int>(index % elements) % at.kernel[2]};
        Digits window(threadIdx.x, at.windows);
        acc_t<T> sum = 0;
        for (; window[0] < batch; window.add(step, at.windows)) {
            int start[3], place[3];
            at.start_of(start, window.values);
            bool inside = true;
#pragma unroll
            for (int i = 0; i < 3; ++i) {
                place[i] = at.place(i, start[i], element[i]);
                inside = inside && place[i] >= 0;
            }
            if (!inside) continue;
            const T read = x.data[x.offset(window[0], from, place[0], place[1], place[2])];
            sum += to_acc(read) * to_acc(dy.data[dy.offset(window[0], filter, window[1], window[2], window[3])]);
        }
        sum = block_sum<threads>(sum);
        if (threadIdx.x == 0) dweight[index] = from_acc<T>(sum);
    }
}

}  // namespace

// y = x * weight + bias, or relu of that, as conv.cu's, of groups of `channels` channels and `filters` filters. weight:
// [groups * filters, channels, kernel], or transposed [groups * channels, filters, kernel] (the weight of the
// convolution whose gradient this is). Strides: of images, channels, depth, height and width. bias may be null.
template <class T>
void convolution_direct(T* y, const T* x, const T* weight, const T* bias, int64_t batch, int64_t groups,
                        int64_t channels, int64_t filters, WINDOW_PARAMETERS, int64_t x_image,
                        int64_t x_channel, int64_t x_depth, int64_t x_height, int64_t x_width,
                        int64_t y_image, int64_t y_channel, int64_t y_depth, int64_t y_height,
                        int64_t y_width, bool transposed, bool relu, cudaStream_t stream) {
    const WindowSizes sizes = WINDOW_SIZES;
    const WindowPlaces at = transposed ? sizes.places_of_gradient() : sizes.places();
    const int64_t results = batch * groups * filters * at.per_image(), elements = at.elements();
    if (results == 0) return;
    const int64_t across = elements, down = elements * (transposed ? filters : channels);
    const WeightSteps steps{elements * channels * filters, transposed ? across : down,
                            transposed ? down : across};
    const Images<T> made{y, y_image, y_channel, {y_depth, y_height, y_width}};
    const Images<const T> read{x, x_image, x_channel, {x_depth, x_height, x_width}};
    LAUNCH(convolution_direct_kernel<T>, blocks_for(results, threads), threads, 0, stream, made, read, weight,
           bias, at, steps, batch, groups, channels, filters, relu);
}
LAUNCHER(convolution_direct);

// The gradient of the weight, dweight[groups * filters, channels, kernel].
template <class T>
void convolution_weight_direct(T* dweight, const T* x, const T* dy, int64_t batch, int64_t groups,
                               int64_t channels, int64_t filters, WINDOW_PARAMETERS,
                               int64_t x_image, int64_t x_channel, int64_t x_depth, int64_t x_height,
                               int64_t x_width, int64_t dy_image, int64_t dy_channel, int64_t dy_depth,
                               int64_t dy_height, int64_t dy_width, cudaStream_t stream) {
    const WindowPlaces at = WINDOW_SIZES.places();
    const int64_t results = groups * filters * channels * at.elements();
    if (results == 0) return;
    const Images<const T> read{x, x_image, x_channel, {x_depth, x_height, x_width}};
    const Images<const T> gradients{dy, dy_image, dy_channel, {dy_depth, dy_height, dy_width}};
    LAUNCH(convolution_weight_direct_kernel<T>, blocks_for(results, 1), threads, 0, stream, dweight, read,
           gradients, at, batch, groups, channels, filters);
}
LAUNCHER(convolution_weight_direct);
