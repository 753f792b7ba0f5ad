#pragma once

#include "python.h"

PyObject* make_kernel_type();

// The names of all operations that have loops, as a frozenset.
PyObject* kernel_names();
