// tapegrad._native: the kernels as loops for the CPU (see tapegrad.core.native).
//
// It takes NumPy's arrays as they are, looks at dtype, shape and memory itself, and declines what
// its loops do not serve: then NumPy's body computes it.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "loops.h"
#include "pool.h"

// ---- levels of instructions ----

struct Level {
    const char* name;
    const Steps& steps;
};

#define LEVEL(name) extern const Steps steps_##name;
TAPEGRAD_LEVELS
#undef LEVEL

namespace {

#define LEVEL(name) {#name, steps_##name},
const Level built[] = {TAPEGRAD_LEVELS};
#undef LEVEL

const Level* level = nullptr;  // the one in use

bool runs_here(const char* level) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    if (std::strcmp(level, "v4") == 0) {
        return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    }
    return std::strcmp(level, "v3") == 0 ? v3 : bool(__builtin_cpu_supports("sse4.2"));
#else
    (void)level;
    return true;
#endif
}

PyObject* levels(PyObject*, PyObject*) {
    PyObject* found = PyList_New(0);
    for (const Level& each : built) {
        if (found != nullptr && runs_here(each.name)) {
            PyObject* name = PyUnicode_FromString(each.name);
            if (name == nullptr || PyList_Append(found, name) < 0) {
                Py_CLEAR(found);
            }
            Py_XDECREF(name);
        }
    }
    return found;
}

PyObject* use(PyObject*, PyObject* argument) {
    const char* wanted = PyUnicode_AsUTF8(argument);
    if (wanted == nullptr) {
        return nullptr;
    }
    for (const Level& each : built) {
        if (std::strcmp(each.name, wanted) == 0 && runs_here(wanted)) {
            level = &each;
            Py_RETURN_NONE;
        }
    }
    return PyErr_Format(PyExc_ValueError, "there are no loops for %s that run here", wanted);
}

// ---- steps of optimizers ----

constexpr int64_t piece = 1 << 15;  // elements that a thread takes at once

struct Entry {  // one parameter
    StepLoop loop;
    int count;
    PyObject* owners[max_arrays];
    void* arrays[max_arrays];
    double numbers[max_numbers];
};

struct Range {
    const char *begin, *end;
};

// Whether any two of them share memory; sorts them.
bool overlap(Range* begin, Range* end) {
    std::sort(begin, end, [](const Range& a, const Range& b) { return a.begin < b.begin; });
    for (Range* each = begin; each + 1 < end; ++each) {
        if (each[1].begin < each->end) {
            return true;
        }
    }
    return false;
}

struct Piece {
    size_t entry;
    int64_t begin, end;
};

struct Table {
    std::vector<Entry> entries;
    std::vector<Piece> pieces;
    std::vector<Range> ranges;  // of all arrays

    void add(const Entry& entry, int64_t size, size_t bytes) {
        ranges.reserve(ranges.size() + max_arrays);
        pieces.reserve(pieces.size() + size_t(size / piece) + 1);
        entries.push_back(entry);
        for (int i = 0; i < entry.count; ++i) {
            const char* begin = static_cast<const char*>(entry.arrays[i]);
            ranges.push_back({begin, begin + bytes});
        }
        for (int64_t begin = 0; begin < size; begin += piece) {
            pieces.push_back({entries.size() - 1, begin, std::min(begin + piece, size)});
        }
    }

    void step(const Piece& each) const {
        const Entry& entry = entries[each.entry];
        entry.loop(entry.arrays, entry.numbers, each.begin, each.end);
    }

    // Steps of parameters that share memory are made one by one, in order.
    void run() {
        if (overlap(ranges.data(), ranges.data() + ranges.size())) {
            for (const Piece& each : pieces) {
                step(each);
            }
        } else {
            const auto work = [](void* self, int64_t i) {
                const Table& table = *static_cast<const Table*>(self);
                table.step(table.pieces[size_t(i)]);
            };
            in_parallel(int64_t(pieces.size()), work, this);
        }
    }
};

struct TableObject {
    PyObject_HEAD
    Table table;
};

Table& table_of(PyObject* self) { return reinterpret_cast<TableObject*>(self)->table; }

PyObject* new_table(PyTypeObject* type, PyObject*, PyObject*) {
    PyObject* self = type->tp_alloc(type, 0);
    if (self != nullptr) {
        new (&table_of(self)) Table;
    }
    return self;
}

