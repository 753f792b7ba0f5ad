// Convolutions, and their gradients.
#include "convolution.h"

#include <cstring>
#include <new>

#include "../doors.h"

namespace convolutions {

bool Images::read(PyObject* object) {
    if (!PyArray_CheckExact(object)) {
        return false;
    }
    PyArrayObject* given = as_array(object);
    dimensions = PyArray_NDIM(given) - 2;
    if (PyArray_TYPE(given) != NPY_FLOAT32 || dimensions < 1 || dimensions > 3 ||
        PyArray_SIZE(given) == 0) {
        return false;
    }
    first = PyArray_DIM(given, 0);
    second = PyArray_DIM(given, 1);
    for (int i = 0; i < 3; ++i) {
        const int place = i - (3 - dimensions);
        sizes.of[i] = place < 0 ? 1 : PyArray_DIM(given, 2 + place);
    }
    array = reinterpret_cast<PyArrayObject*>(
        PyArray_FROM_OF(object, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED));
    return array != nullptr;
}

namespace {

struct Geometry {
    Sizes stride, padding, dilation;
    int64_t groups;
};

// As many ints as an image has dimensions; those that it lacks are ``missing``.
bool read_sizes(PyObject* object, int dimensions, int64_t missing, int64_t least, Sizes& sizes) {
    if (object == nullptr || !PyTuple_CheckExact(object) ||
        PyTuple_GET_SIZE(object) != dimensions) {
        return false;
    }
    for (int i = 0; i < 3; ++i) {
        const int place = i - (3 - dimensions);
        sizes.of[i] = missing;
        if (place >= 0 &&
            !read_int(PyTuple_GET_ITEM(object, place), least, most_floats, sizes.of[i])) {
            return false;
        }
    }
    return true;
}

bool read_geometry(PyObject* object, int dimensions, Geometry& geometry) {
    return object != nullptr && PyTuple_Check(object) && PyTuple_GET_SIZE(object) == 4 &&
           read_int(PyTuple_GET_ITEM(object, 3), 1, most_floats, geometry.groups) &&
           read_sizes(PyTuple_GET_ITEM(object, 0), dimensions, 1, 1, geometry.stride) &&
           read_sizes(PyTuple_GET_ITEM(object, 1), dimensions, 0, 0, geometry.padding) &&
           read_sizes(PyTuple_GET_ITEM(object, 2), dimensions, 1, 1, geometry.dilation);
}

PyObject* make_images(int64_t first, int64_t second, int dimensions, const Sizes& sizes) {
    npy_intp shape[5] = {first, second};
    for (int i = 0; i < dimensions; ++i) {
        shape[2 + i] = sizes.of[3 - dimensions + i];
    }
    return PyArray_SimpleNew(2 + dimensions, shape, NPY_FLOAT32);
}

// The array once ``fill`` has written its memory; null where that, or the array, has failed.
template <class Fill>
PyObject* filled(PyObject* array, Fill fill) {
    try {
        if (array != nullptr && fill(static_cast<float*>(memory_of(array)))) {
            return array;
        }
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    }
    Py_XDECREF(array);
    return nullptr;
}

// Whether Winograd's algorithm is faster: for how many images, filters and channels it is was measured.
bool for_winograd(const Images& x, const Sizes& kernel, const Sizes& results,
                  const Geometry& geometry, int64_t filters, int64_t channels) {
    if (x.dimensions != 2 || kernel.of[1] != 3 || kernel.of[2] != 3 ||
        geometry.stride.product() != 1 || geometry.dilation.product() != 1) {
        return false;
    }
    const int64_t tiles = x.first * divided_up(results.of[1], 2) * divided_up(results.of[2], 2);
    return filters >= 32 && channels >= 32 && tiles >= 32;
}

// convolution(x, weight, bias, out, geometry)
PyObject* convolve(Loop loop, const Images& x, const Images& weight, const float* bias,
                   const Sizes& out, const Geometry& geometry) {
    const int64_t groups = geometry.groups, filters = weight.first;
    if (filters % groups != 0 || x.second != weight.second * groups) {
        return nullptr;
    }
    Along along[3];
    for (int i = 0; i < 3; ++i) {
        along[i] = forward(x.sizes.of[i], out.of[i], weight.sizes.of[i], geometry.stride.of[i],
                           geometry.padding.of[i], geometry.dilation.of[i]);
    }
    const int64_t taps = weight.sizes.product(), rows = filters / groups, channels = weight.second;
    const WeightStrides strides{rows * channels * taps, channels * taps, taps};
    return filled(make_images(x.first, filters, x.dimensions, out), [&](float* result) {
        return (for_winograd(x, weight.sizes, out, geometry, rows, channels) &&
                by_winograd(x, out, geometry.padding, false, weight.memory(), strides, bias, groups,
                            rows, result)) ||
               correlate(loop, x, along, weight.sizes, rows == 1 ? in_a_block(1) : terms_at_once,
                         weight.memory(), strides, bias, groups, rows, result);
    });
}

// convolution_input(y_grad, weight, size, geometry)
PyObject* convolve_back(Loop loop, const Images& y, const Images& weight, const Sizes& size,
                        const Geometry& geometry) {
    const int64_t groups = geometry.groups, filters = weight.first;
    if (filters % groups != 0 || y.second != filters) {
        return nullptr;
    }
    Along along[3];
    for (int i = 0; i < 3; ++i) {
        along[i] = backward(y.sizes.of[i], size.of[i], weight.sizes.of[i], geometry.stride.of[i],
                            geometry.padding.of[i], geometry.dilation.of[i]);
    }
    // Each element of the input is a sum over all that may reach it. Where few do, as few windows cover
    // it, the body is faster, which goes through the windows.
    constexpr int64_t sparse = 4;
    if (size.product() / geometry.stride.product() > sparse * y.sizes.product()) {
        return nullptr;
    }
    const int64_t taps = weight.sizes.product(), channels = weight.second, rows = filters / groups;
    const WeightStrides strides{rows * channels * taps, taps, channels * taps};
    return filled(make_images(y.first, channels * groups, y.dimensions, size), [&](float* result) {
        Sizes padding = geometry.padding;
        for (int64_t& of_axis : padding.of) {
            of_axis = 2 - of_axis;
        }
        return (for_winograd(y, weight.sizes, size, geometry, channels, rows) &&
                by_winograd(y, size, padding, true, weight.memory(), strides, nullptr, groups,
                            channels, result)) ||
               correlate(loop, y, along, weight.sizes, in_a_block(rows), weight.memory(), strides,
                         nullptr, groups, channels, result);
    });
}

// convolution_weight(x, y_grad, kernel, geometry)
PyObject* convolve_weight(Loop loop, const Images& x, const Images& y, const Sizes& kernel,
                          const Geometry& geometry) {
    const int64_t groups = geometry.groups;
    if (x.first != y.first || x.second % groups != 0 || y.second % groups != 0) {
        return nullptr;
    }
    Along along[3];
    for (int i = 0; i < 3; ++i) {
        along[i] = forward(x.sizes.of[i], y.sizes.of[i], kernel.of[i], geometry.stride.of[i],
                           geometry.padding.of[i], geometry.dilation.of[i]);
    }
    return filled(make_images(y.second, x.second / groups, x.dimensions, kernel), [&](float* result) {
        return accumulate(loop, x, along, kernel, y.memory(), groups, y.second / groups, result);
    });
}

}  // namespace
}  // namespace convolutions

