// tapegrad._native: the kernels as loops for the CPU (see tapegrad.core.native).
//
// It takes NumPy's arrays as they are, looks at dtype, shape and memory itself, and declines what
// its loops do not serve: then NumPy's body computes it.
#define IMPORTS_NUMPY
#include <algorithm>
#include <cstring>

#include "arrays.h"
#include "kernel.h"
#include "level.h"
#include "pool.h"
#include "step_table.h"

// ---- levels of instructions ----

#define LEVEL(name) extern const Level level_##name;
TAPEGRAD_LEVELS
#undef LEVEL

const Level* level = nullptr;

void run(Loop loop, void* const* arrays, const double* numbers, int64_t size, int64_t each) {
    struct Call {
        Loop loop;
        void* const* arrays;
        const double* numbers;
        int64_t size, at_once;
    } call{loop, arrays, numbers, size, rows_at_once(each)};
    const auto work = [](void* context, int64_t i) {
        const Call& of = *static_cast<const Call*>(context);
        of.loop(of.arrays, of.numbers, i * of.at_once, std::min(of.size, (i + 1) * of.at_once));
    };
    in_parallel((size + call.at_once - 1) / call.at_once, work, &call);
}

namespace {

#define LEVEL(name) &level_##name,
const Level* const built[] = {TAPEGRAD_LEVELS};
#undef LEVEL

bool runs_here(const char* name) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    if (std::strcmp(name, "v4") == 0) {
        return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
    }
    return std::strcmp(name, "v3") == 0 ? v3 : bool(__builtin_cpu_supports("sse4.2"));
#else
    (void)name;
    return true;
#endif
}

PyObject* levels(PyObject*, PyObject*) {
    PyObject* found = PyList_New(0);
    for (const Level* each : built) {
        if (found != nullptr && runs_here(each->name)) {
            PyObject* name = PyUnicode_FromString(each->name);
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
    for (const Level* each : built) {
        if (std::strcmp(each->name, wanted) == 0 && runs_here(wanted)) {
            level = each;
            Py_RETURN_NONE;
        }
    }
    return PyErr_Format(PyExc_ValueError, "there are no loops for %s that run here", wanted);
}

PyObject* used_level(PyObject*, PyObject*) { return PyUnicode_FromString(level->name); }

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

// ---- loops of other files ----

// run_loop(address, arrays, numbers, size, each): a loop that was compiled by itself, on the memory of
// arrays, of which nothing is asked: who calls knows what the loop expects.
PyObject* run_loop(PyObject*, PyObject* const* given, Py_ssize_t count) {
    int64_t address, size, each;
    if (count != 5 || !read_int(given[0], 1, INT64_MAX, address) || !PyTuple_CheckExact(given[1]) ||
        !PyArray_CheckExact(given[2]) || !read_int(given[3], 0, INT64_MAX, size) ||
        !read_int(given[4], 1, INT64_MAX, each)) {
        PyErr_SetString(PyExc_TypeError, "run_loop takes an address, a tuple of arrays, an array, "
                                         "and two ints");
        return nullptr;
    }
    constexpr Py_ssize_t most = 4096;
    void* memory[most];
    const Py_ssize_t arrays = PyTuple_GET_SIZE(given[1]);
    if (arrays > most) {
        return PyErr_Format(PyExc_ValueError, "run_loop takes up to %zd arrays, not %zd", most,
                            arrays);
    }
    for (Py_ssize_t i = 0; i < arrays; ++i) {
        PyObject* const array = PyTuple_GET_ITEM(given[1], i);
        if (!PyArray_Check(array)) {
            PyErr_SetString(PyExc_TypeError, "run_loop takes NumPy's arrays");
            return nullptr;
        }
        memory[i] = memory_of(array);
    }
    run_anyhow(reinterpret_cast<Loop>(address), memory,
               static_cast<const double*>(memory_of(given[2])), size, each, false);
    Py_RETURN_NONE;
}

// ---- the module ----

PyMethodDef functions[] = {
    {"levels", levels, METH_NOARGS, "The levels of instructions with loops that run here."},
    {"use", use, METH_O, "Use the loops of this level from now on."},
    {"level", used_level, METH_NOARGS, "The level whose loops are used."},
    {"set_num_threads", set_num_threads, METH_O, "How many threads share a loop from now on."},
    {"get_num_threads", get_num_threads, METH_NOARGS, "How many threads share a loop."},
    {"run_loop", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(run_loop)),
     METH_FASTCALL, "Run a loop that was compiled by itself."},
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
    if (module == nullptr) {
        return nullptr;
    }
    level = built[0];
    const struct {
        const char* name;
        PyObject* value;
    } all[] = {
        {"Steps", make_steps_type()},
        {"Kernel", make_kernel_type()},
        {"names", kernel_names()},
        {"__version__", PyUnicode_FromString(TAPEGRAD_VERSION)},
    };
    for (const auto& each : all) {
        if (each.value == nullptr || PyModule_AddObject(module, each.name, each.value) < 0) {
            return nullptr;
        }
    }
    return module;
}
