// Windows along the axes of images, as the loops of pooling (loops/pool.cpp) take them.
#pragma once

#include <cstdint>

struct Windows {
    int64_t size;  // of the image along this axis
    int64_t out, kernel, stride, padding, dilation;

    int64_t start(int64_t window) const { return window * stride - padding; }
    // The first element of a window that lies in the image, and the end of those that do.
    int64_t first(int64_t window) const {
        const int64_t before = -start(window);
        return before <= 0 ? 0 : (before + dilation - 1) / dilation;
    }
    int64_t end(int64_t window) const {
        const int64_t room = size - start(window);
        if (room > dilation * (kernel - 1)) {
            return kernel;
        }
        const int64_t fit = room <= 0 ? 0 : (room + dilation - 1) / dilation;
        return fit < kernel ? fit : kernel;
    }
    int64_t reach() const { return (out - 1) * stride + dilation * (kernel - 1) + 1; }
};

constexpr int largest_kernel = 256;  // of maxima, as a byte says which element it is

struct MaximaAlong {
    Windows windows;
    int64_t inner;  // elements behind each one along the axis
};

constexpr int64_t longest_row = 4096;  // with its border, of images whose means are taken

struct Means {
    Windows windows[3];
    float divisor;
};
