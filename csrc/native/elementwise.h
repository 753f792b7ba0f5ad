// What _native shows _tape of an elementwise operation: a loop that it may run without the operation's
// door, where it has looked at the arrays itself. It stands in the capsule ``Kernel.loop``.
#pragma once

#include <Python.h>

#include <cstdint>

// Of a kernel: ``arrays`` are the result and the inputs, each ``size`` elements of NumPy's ``type`` in a
// row, fewer than are shared by threads. False where it has no loop for the type.
using FlatLoop = bool(PyObject* kernel, int type, void* const* arrays, int64_t size);

#define TAPEGRAD_FLAT_LOOP "tapegrad.FlatLoop"