void delete_table(PyObject* self) {
    for (Entry& entry : table_of(self).entries) {
        for (PyObject* owner : entry.owners) {
            Py_XDECREF(owner);
        }
    }
    table_of(self).~Table();
    PyTypeObject* type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

const Step* find_step(PyObject* name) {
    for (int i = 0; i < level->steps.count; ++i) {
        if (PyUnicode_CompareWithASCIIString(name, level->steps.each[i].name) == 0) {
            return &level->steps.each[i];
        }
    }
    return nullptr;
}

// The loop for these arrays: of one dtype and size, contiguous, nowhere the same memory. Null where
// there is none; PyErr_Occurred() never.
StepLoop loop_for(const Step& step, PyObject* const* arrays) {
    Range ranges[max_arrays];
    PyArrayObject* param = reinterpret_cast<PyArrayObject*>(arrays[0]);
    for (int i = 0; i < step.arrays; ++i) {
        PyArrayObject* array = reinterpret_cast<PyArrayObject*>(arrays[i]);
        const bool readable = PyArray_Check(arrays[i]) && PyArray_ISCARRAY_RO(array);
        if (!readable || !(i == 1 || PyArray_ISWRITEABLE(array)) ||
            PyArray_TYPE(array) != PyArray_TYPE(param) ||
            PyArray_SIZE(array) != PyArray_SIZE(param)) {
            return nullptr;
        }
        ranges[i] = {PyArray_BYTES(array), PyArray_BYTES(array) + PyArray_NBYTES(array)};
    }
    if (overlap(ranges, ranges + step.arrays)) {
        return nullptr;
    }
    const int dtype = PyArray_TYPE(param);
    return dtype == NPY_FLOAT32 ? step.float32 : dtype == NPY_FLOAT64 ? step.float64 : nullptr;
}

// add(name, numbers, parameter, gradient, *kept) -> whether the step is among those to be made
PyObject* add_step(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    const bool called = count > 2 && PyUnicode_Check(given[0]) && PyTuple_Check(given[1]);
    const Step* step = called && level != nullptr ? find_step(given[0]) : nullptr;
    if (step == nullptr || count - 2 != step->arrays ||
        PyTuple_GET_SIZE(given[1]) != step->numbers) {
        PyErr_SetString(PyExc_TypeError, "add(name, numbers, parameter, gradient, *kept): there is "
                                         "no such step, or it takes others");
        return nullptr;
    }
    Entry entry{};
    entry.loop = loop_for(*step, given + 2);
    if (entry.loop == nullptr) {
        Py_RETURN_FALSE;
    }
    for (int i = 0; i < step->numbers; ++i) {
        entry.numbers[i] = PyFloat_AsDouble(PyTuple_GET_ITEM(given[1], i));
        if (entry.numbers[i] == -1.0 && PyErr_Occurred()) {
            return nullptr;
        }
    }
    entry.count = step->arrays;
    for (int i = 0; i < entry.count; ++i) {
        entry.owners[i] = given[2 + i];
        entry.arrays[i] = PyArray_DATA(reinterpret_cast<PyArrayObject*>(given[2 + i]));
    }
    PyArrayObject* param = reinterpret_cast<PyArrayObject*>(given[2]);
    try {
        table_of(self).add(entry, PyArray_SIZE(param), size_t(PyArray_NBYTES(param)));
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
    for (PyObject* owner : entry.owners) {
        Py_XINCREF(owner);
    }
    Py_RETURN_TRUE;
}

PyObject* run_steps(PyObject* self, PyObject*) {
    Table& table = table_of(self);
    Py_BEGIN_ALLOW_THREADS;
    table.run();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

template <class Function>
PyCFunction method(Function function) {
    return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function));
}

PyMethodDef table_methods[] = {
    {"add", method(add_step), METH_FASTCALL,
     "add(name, numbers, parameter, gradient, *kept): whether this step is among those to be made."},
    {"run", run_steps, METH_NOARGS, "Make all steps that were added."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot table_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(new_table)},
    {Py_tp_dealloc, reinterpret_cast<void*>(delete_table)},
    {Py_tp_methods, table_methods},
    {Py_tp_doc, const_cast<char*>("Steps of optimizers, to be made in one call.")},
    {0, nullptr},
};

PyType_Spec table_spec = {"tapegrad._native.Steps", sizeof(TableObject), 0, Py_TPFLAGS_DEFAULT,
                          table_slots};

// ---- threads ----

PyObject* set_num_threads(PyObject*, PyObject* argument) {
    const long count = PyLong_AsLong(argument);
    if (count == -1 && PyErr_Occurred()) {
        return nullptr;
    }
    if (count < 1 || count > 1024) {
        return PyErr_Format(PyExc_ValueError, "threads must be 1 to 1024, not %ld", count);
    }
    set_threads(int(count));
    Py_RETURN_NONE;
}

PyObject* get_num_threads(PyObject*, PyObject*) { return PyLong_FromLong(get_threads()); }

// ---- the module ----

PyMethodDef functions[] = {
    {"levels", levels, METH_NOARGS, "The levels of instructions with loops that run here."},
    {"use", use, METH_O, "Use the loops of this level from now on."},
    {"set_num_threads", set_num_threads, METH_O, "How many threads share a loop from now on."},
    {"get_num_threads", get_num_threads, METH_NOARGS, "How many threads share a loop."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "_native",
                          "The kernels as loops for the CPU (see tapegrad.core.native).",
                          -1,
                          functions,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__native() {
    import_array();
    PyObject* module = PyModule_Create(&definition);
    PyObject* type = PyType_FromSpec(&table_spec);
    if (module == nullptr || type == nullptr || PyModule_AddObject(module, "Steps", type) < 0 ||
        PyModule_AddStringConstant(module, "__version__", TAPEGRAD_VERSION) < 0) {
        return nullptr;
    }
    return module;
}
