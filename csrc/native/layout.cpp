#include "layout.h"

namespace {

// Where the memory begins, and where it ends, of what has elements.
void find_ends(PyArrayObject* array, const char*& begin, const char*& end) {
    begin = end = PyArray_BYTES(array);
    for (int d = 0; d < PyArray_NDIM(array); ++d) {
        const npy_intp way = (PyArray_DIM(array, d) - 1) * PyArray_STRIDE(array, d);
        (way < 0 ? begin : end) += way;
    }
    end += PyArray_ITEMSIZE(array);
}

}  // namespace

bool are_apart(PyArrayObject* a, PyArrayObject* b) {
    const char *begin[2], *end[2];
    find_ends(a, begin[0], end[0]);
    find_ends(b, begin[1], end[1]);
    return PyArray_SIZE(a) == 0 || PyArray_SIZE(b) == 0 || end[0] <= begin[1] || end[1] <= begin[0];
}

bool find_shape(PyArrayObject* const* inputs, int count, npy_intp* shape, int& dims) {
    dims = 0;
    for (int k = 0; k < count; ++k) {
        if (inputs[k] != nullptr && PyArray_NDIM(inputs[k]) > dims) {
            dims = PyArray_NDIM(inputs[k]);
        }
    }
    if (dims == 0 || dims > max_dims) {
        return false;
    }
    for (int d = 0; d < dims; ++d) {
        shape[d] = 1;
    }
    for (int k = 0; k < count; ++k) {
        PyArrayObject* array = inputs[k];
        const int own = array == nullptr ? 0 : PyArray_NDIM(array);
        for (int d = 0; d < own; ++d) {
            npy_intp& size = shape[dims - own + d];
            const npy_intp n = PyArray_DIM(array, d);
            if (n == 0 || (n != size && n != 1 && size != 1)) {
                return false;
            }
            size = n == 1 ? size : n;
        }
    }
    return true;
}

bool lay_out(PyArrayObject* const* inputs, int count, const npy_intp* shape, int dims, Spread& spread) {
    int64_t steps[max_inputs][max_dims];
    for (int k = 0; k < count; ++k) {
        PyArrayObject* array = inputs[k];
        const int own = array == nullptr ? 0 : PyArray_NDIM(array);
        int64_t outer = INT64_MAX;
        for (int d = 0; d < dims; ++d) {
            const int at = d - (dims - own);
            steps[k][d] = 0;
            if (at >= 0 && PyArray_DIM(array, at) != 1) {
                const npy_intp stride = PyArray_STRIDE(array, at), size = PyArray_ITEMSIZE(array);
                steps[k][d] = stride / size;
                if (stride % size != 0 || stride < 0 || steps[k][d] > outer) {
                    return false;
                }
                outer = steps[k][d] == 0 ? outer : steps[k][d];
            }
        }
    }
    spread.dims = -1;
    for (int d = 0; d < dims; ++d) {
        if (shape[d] == 1) {
            continue;
        }
        bool merge = spread.dims >= 0;
        for (int k = 0; k < count && merge; ++k) {
            merge = spread.steps[k][spread.dims] == steps[k][d] * shape[d];
        }
        if (merge) {
            spread.sizes[spread.dims] *= shape[d];
        } else {
            spread.sizes[++spread.dims] = shape[d];
        }
        for (int k = 0; k < count; ++k) {
            spread.steps[k][spread.dims] = steps[k][d];
        }
    }
    if (spread.dims < 0) {  // one element
        spread.dims = 0;
        spread.sizes[0] = 1;
        for (int k = 0; k < count; ++k) {
            spread.steps[k][0] = 1;
        }
    }
    spread.length = spread.sizes[spread.dims];
    for (int d = 0; d < spread.dims; ++d) {
        spread.rows *= spread.sizes[d];
    }
    for (int k = 0; k < count; ++k) {
        const int64_t step = spread.steps[k][spread.dims];
        if (step != 0 && step != 1) {
            return false;
        }
        spread.repeated[k] = step == 0 || inputs[k] == nullptr;
    }
    return true;
}
