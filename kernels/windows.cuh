// Windows on images of one to three dimensions, those of convolutions and of pooling: where they lie, and how
// many of them are counted without divisions. Of images with fewer dimensions, the first sizes are 1.
#pragma once

#include "device.cuh"

namespace {

// Where windows lie. Along each dimension, element t of window w is at place
//     (w * window_step + offset + t * element_step) / divisor
// of the image, if that is a whole number and in the image. (A divisor is the stride of a convolution whose
// gradient this is.)
struct WindowPlaces {
    int image[3], kernel[3], windows[3];
    int window_step[3], offset[3], element_step[3], divisor[3];
    __host__ __device__ int64_t per_image() const {
        return int64_t(windows[0]) * windows[1] * windows[2];
    }
    __host__ __device__ int elements() const { return kernel[0] * kernel[1] * kernel[2]; }

    // Where windows begin, of the digits (image, window in depth, in height, in width).
    __device__ void start_of(int (&start)[3], const int (&row)[4]) const {
#pragma unroll
        for (int i = 0; i < 3; ++i) start[i] = row[i + 1] * window_step[i] + offset[i];
    }
    // Along dimension i: the place of an element of a window that begins there, or -1.
    __device__ int place(int i, int start, int element) const {
        const int at = start + element * element_step[i];
        if (divisor[i] == 1) return unsigned(at) < unsigned(image[i]) ? at : -1;
        const int whole = at / divisor[i];
        return at >= 0 && whole * divisor[i] == at && whole < image[i] ? whole : -1;
    }
};

// A number whose digits count to different limits, the last one fastest; the first has none. By it places in
// several dimensions are counted on without divisions.
struct Digits {
    int values[4];

    __device__ Digits(int64_t number, const int (&limits)[3]) {
        if (number >> 31) {
            take(number, limits);
        } else {  // a division of 32 bits takes a fifth of the instructions
            take(static_cast<int>(number), limits);
        }
    }
    __device__ void add(const Digits& step, const int (&limits)[3]) {
        int carry = 0;
#pragma unroll
        for (int i = 3; i > 0; --i) {
            values[i] += step.values[i] + carry;
            carry = values[i] >= limits[i - 1];
            values[i] -= carry ? limits[i - 1] : 0;
        }
        values[0] += step.values[0] + carry;
    }
    __device__ int operator[](int i) const { return values[i]; }

  private:
    template <class Number>
    __device__ void take(Number number, const int (&limits)[3]) {
#pragma unroll
        for (int i = 3; i > 0; --i) {
            const Number rest = number / limits[i - 1];
            values[i] = static_cast<int>(number - rest * limits[i - 1]);
            number = rest;
        }
        values[0] = static_cast<int>(number);
    }
};

// Images (n, channels, depth, height, width), by strides in elements.
template <class T>
struct Images {
    T* data;
    int64_t image, channel, steps[3];

    __device__ int64_t offset(int64_t n, int64_t of_channel, int d, int h, int w) const {
        return n * image + of_channel * channel + d * steps[0] + h * steps[1] + w * steps[2];
    }
};

// Which result a thread makes. Channels count fastest, or pixels do: as they lie in memory.
struct Place {
    int64_t channel, window;  // of the batch
    __device__ Place(int64_t index, int64_t channels, int64_t per_image, bool channels_last) {
        const int64_t inner = channels_last ? channels : per_image, first = index % inner, rest = index / inner;
        if (channels_last) {
            channel = first, window = rest;
        } else {
            channel = rest % channels, window = rest / channels * per_image + first;
        }
    }
};

struct Sizes {
    int64_t depth, height, width;
    void to(int (&all)[3]) const {
        all[0] = static_cast<int>(depth), all[1] = static_cast<int>(height), all[2] = static_cast<int>(width);
    }
};

// The pixels of a convolution's gradient that are a stride apart from `first_pixel` on: what they come from
// are the same elements of the windows, from `first` on and `step` apart, and places that no stride skips.
struct Phase {
    WindowPlaces at;  // with as many elements as count, and a window for each of those pixels
    int first_pixel[3], first[3], step[3];
};

// What a launcher is told of windows on images.
struct WindowSizes {
    Sizes image, kernel, windows, stride, padding, dilation;

