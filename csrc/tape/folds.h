// What the files about reductions share.
#pragma once

#include "doors.h"

// Elements; of more, sums are made in another order (see stable_sum).
constexpr npy_intp most_folded = 2048;

inline bool is_small(PyArrayObject* x) {
    return PyArray_ISCARRAY_RO(x) && PyArray_SIZE(x) > 0 && PyArray_SIZE(x) <= most_folded;
}

// An array as ``outer`` times ``length`` times ``inner`` elements, of which those in the middle are
// one result's.
struct Block {
    npy_intp outer = 1, length = 1, inner = 1;

    bool find(PyArrayObject* x, unsigned axes);  // false where the axes do not lie together

    // Calls the function with each element's place and its result's.
    template <class Function>
    void each(Function function) const {
        npy_intp at = 0;
        for (npy_intp o = 0; o < outer; ++o) {
            for (npy_intp k = 0; k < length; ++k) {
                for (npy_intp i = 0; i < inner; ++i) {
                    function(at++, o * inner + i);
                }
            }
        }
    }
};

Sizes reduced_shape(PyArrayObject* x, unsigned axes, bool keep);

// amax or amin of all elements; the sum of integers or bools, null where NumPy is to compute it.
PyObject* extreme_of_all(Used& used, PyObject* tensor, bool largest);
PyObject* count_up(Used& used, PyObject* tensor, unsigned axes, bool keep);
