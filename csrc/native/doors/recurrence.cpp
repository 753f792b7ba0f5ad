#include "../recurrence.h"

#include <algorithm>
#include <cstring>

#include "../arrays.h"
#include "../doors.h"

namespace {

using Place = float* Recurrence::*;
using R = Recurrence;

// What each takes, in order. Kinds of arrays: of all rows and R) hidden units, r) the same, or None,
// G) gates; S) states; W) the weight; b) a bias, or None; -) always None: else it is declined.
struct Call {
    const char* name;
    const char* kinds;
    Place places[11];
    Place gates;  // where those of the step are
};

constexpr Place none = nullptr;
const Call calls[] = {
    {"lstm_steps", "GW-SSRRRR",
     {&R::values, &R::weight, none, &R::state, &R::cell, &R::y, &R::before, &R::cells,
      &R::squashed},
     &R::values},
    {"lstm_steps_backward", "rW-SSGRRG--",
     {&R::g, &R::weight, none, &R::state, &R::cell, &R::values, &R::cells, &R::squashed, &R::at,
      none, none},
     &R::at},
    {"gru_steps", "GWbSRRR",
     {&R::values, &R::weight, &R::bias, &R::state, &R::y, &R::inner, &R::before},
     &R::values},
    {"gru_steps_backward", "rWSGRRGR",
     {&R::g, &R::weight, &R::state, &R::values, &R::inner, &R::before, &R::at, &R::third},
     &R::at},
};

bool is_matrix(PyObject* object, npy_intp rows, npy_intp columns) {
    return is_float32(object, 2) && PyArray_DIM(as_array(object), 0) == rows &&
           PyArray_DIM(as_array(object), 1) == columns;
}

bool read_array(PyObject* object, char kind, npy_intp rows, npy_intp batch, const R& of) {
    const npy_intp n = of.hidden, all = of.gates * n;
    switch (kind) {
    case 'r':
        return object == Py_None || is_matrix(object, rows, n);
    case 'R':
        return is_matrix(object, rows, n);
    case 'G':
        return is_matrix(object, rows, all);
    case 'S':
        return is_matrix(object, batch, n);
    case 'W':
        return is_matrix(object, all, n);
    case 'b':
        return object == Py_None ||
               (is_float32(object, 1) && PyArray_DIM(as_array(object), 0) == all);
    default:
        return object == Py_None;
    }
}

// The rows of step i, or -1.
npy_intp rows_of(PyObject* sizes, Py_ssize_t i) {
    PyObject* size = PyTuple_GET_ITEM(sizes, i);
    return PyLong_CheckExact(size) ? PyLong_AsSsize_t(size) : -1;
}

// Whether steps of these sizes, at least one row in each, are all rows.
bool are_steps(PyObject* sizes, npy_intp rows, npy_intp batch) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(sizes); ++i) {
        const npy_intp count = rows_of(sizes, i);
        if (count < 1 || count > batch || count > rows) {
            PyErr_Clear();
            return false;
        }
        rows -= count;
    }
    return rows == 0;
}

// The arrays of one step, which begins at this row.
R of_step(const Call& call, const R& all, npy_intp start) {
    R here = all;
    for (size_t i = 0; call.kinds[i] != 0; ++i) {
        const char kind = call.kinds[i];
        if (call.places[i] != none && all.*call.places[i] != nullptr) {
            const npy_intp width = kind == 'G' ? all.gates * all.hidden : all.hidden;
            here.*call.places[i] += kind == 'G' || kind == 'R' || kind == 'r' ? start * width : 0;
        }
    }
    return here;
}

// Steps in the order in which they are made: upwards, or, if ``down``, from the last. Other threads run
// Python only while a step is made.
void walk(const Entry& entry, const Call& call, R& all, PyObject* sizes, npy_intp rows,
          bool down) {
    const bool back = call.gates == &R::at;
    const int64_t blocks = (all.hidden + units_at_once - 1) / units_at_once;
    const int64_t width = all.gates * all.hidden;
    const auto make = [&](R& here, int64_t items, int64_t each) {
        void* arrays[] = {&here};
        run_anyhow(entry.float32, arrays, nullptr, items, each);
    };
    all.packing = true;
    make(all, 1, width * all.hidden);
    all.packing = false;
    const Py_ssize_t count = PyTuple_GET_SIZE(sizes);
    npy_intp start = down ? rows : 0;
    for (Py_ssize_t i = 0; i < count; ++i) {
        const npy_intp size = rows_of(sizes, down ? count - 1 - i : i);
        start -= down ? size : 0;
        R here = of_step(call, all, start);
        start += down ? 0 : size;
        here.rows = size;
        if (!back) {
            std::memcpy(here.from_x, here.values, size_t(size * width) * sizeof(float));
            std::memcpy(here.before, here.state, size_t(size * all.hidden) * sizeof(float));
        }
        make(here, blocks, std::max(size, npy_intp(all.later_rows)) * width * units_at_once / 8);
        if (back) {
            all.later = here.at;
            all.later_rows = size;
        }
    }
    if (all.later != nullptr) {  // what reaches the first state
        make(all, blocks, all.later_rows * width * units_at_once / 8);
    }
}

}  // namespace

// lstm_steps and its relatives of ops/layers/recurrence.py; they return nothing, and write in place.
PyObject* recurrence(const Entry& entry, PyObject* const* given, Py_ssize_t count,
                     PyObject* keywords) {
    static const char* const names[] = {"batch_sizes", "reverse"};
    PyObject* found[2] = {};
    const Call* call = calls;
    while (std::strcmp(call->name, entry.name) != 0) {
        ++call;
    }
    const size_t arguments = std::strlen(call->kinds);
    const size_t weight = 1, gates = std::strchr(call->kinds, 'G') - call->kinds;
    const size_t state = std::strchr(call->kinds, 'S') - call->kinds;
    if (size_t(count) != arguments || !read_keywords(keywords, given + count, names, found) ||
        found[0] == nullptr || !PyTuple_CheckExact(found[0]) || found[1] == nullptr ||
        !PyBool_Check(found[1]) || !is_float32(given[weight], 2) || !is_float32(given[gates], 2) ||
        !is_float32(given[state], 2)) {
        return nullptr;
    }
    R of{};
    of.gates = entry.numbers;
    of.hidden = PyArray_DIM(as_array(given[weight]), 1);
    const npy_intp rows = PyArray_DIM(as_array(given[gates]), 0);
    const npy_intp batch = PyArray_DIM(as_array(given[state]), 0);
    for (size_t i = 0; i < arguments; ++i) {
        if (!read_array(given[i], call->kinds[i], rows, batch, of)) {
            return nullptr;
        }
        if (call->places[i] != none) {
            of.*call->places[i] = static_cast<float*>(memory_of(given[i]));
        }
    }
    if (of.hidden == 0 || !are_steps(found[0], rows, batch)) {
        return nullptr;
    }
    const npy_intp width = of.gates * of.hidden, padded = (of.hidden + 15) / 16 * 16;
    of.packed = static_cast<float*>(
        PyMem_RawMalloc(size_t(width) * size_t(padded + batch) * sizeof(float)));
    if (of.packed == nullptr) {
        return PyErr_NoMemory();
    }
    of.from_x = of.packed + width * padded;
    const bool back = call->gates == &R::at, down = (found[1] == Py_True) != back;
    walk(entry, *call, of, found[0], rows, down);
    PyMem_RawFree(of.packed);
    Py_RETURN_NONE;
}
