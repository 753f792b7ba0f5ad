// How arrays that broadcast lie to each other.
#pragma once

#include "arrays.h"
#include "spread.h"

// What broadcasting makes of their shapes (null: a number, which has none); false where it makes
// nothing, or what has no elements or no dimensions, or more than we serve.
bool find_shape(PyArrayObject* const* inputs, int count, npy_intp* shape, int& dims);

// How they lie, in as few dimensions as they can be told in; false where an input has no rows, or its
// dimensions lie in another order than the result's, which may then have that order, too.
bool lay_out(PyArrayObject* const* inputs, int count, const npy_intp* shape, int dims,
             Spread& spread);

// Whether they share no memory.
bool are_apart(PyArrayObject* a, PyArrayObject* b);
