// Convolution by tensor cores, of one to three dimensions, without an array of patches (patches.cuh): of half
// and bfloat16, and of float as the sum of two tfloat32. Tiles, the plan and split sums are those of
// matmul_tensor.cu, and the rows of the left factor are gathered as they are copied to shared memory.
//
//   - forward: a row for each window; k runs over (place in the window, channel);
//   - the gradient of the input is the same with other places: a row for each pixel of the input, and "windows"
//     of the result's gradient that hold the pixel; k runs over (place in the window, filter). With a stride,
//     it is a product for each of the pixels in its first steps, and those that are a stride apart from it, of
//     those elements of the weight that they meet (windows.cuh, Phase);
//   - the gradient of the weight: a row for each filter, a column for each (place in the window, channel), and
//     k runs over all windows of the batch, which blocks share as in matmul_tensor.cu.
// Results lie as they are asked to: channels last, or channels first, written from the same registers. Images
// have their channels last, at multiples of 16 bytes; `channels_last` makes such of others.
#include "patches.cuh"

namespace {

// Pixels at one distance along each of three dimensions, or all at one (`in_a_row`).
struct PixelGrid {
    int count[3];
    int64_t image_stride, strides[3];
    bool in_a_row;
    __device__ int64_t place(int64_t pixel) const {
        if (in_a_row) return pixel * strides[2];
        const Digits at(pixel, count);
        int64_t found = at[0] * image_stride;
#pragma unroll
        for (int i = 0; i < 3; ++i) found += at[i + 1] * strides[i];
        return found;
    }
};

// Where results lie: row p of group g is pixel p of the grid in the batch, and a column is a channel of
// the group.
template <class T>
struct Pixels {
    static constexpr int size = Pack<T>::size;
    T* y;
    const T* bias;  // of all groups' channels, or null
    bool relu;  // of sums and bias
    int64_t rows, channels;  // of a group
    int64_t channel_stride;
    PixelGrid grid;

    using Column = int64_t;
    __device__ Column column(int64_t first) const { return first; }

    __device__ void store(const float (&sums)[8], int64_t row, Column first) const {
        const int64_t group = row < rows ? 0 : row / rows;
        T* start = y + grid.place(row - group * rows) + group * channels * channel_stride;
        const bool aligned = channel_stride == 1 && aligned_for_packs(start);
        float values[8];
#pragma unroll
        for (int i = 0; i < 8; ++i) values[i] = sums[i];
        if (bias) {
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                if (first + i < channels) values[i] += to_acc(bias[group * channels + first + i]);
            }
        }
        if (relu) {
#pragma unroll
            for (int i = 0; i < 8; ++i) values[i] = activation::Relu<float>().value(values[i]);
        }
#pragma unroll
        for (int part = 0; part < 8; part += size) {
            const int64_t at = first + part;
            Pack<T> made;
#pragma unroll
            for (int i = 0; i < size; ++i) made[i] = from_acc<T>(values[part + i]);
            if (aligned) {
                store_pack(start, made, at, channels, true);
            } else {  // pixels beside each other
#pragma unroll
                for (int i = 0; i < size; ++i) {
                    if (at + i < channels) start[(at + i) * channel_stride] = made[i];
                }
            }
        }
    }
};

// The weight's gradient, (filter, channel, element of the window): rows are filters of all groups, columns
// (element, channel) with channels padded to packs.
template <class T>
struct Filters {
    static constexpr int size = Pack<T>::size;
    T* dweight;
    int channels, padded, elements;

    struct Column {
        int element[8 / size], channel[8 / size];
    };
    __device__ Column column(int64_t first) const {
        Column here;
#pragma unroll
        for (int part = 0; part < 8 / size; ++part) {
            const int at = static_cast<int>(first) + part * size;
            here.element[part] = at / padded;
            here.channel[part] = at % padded;
        }
        return here;
    }
    __device__ void store(const float (&sums)[8], int64_t row, const Column& column) const {
        T* filter = dweight + row * channels * elements;
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            const int element = column.element[i / size], channel = column.channel[i / size] + i % size;
            if (element < elements && channel < channels) {
                filter[int64_t(channel) * elements + element] = from_acc<T>(sums[i]);
            }
        }
    }
};

