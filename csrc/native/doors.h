// The doors of operations with loops: each looks at what it is given, runs a loop where there is one
// for it, and returns null where it declines, or has raised.
#pragma once

#include "loops.h"
#include "python.h"

// ``given`` are ``count`` arguments by position, then those by keyword, whose names ``keywords`` has
// (null where there are none).
using Door = PyObject*(const Entry&, PyObject* const* given, Py_ssize_t count, PyObject* keywords);

Door alike;   // of arrays alike: elementwise, with or without a number; or, with the last axis, on rows
Door norm;    // layer norm
Door random;  // random numbers
Door attention;  // attention
Door recurrence;  // steps of LSTM and GRU layers