    // Those that elements of the windows have in the image.
    WindowPlaces places() const { return found(false); }

    // Where the gradient of what `image` is the result of comes from: places of windows that hold a pixel.
    WindowPlaces places_of_gradient() const { return found(true); }

    // The same without places that are no whole numbers: see Phase.
    int64_t phases() const {
        int steps[3], pixels[3];
        stride.to(steps), windows.to(pixels);
        return int64_t(min(steps[0], pixels[0])) * min(steps[1], pixels[1]) * min(steps[2], pixels[2]);
    }
    Phase phase(int64_t index) const {
        Phase made{places_of_gradient(), {}, {}, {1, 1, 1}};
        WindowPlaces& at = made.at;
        bool is_empty = false;
        for (int i = 2; i >= 0; --i) {
            const int stride = at.divisor[i], apart = -at.element_step[i], count = min(stride, at.windows[i]);
            const int pixel = made.first_pixel[i] = static_cast<int>(index % count);
            index /= count;
            while (made.step[i] * apart % stride) ++made.step[i];
            int& first = made.first[i];
            while (first < made.step[i] && (pixel + at.offset[i] - first * apart) % stride) ++first;
            is_empty = is_empty || first == made.step[i] || first >= at.kernel[i];
            at.kernel[i] = static_cast<int>(ceil_div(at.kernel[i] - first, made.step[i]));
            at.windows[i] = static_cast<int>(ceil_div(at.windows[i] - pixel, stride));
            at.offset[i] = (pixel + at.offset[i] - first * apart) / stride;
            at.element_step[i] = -(made.step[i] * apart / stride);
            at.divisor[i] = 1;
        }
        if (is_empty) at.kernel[0] = 0, at.kernel[1] = at.kernel[2] = 1;  // limits of digits are not 0
        return made;
    }

    WindowSizes with_image_and_windows_exchanged() const {
        return {windows, kernel, image, stride, padding, dilation};
    }

  private:
    WindowPlaces found(bool backward) const {
        WindowPlaces at;
        int steps[3], border[3], apart[3];
        image.to(at.image), kernel.to(at.kernel), windows.to(at.windows);
        stride.to(steps), padding.to(border), dilation.to(apart);
        for (int i = 0; i < 3; ++i) {
            at.window_step[i] = backward ? 1 : steps[i];
            at.offset[i] = backward ? border[i] : -border[i];
            at.element_step[i] = backward ? -apart[i] : apart[i];
            at.divisor[i] = backward ? steps[i] : 1;
        }
        return at;
    }
};

}  // namespace

// The parameters of a launcher that tell it, and them as WindowSizes.
#define WINDOW_PARAMETERS                                                                               \
    int64_t image_d, int64_t image_h, int64_t image_w, int64_t kernel_d, int64_t kernel_h,              \
        int64_t kernel_w, int64_t windows_d, int64_t windows_h, int64_t windows_w, int64_t stride_d,    \
        int64_t stride_h, int64_t stride_w, int64_t padding_d, int64_t padding_h, int64_t padding_w,    \
        int64_t dilation_d, int64_t dilation_h, int64_t dilation_w
#define WINDOW_SIZES                                                                                    \
    WindowSizes {                                                                                       \
        {image_d, image_h, image_w}, {kernel_d, kernel_h, kernel_w}, {windows_d, windows_h, windows_w}, \
            {stride_d, stride_h, stride_w}, {padding_d, padding_h, padding_w},                          \
            {dilation_d, dilation_h, dilation_w},                                                       \
    }