// y[batch, pixels, stride] of x[batch, channels, pixels]; zeros where there is no channel.
template <class T>
__global__ void __launch_bounds__(256)
    channels_last_kernel(T* y, const T* x, int64_t batch, int64_t channels, int64_t pixels, int64_t stride) {
    constexpr int side = 32, rows = 8;
    SHARED(tile, T[side][side + 4 / sizeof(T)]);  // a column of it is in as many banks
    const int lane = threadIdx.x % side, first = threadIdx.x / side;
    const int64_t across = ceil_div(pixels, side), down = ceil_div(stride, side);
    for (int64_t index = blockIdx.x; index < batch * down * across; index += gridDim.x) {
        const int64_t image = index / (down * across);
        const int64_t channel = index / across % down * side, pixel = index % across * side;
        const T* source = x + image * channels * pixels;
        T* target = y + image * pixels * stride;
#pragma unroll
        for (int i = first; i < side; i += rows) {
            const bool there = channel + i < channels && pixel + lane < pixels;
            tile[i][lane] = there ? source[(channel + i) * pixels + pixel + lane] : from_acc<T>(acc_t<T>(0));
        }
        __syncthreads();
#pragma unroll
        for (int i = first; i < side; i += rows) {
            if (channel + lane < stride && pixel + i < pixels) {
                target[(pixel + i) * stride + channel + lane] = tile[lane][i];
            }
        }
        __syncthreads();  // all have read, and the tile is free
    }
}

}  // namespace

// y[batch, pixels, stride] = x[batch, channels, pixels], transposed, for stride >= channels; zeros in the gap.
template <class T>
void channels_last(T* y, const T* x, int64_t batch, int64_t channels, int64_t pixels, int64_t stride,
                   cudaStream_t stream) {
    const int64_t tiles = batch * ceil_div(pixels, 32) * ceil_div(stride, 32);
    if (tiles == 0) return;
    LAUNCH(channels_last_kernel<T>, blocks_for(tiles, 1), 256, 0, stream, y, x, batch, channels, pixels, stride);
}
LAUNCHER_UP_TO_FLOAT32(channels_last);

namespace {

// Calls f with the block that fits rows of `filters` results, of which there are many, or as many rows.
template <class T, class F>
void for_rows_of(int64_t filters, const F& f) {
    constexpr int side = large_side<T>;
    if (filters > 2 * side) {
        f(Large<T>());
    } else if (filters > side) {
        f(Block<side, 4, 2>());
    } else {
        f(Block<side, 4, 1>());
    }
}
template <class T, class F>
void for_rows(int64_t filters, const F& f) {
    constexpr int side = large_side<T>;
    if (filters > side) {
        f(Large<T>());
    } else {
        f(Block<side, 1, 4>());
    }
}

// Calls f(phase) for each product that a convolution, or the gradient of what it got, is made of.
template <class F>
void for_phases(const WindowSizes& sizes, bool transposed, const F& f) {
    if (!transposed) return f(Phase{sizes.places(), {}, {}, {1, 1, 1}});
    for (int64_t i = 0; i < sizes.phases(); ++i) f(sizes.phase(i));
}

int64_t padded_to_packs(int64_t channels, int64_t element_bytes) {
    return ceil_div(channels * element_bytes, 16) * 16 / element_bytes;
}

}  // namespace

namespace {

template <class T>
int64_t sums_of_convolution(int64_t batch, int64_t groups, int64_t channels, int64_t filters,
                            const WindowSizes& sizes, bool transposed) {
    int64_t most = 0;
    for_rows_of<T>(filters, [&](auto block) {
        for_phases(sizes, transposed, [&](const Phase& phase) {
            const int64_t rows = batch * phase.at.per_image();
            const int64_t k = phase.at.elements() * padded_to_packs(channels, sizeof(T));
            most = max(most, sums_of_splits<T, decltype(block)>(groups, rows, filters, k));
        });
    });
    return most;
}

template <class T>
int64_t sums_of_weight(int64_t groups, int64_t filters, int64_t columns, int64_t rows) {
    int64_t found = 0;
    for_rows<T>(filters, [&](auto block) {
        found = sums_of_splits<T, decltype(block)>(groups, filters, columns, rows);
    });
    return found;
}

}  // namespace

// How many floats of scratch memory the launchers below need; 0 for most. element_bytes: 2, or 4 for float32.
int64_t convolution_workspace(int64_t batch, int64_t groups, int64_t channels, int64_t filters, WINDOW_PARAMETERS,
                              bool transposed, int64_t element_bytes) {
    return element_bytes == 4
               ? sums_of_convolution<float>(batch, groups, channels, filters, WINDOW_SIZES, transposed)
               : sums_of_convolution<half>(batch, groups, channels, filters, WINDOW_SIZES, transposed);
}
FUNCTION(convolution_workspace);

