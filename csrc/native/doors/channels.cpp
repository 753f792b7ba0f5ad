// Batch norm: of (samples, channels, ...) with numbers for each channel.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>

#include "../arrays.h"
#include "../doors.h"

namespace {

struct Shape {
    npy_intp samples, channels, pixels;
    double numbers[3];  // as the loops take them

    // The numbers of a channel; of channels with one pixel each, some are always done side by side.
    npy_intp each() const {
        return pixels == 1 ? std::min<npy_intp>(samples, 256) : samples * pixels;
    }

    explicit Shape(PyArrayObject* x)
        : samples(PyArray_DIM(x, 0)),
          channels(PyArray_DIM(x, 1)),
          pixels(PyArray_SIZE(x) / (samples * channels)),
          numbers{double(samples), double(channels), double(pixels)} {}
};

bool has_channels(PyObject* object) {
    return is_float32(object) && PyArray_NDIM(as_array(object)) >= 2 && PyArray_SIZE(as_array(object)) > 0;
}

using Numbers = std::unique_ptr<float[]>;

// centre, spread and rest of a batch, and 1 / sqrt(spread + eps), null where squares have lost digits.
struct Moments {
    float *centre = nullptr, *rest = nullptr;
    Numbers rstd;

    Moments(PyObject* object, PyObject* eps, npy_intp channels) {
        if (object == nullptr || eps == nullptr || !PyTuple_CheckExact(object) ||
            PyTuple_GET_SIZE(object) != 3 || !PyFloat_CheckExact(eps)) {
            return;
        }
        float* memory[3];
        for (int i = 0; i < 3; ++i) {
            PyObject* vector = PyTuple_GET_ITEM(object, i);
            if (vector == Py_None || !is_vector(vector, channels)) {
                return;
            }
            memory[i] = static_cast<float*>(memory_of(vector));
        }
        centre = memory[0];
        rest = memory[2];
        rstd = Numbers(new (std::nothrow) float[size_t(channels)]);
        for (npy_intp i = 0; rstd != nullptr && i < channels; ++i) {
            const double squares = double(memory[1][i]) + PyFloat_AS_DOUBLE(eps);
            if (!(squares > 1e-24 && squares < 3e38)) {
                rstd.reset();
                return;
            }
            rstd[size_t(i)] = float(1 / std::sqrt(squares));
        }
    }
};

// rstd weight, of which the weight may be None.
Numbers weighted(const float* rstd, PyObject* weight, npy_intp channels) {
    Numbers scale(new (std::nothrow) float[size_t(channels)]);
    const float* by = static_cast<const float*>(memory_of(weight));
    for (npy_intp i = 0; scale != nullptr && i < channels; ++i) {
        scale[size_t(i)] = by == nullptr ? rstd[i] : rstd[i] * by[i];
    }
    return scale;
}

// Results, of which null has failed, as a tuple; takes what it is given.
template <size_t size>
PyObject* tuple_of(PyObject* (&results)[size]) {
    PyObject* all = PyTuple_New(Py_ssize_t(size));
    for (size_t i = 0; i < size; ++i) {
        if (results[i] == nullptr) {
            Py_CLEAR(all);
        }
    }
    for (size_t i = 0; i < size; ++i) {
        if (all == nullptr) {
            Py_XDECREF(results[i]);
        } else {
            PyTuple_SET_ITEM(all, Py_ssize_t(i), results[i]);
        }
    }
    return all;
}

bool all_made(PyObject* const* results, int count) {
    for (int i = 0; i < count; ++i) {
        if (results[i] == nullptr) {
            return false;
        }
    }
    return true;
}

// batch_moments(x) -> (centre, spread, rest)
PyObject* moments(const Entry& entry, PyArrayObject* x) {
    const Shape shape(x);
    PyObject* results[3];
    for (PyObject*& result : results) {
        result = empty_vector(shape.channels);
    }
    if (all_made(results, 3)) {
        void* arrays[] = {memory_of(results[0]), memory_of(results[1]), memory_of(results[2]),
                          PyArray_DATA(x)};
        run_anyhow(entry.float32, arrays, shape.numbers, shape.channels, shape.each());
    }
    return tuple_of(results);
}

PyObject* scaled(const Entry& entry, PyArrayObject* x, void* centre, void* rest, void* scale,
                 PyObject* bias) {
    const Shape shape(x);
    PyObject* y = empty_like(x);
    if (y != nullptr) {
        void* arrays[] = {memory_of(y), PyArray_DATA(x), centre, rest, scale, memory_of(bias)};
        const bool flat = shape.pixels == 1;
        run_anyhow(entry.float32, arrays, shape.numbers,
                   shape.samples * (flat ? 1 : shape.channels),
                   flat ? shape.channels : shape.pixels);
    }
    return y;
}

// (dx or None, the sums of g h, those of g)
PyObject* gradients(const Entry& entry, PyObject* const* given, bool wanted, float* centre,
                    float* rest, float* rstd, float* scale) {
    PyArrayObject* x = as_array(given[1]);
    const Shape shape(x);
    PyObject* results[] = {wanted ? empty_like(x) : Py_NewRef(Py_None), empty_vector(shape.channels),
                           empty_vector(shape.channels)};
    if (all_made(results, 3)) {
        void* arrays[] = {memory_of(results[0]), memory_of(results[1]), memory_of(results[2]),
                          memory_of(given[0]),   PyArray_DATA(x),       centre,
                          rest,                  rstd,                  scale};
        run_anyhow(entry.float32, arrays, shape.numbers, shape.channels, shape.each());
    }
    return tuple_of(results);
}

// batch_norm(x, weight, bias, moments, eps)
PyObject* batch_norm(const Entry& entry, PyObject* const* given, PyObject* keywords) {
    static const char* const names[] = {"moments", "eps"};
    PyObject* found[2] = {};
    const npy_intp channels = PyArray_DIM(as_array(given[0]), 1);
    if (!is_vector(given[1], channels) || !is_vector(given[2], channels) ||
        !read_keywords(keywords, given + 3, names, found)) {
        return nullptr;
    }
    const Moments moments(found[0], found[1], channels);
    if (moments.rstd == nullptr) {
        return nullptr;
    }
    const Numbers scale = weighted(moments.rstd.get(), given[1], channels);
    return scale == nullptr ? nullptr
                            : scaled(entry, as_array(given[0]), moments.centre, moments.rest,
                                     scale.get(), given[2]);
}

// batch_norm_backward(g, x, weight, moments, eps, needs) -> (dx, dweight, dbias)
PyObject* batch_norm_backward(const Entry& entry, PyObject* const* given, PyObject* keywords) {
    static const char* const names[] = {"moments", "eps", "needs"};
    PyObject* found[3] = {};
    const npy_intp channels = PyArray_DIM(as_array(given[1]), 1);
    if (!is_vector(given[2], channels) || !read_keywords(keywords, given + 3, names, found) ||
        found[2] == nullptr || !PyTuple_CheckExact(found[2]) || PyTuple_GET_SIZE(found[2]) != 3) {
        return nullptr;
    }
    const Moments moments(found[0], found[1], channels);
    if (moments.rstd == nullptr) {
        return nullptr;
    }
    const Numbers scale = weighted(moments.rstd.get(), given[2], channels);
    const bool wanted = PyTuple_GET_ITEM(found[2], 0) == Py_True;
    return scale == nullptr ? nullptr
                            : gradients(entry, given, wanted, moments.centre, moments.rest,
                                        moments.rstd.get(), scale.get());
}

// scale_channels_backward(g, x, centre, scale, needs) -> (dx, dcentre, dscale, dbias); without dcentre
PyObject* scale_backward(const Entry& entry, PyObject* const* given, PyObject* keywords) {
    static const char* const names[] = {"needs"};
    PyObject* needs[1] = {};
    if (!read_keywords(keywords, given + 4, names, needs) || needs[0] == nullptr ||
        !PyTuple_CheckExact(needs[0]) || PyTuple_GET_SIZE(needs[0]) != 4 ||
        PyTuple_GET_ITEM(needs[0], 1) == Py_True) {
        return nullptr;
    }
    PyObject* found = gradients(entry, given, PyTuple_GET_ITEM(needs[0], 0) == Py_True,
                                static_cast<float*>(memory_of(given[2])), nullptr, nullptr,
                                static_cast<float*>(memory_of(given[3])));
    if (found == nullptr) {
        return nullptr;
    }
    PyObject* all = PyTuple_Pack(4, PyTuple_GET_ITEM(found, 0), Py_None, PyTuple_GET_ITEM(found, 1),
                                 PyTuple_GET_ITEM(found, 2));
    Py_DECREF(found);
    return all;
}

// Numbers for each channel of x, which come last: one vector at least.
bool are_vectors(PyObject* const* given, int count, npy_intp channels) {
    for (int i = 0; i < count; ++i) {
        if (given[i] == Py_None || !is_vector(given[i], channels)) {
            return false;
        }
    }
    return true;
}

}  // namespace

PyObject* channels(const Entry& entry, PyObject* const* given, Py_ssize_t count,
                   PyObject* keywords) {
    const bool back = entry.arrays == 9;
    const bool fixed = std::strncmp(entry.name, "scale", 5) == 0;
    if (entry.arrays == 4) {
        return count == 1 && keywords == nullptr && has_channels(given[0])
                   ? moments(entry, as_array(given[0]))
                   : nullptr;
    }
    if (count != (fixed ? 4 : 3) || !has_channels(given[0]) ||
        (back && (!has_channels(given[1]) ||
                  !PyArray_SAMESHAPE(as_array(given[0]), as_array(given[1]))))) {
        return nullptr;
    }
    if (!fixed) {
        return (back ? batch_norm_backward : batch_norm)(entry, given, keywords);
    }
    const npy_intp length = PyArray_DIM(as_array(given[0]), 1);
    if (!are_vectors(given + (back ? 2 : 1), 2, length)) {
        return nullptr;
    }
    if (back) {
        return scale_backward(entry, given, keywords);
    }
    return keywords == nullptr && is_vector(given[3], length)
               ? scaled(entry, as_array(given[0]), memory_of(given[1]), nullptr,
                        memory_of(given[2]), given[3])
               : nullptr;
}
