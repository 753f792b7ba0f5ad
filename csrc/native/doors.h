// The doors of operations with loops: each looks at what it is given, runs a loop where there is one
// for it, and returns null where it declines, or has raised.
#pragma once

#include "loops.h"
#include "python.h"

// ``given`` are ``count`` arguments by position, then those by keyword, whose names ``keywords`` has
// (null where there are none).
using Door = PyObject*(const Entry&, PyObject* const* given, Py_ssize_t count, PyObject* keywords);

Door attention;
Door broadcast;  // elementwise: of arrays that are broadcast, and numbers
Door cast;       // floats of other dtypes
Door channels;   // batch norm
Door classes;    // losses of integer classes
Door convolution;  // and its gradients
Door copy;       // of an array
Door embedding;  // rows looked up, and added up
Door index;      // reading, writing and adding at positions that arrays name
Door losses;     // losses element by element
Door norm;       // layer, RMS and group norm
Door pick;       // the largest or smallest of rows
Door pool;       // maxima and means of windows
Door positions;  // elements of flattened images
Door product;    // of matrices
Door random;     // random numbers
Door recurrence;  // steps of LSTM and GRU layers
Door reduce;     // sums and other reductions over axes
Door rows;       // along a dimension of arrays alike
Door scan;       // running sums, products and extremes
Door sort;       // where the elements of lines are found in order
