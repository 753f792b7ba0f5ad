// Doors to sums, means and the largest along a dimension. Small contiguous floats are added up here,
// in NumPy's order, so that it makes no difference which of the two does it.
#include "folds.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

namespace {

// NumPy's pairwise summation.
template <class T>
T sum_of(const T* x, npy_intp n) {
    if (n < 8) {
        T sum = -T(0);
        for (npy_intp i = 0; i < n; ++i) {
            sum += x[i];
        }
        return sum;
    }
    if (n > 128) {
        const npy_intp half = n / 2 - n / 2 % 8;
        return sum_of(x, half) + sum_of(x + half, n - half);
    }
    T r[8];
    std::copy_n(x, 8, r);
    npy_intp i = 8;
    for (; i + 8 <= n; i += 8) {
        for (int k = 0; k < 8; ++k) {
            r[k] += x[i + k];
        }
    }
    T sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < n; ++i) {
        sum += x[i];
    }
    return sum;
}

template <class T>
void add_up_into(T* y, const T* x, const Block& block) {
    for (npy_intp o = 0; o < block.outer; ++o, x += block.length * block.inner, y += block.inner) {
        if (block.inner == 1) {
            *y = T(0) + sum_of(x, block.length);
            continue;
        }
        std::fill_n(y, block.inner, T(0));
        for (npy_intp k = 0; k < block.length; ++k) {
            for (npy_intp i = 0; i < block.inner; ++i) {
                y[i] += x[k * block.inner + i];
            }
        }
    }
}

// Divides sums; false where one, or their own sum, may have overflowed.
template <class T>
bool divide_all(T* y, npy_intp size, T count) {
    double total = 0;
    for (npy_intp i = 0; i < size; ++i) {
        y[i] /= count;
        total += std::fabs(double(y[i]));
    }
    return total < double(std::numeric_limits<T>::max()) / 2;
}

// sum(input, dim, keepdim), mean(input, dim, keepdim)
PyObject* reduce_axes(Door& door, const Given& given, bool mean) {
    PyObject* places[3];
    if (!given.place({"input", "dim", "keepdim"}, places)) {
        return nullptr;
    }
    PyArrayObject* x = array_in(places[0]);
    unsigned axes;
    bool keep = false;
    if (!x || !read_axes(places[1], PyArray_NDIM(x), axes) || !read_flag(places[2], keep)) {
        return nullptr;
    }
    if (!is_float(x)) {
        const bool whole = PyArray_TYPE(x) == NPY_BOOL || PyArray_TYPE(x) == NPY_INT64;
        return whole && !mean ? count_up(door.used[0], places[0], axes, keep) : nullptr;
    }
    return reduced(door.used[0], places[0], axes, keep, mean);
}

PyObject* serve_sum(Door& door, const Given& given) { return reduce_axes(door, given, false); }
PyObject* serve_mean(Door& door, const Given& given) { return reduce_axes(door, given, true); }

}  // namespace

bool Block::find(PyArrayObject* x, unsigned axes) {
    for (int i = 0; i < PyArray_NDIM(x); ++i) {
        const npy_intp extent = PyArray_DIM(x, i);
        if (!(axes & 1u << i)) {
            (length == 1 ? outer : inner) *= extent;
        } else if (inner == 1) {
            length *= extent;
        } else if (extent != 1) {
            return false;
        }
    }
    return true;
}

Sizes reduced_shape(PyArrayObject* x, unsigned axes, bool keep) {
    Sizes shape;
    for (int i = 0; i < PyArray_NDIM(x); ++i) {
        const bool reduced = axes & 1u << i;
        if (!reduced || keep) {
            shape.values[shape.count++] = reduced ? 1 : PyArray_DIM(x, i);
        }
    }
    return shape;
}

Ref sum_small(PyArrayObject* x, unsigned axes, bool keep, bool mean) {
    Block block;
    if (!is_small(x) || !block.find(x, axes)) {
        return Ref();
    }
    const Sizes shape = reduced_shape(x, axes, keep);
    Ref result = new_array(x, shape.count, shape.values);
    if (!result) {
        return result;
    }
    const bool done = of_floats(x, [&](auto kind) {
        using T = decltype(kind);
        T* y = data_of<T>(result);
        add_up_into(y, data_of<const T>(x), block);
        return !mean || divide_all(y, block.outer * block.inner, T(block.length));
    });
    return done ? std::move(result) : Ref();
}

PyObject* reduced(Used& used, PyObject* tensor, unsigned axes, bool keep, bool mean) {
    Operands operands(*used.caller);
    if (!operands.read(&tensor)) {
        return nullptr;
    }
    Ref saved = axes_tuple(axes);
    PyObject* const parameters[] = {saved, keep ? Py_True : Py_False};
    if (used.runs_body(operands.device) && is_quiet()) {
        Ref value = sum_small(as_array(operands.values[0]), axes, keep, mean);
        if (value) {
            return finish(operands, std::move(value), parameters, nullptr);
        }
    }
    return PyErr_Occurred() ? nullptr : run_used(used, tensor, parameters[0], parameters[1]);
}

PyObject* expand(PyArrayObject* g, const Sizes& shape, unsigned axes, bool mean) {
    npy_intp size = 1, count = 1, strides[most_axes] = {}, place = 1;
    for (int i = shape.count; i-- > 0;) {
        size *= shape.values[i];
        (axes & 1u << i ? count : strides[i]) = axes & 1u << i ? count * shape.values[i] : place;
        place *= axes & 1u << i ? 1 : shape.values[i];
    }
    if (!PyArray_ISCARRAY_RO(g) || PyArray_SIZE(g) != place || size == 0 || size > most_folded) {
        return nullptr;
    }
    Ref result = new_array(g, shape.count, shape.values);
    if (!result) {
        return nullptr;
    }
    of_floats(g, [&](auto kind) {
        using T = decltype(kind);
        T* y = data_of<T>(result);
        const T* from = data_of<T>(g);
        npy_intp at[most_axes] = {}, offset = 0;
        for (npy_intp k = 0; k < size; ++k) {
            y[k] = mean ? from[offset] / T(count) : from[offset];
            for (int i = shape.count; i-- > 0;) {
                offset += strides[i];
                if (++at[i] < shape.values[i]) {
                    break;
                }
                at[i] = 0;
                offset -= strides[i] * shape.values[i];
            }
        }
    });
    return result.release();
}

const DoorEntry reduction_doors[] = {
    {"reduction.reduce.mean", serve_mean, {"mean"}},
    {"reduction.reduce.sum", serve_sum, {"sum"}},
    {nullptr, nullptr, {}},
};