int64_t convolution_weight_workspace(int64_t batch, int64_t groups, int64_t channels, int64_t filters,
                                     WINDOW_PARAMETERS, int64_t element_bytes) {
    const WindowPlaces at = WINDOW_SIZES.places();
    const int64_t columns = at.elements() * padded_to_packs(channels, element_bytes);
    const int64_t rows = batch * at.per_image();
    return element_bytes == 4 ? sums_of_weight<float>(groups, filters, columns, rows)
                              : sums_of_weight<half>(groups, filters, columns, rows);
}
FUNCTION(convolution_weight_workspace);

// y = x * weight + bias, or relu of that: for each of `batch` images and each window, groups of `filters` results from groups of
// `channels` channels. x's strides are of images, depth, height and width, in elements and multiples of 16
// bytes; y's of images, pixels and channels. weight: [groups, filters, kernel, channels] with channels padded
// by zeros to whole packs. transposed: y is the gradient of what a convolution got, and x that of its result;
// `windows` are then y's pixels. bias may be null.
template <class T>
void convolution(T* y, const T* x, const T* weight, const T* bias, float* workspace, int64_t batch,
                 int64_t groups, int64_t channels, int64_t filters, WINDOW_PARAMETERS, int64_t x_image, int64_t x_depth, int64_t x_height,
                 int64_t x_width, int64_t y_image, int64_t y_pixel, int64_t y_channel, bool transposed, bool relu,
                 cudaStream_t stream) {
    const int64_t padded = padded_to_packs(channels, sizeof(T));
    const int64_t line = kernel_d * kernel_h * kernel_w * padded;  // of the weight
    const int64_t element_steps[] = {kernel_h * kernel_w * padded, kernel_w * padded, padded};
    const int64_t pixel_steps[] = {windows_h * windows_w * y_pixel, windows_w * y_pixel, y_pixel};
    const int64_t strides[] = {stride_d, stride_h, stride_w};
    const bool all_pixels = !transposed || stride_d * stride_h * stride_w == 1;
    const bool in_a_row = all_pixels && y_image == windows_d * pixel_steps[0];
    for_phases(WINDOW_SIZES, transposed, [&](const Phase& phase) {
        const WindowPlaces& at = phase.at;
        const Patches<T, true> patches{x, {x_image, x_depth, x_height, x_width}, channels, at};
        Weights<T> weights{weight, filters * line, line, {}, {}, static_cast<int>(padded)};
        PixelGrid grid{{}, y_image, {}, in_a_row};
        T* first = y;
        for (int i = 0; i < 3; ++i) {
            weights.data += phase.first[i] * element_steps[i];
            weights.elements[i] = at.kernel[i];
            weights.steps[i] = phase.step[i] * element_steps[i];
            first += phase.first_pixel[i] * pixel_steps[i];
            grid.count[i] = at.windows[i];
            grid.strides[i] = transposed ? strides[i] * pixel_steps[i] : pixel_steps[i];
        }
        const int64_t rows = batch * at.per_image();
        const Pixels<T> results{first, bias, relu, rows, filters, y_channel, grid};
        const Shape shape{groups, 1, rows, filters, patches.columns()};
        for_rows_of<T>(filters, [&](auto block) {
            multiply<T, decltype(block)>(results, patches, weights, workspace, shape, stream);
        });
    });
}
LAUNCHER_UP_TO_FLOAT32(convolution);

// The gradient of the weight, dweight[groups * filters, channels, kernel]. dy: [batch * windows, dy_pixel], of
// which groups * filters elements of each row count; its rows, and where groups begin in them, are multiples of
// 16 bytes.
template <class T>
void convolution_weight(T* dweight, const T* x, const T* dy, float* workspace, int64_t batch, int64_t groups,
                        int64_t channels, int64_t filters, WINDOW_PARAMETERS, int64_t x_image,
                        int64_t x_depth, int64_t x_height, int64_t x_width, int64_t dy_pixel,
                        cudaStream_t stream) {
    const WindowPlaces at = WINDOW_SIZES.places();
    const Patches<T, false> patches{x, {x_image, x_depth, x_height, x_width}, channels, at};
    const Matrices<T, false> gradients{dy, filters, 0, dy_pixel};
    const Filters<T> results{dweight, static_cast<int>(channels), patches.padded(), at.elements()};
    const Shape shape{groups, 1, filters, patches.columns(), batch * at.per_image()};
    for_rows<T>(filters, [&](auto block) {
        multiply<T, decltype(block)>(results, gradients, patches, workspace, shape, stream);
    });
}
LAUNCHER_UP_TO_FLOAT32(convolution_weight);