PyObject* convolution(const Entry& entry, PyObject* const* given, Py_ssize_t count,
                      PyObject* keywords) {
    using namespace convolutions;
    static const char* const names[] = {"geometry", "out", "size", "kernel"};
    PyObject* found[4] = {};
    const int which = std::strcmp(entry.name, "convolution") == 0         ? 1
                      : std::strcmp(entry.name, "convolution_input") == 0 ? 2
                                                                          : 3;
    Images a, b;
    Geometry geometry;
    Sizes sizes;
    if (count != (which == 1 ? 3 : 2) || keywords == nullptr || PyTuple_GET_SIZE(keywords) != 2 ||
        !read_keywords(keywords, given + count, names, found) || !a.read(given[0]) ||
        !b.read(given[1]) || a.dimensions != b.dimensions ||
        !read_geometry(found[0], a.dimensions, geometry) ||
        !read_sizes(found[which], a.dimensions, 1, 1, sizes)) {
        return nullptr;
    }
    try {
        if (which == 1) {
            if (given[2] != Py_None &&
                (!is_float32(given[2], 1) || PyArray_DIM(as_array(given[2]), 0) != b.first)) {
                return nullptr;
            }
            const float* bias = static_cast<const float*>(memory_of(given[2]));
            return convolve(entry.float32, a, b, bias, sizes, geometry);
        }
        return (which == 2 ? convolve_back : convolve_weight)(entry.float32, a, b, sizes, geometry);
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
}
