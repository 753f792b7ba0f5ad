#pragma once

#include "python.h"

PyObject* make_steps_type();
