// Operations as callables that ask dtype, shape and memory of their arrays, run a loop where there is
// one, and call NumPy's body for everything else: no Python runs in between.
#include "kernel.h"

#include <structmember.h>

#include <cstddef>
#include <cstring>

#include "level.h"

namespace {

// Below it, to let other threads run Python costs more than it saves them.
constexpr int64_t many = 1 << 12;

bool is_plain(PyObject* object) {
    return PyArray_CheckExact(object) &&
           PyArray_ISCARRAY_RO(reinterpret_cast<PyArrayObject*>(object));
}

PyObject* empty_like(PyArrayObject* array) {
    PyArray_Descr* dtype = PyArray_DESCR(array);
    Py_INCREF(dtype);
    return PyArray_NewFromDescr(&PyArray_Type, dtype, PyArray_NDIM(array), PyArray_DIMS(array),
                                nullptr, nullptr, 0, nullptr);
}

void run_anyhow(Loop loop, void* const* arrays, const double* numbers, int64_t size) {
    if (size < many) {
        loop(arrays, numbers, 0, size);
        return;
    }
    Py_BEGIN_ALLOW_THREADS;
    run(loop, arrays, numbers, size);
    Py_END_ALLOW_THREADS;
}

// Each of these returns null where it declines, or has raised.

PyObject* elementwise(const Entry& entry, PyObject* const* given, Py_ssize_t count,
                      PyObject* keywords) {
    const int inputs = entry.arrays - 1;
    const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
    if (count != inputs || named != entry.numbers || !is_plain(given[0])) {
        return nullptr;
    }
    PyArrayObject* first = reinterpret_cast<PyArrayObject*>(given[0]);
    if (PyArray_TYPE(first) != NPY_FLOAT32) {
        return nullptr;
    }
    void* arrays[max_arrays] = {nullptr, PyArray_DATA(first)};
    for (int i = 1; i < inputs; ++i) {
        PyArrayObject* array = reinterpret_cast<PyArrayObject*>(given[i]);
        if (!is_plain(given[i]) || PyArray_TYPE(array) != NPY_FLOAT32 ||
            !PyArray_SAMESHAPE(array, first)) {
            return nullptr;
        }
        arrays[i + 1] = PyArray_DATA(array);
    }
    double number = 0;
    if (named != 0) {
        PyObject* given_number = given[count];
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), entry.keyword) != 0 ||
            !PyFloat_CheckExact(given_number)) {
            return nullptr;
        }
        number = PyFloat_AS_DOUBLE(given_number);
    }
    PyObject* result = empty_like(first);
    if (result != nullptr) {
        arrays[0] = PyArray_DATA(reinterpret_cast<PyArrayObject*>(result));
        run_anyhow(entry.float32, arrays, &number, PyArray_SIZE(first));
    }
    return result;
}

// ---- the callable ----

using Door = PyObject* (*)(const Entry&, PyObject* const*, Py_ssize_t, PyObject*);

struct Kernel {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject* plain;
    Door door;
    const Loops& (*table)();
    int index;
};

PyObject* call(PyObject* self, PyObject* const* given, size_t count, PyObject* keywords) {
    const Kernel& kernel = *reinterpret_cast<Kernel*>(self);
    const Entry& entry = kernel.table().each[kernel.index];
    PyObject* result = kernel.door(entry, given, PyVectorcall_NARGS(count), keywords);
    if (result != nullptr || PyErr_Occurred()) {
        return result;
    }
    return PyObject_Vectorcall(kernel.plain, given, count, keywords);
}

struct Family {
    const Loops& (*table)();
    Door door;
};

const Family families[] = {
    {[]() -> const Loops& { return level->elementwise; }, elementwise},
};

PyObject* new_kernel(PyTypeObject* type, PyObject* given, PyObject* keywords) {
    static const char* names[] = {"name", "plain", nullptr};
    const char* name;
    PyObject* plain;
    if (!PyArg_ParseTupleAndKeywords(given, keywords, "sO", const_cast<char**>(names), &name,
                                     &plain)) {
        return nullptr;
    }
    for (const Family& family : families) {
        for (int i = 0; i < family.table().count; ++i) {
            if (std::strcmp(family.table().each[i].name, name) == 0) {
                PyObject* self = type->tp_alloc(type, 0);
                if (self != nullptr) {
                    Kernel& kernel = *reinterpret_cast<Kernel*>(self);
                    kernel.vectorcall = call;
                    kernel.plain = Py_NewRef(plain);
                    kernel.door = family.door;
                    kernel.table = family.table;
                    kernel.index = i;
                }
                return self;
            }
        }
    }
    return PyErr_Format(PyExc_ValueError, "there are no loops for %s", name);
}

int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(reinterpret_cast<Kernel*>(self)->plain);
    return 0;
}

int clear(PyObject* self) {
    Py_CLEAR(reinterpret_cast<Kernel*>(self)->plain);
    return 0;
}

void delete_kernel(PyObject* self) {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Kernel, vectorcall), READONLY, nullptr},
    {"plain", T_OBJECT, offsetof(Kernel, plain), READONLY, "What computes all that is declined."},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(new_kernel)},
    {Py_tp_dealloc, reinterpret_cast<void*>(delete_kernel)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(clear)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_members, members},
    {Py_tp_doc, const_cast<char*>("Kernel(name, plain): the operation, by loops where they serve.")},
    {0, nullptr},
};

PyType_Spec spec = {"tapegrad._native.Kernel", sizeof(Kernel), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, slots};

}  // namespace

PyObject* make_kernel_type() { return PyType_FromSpec(&spec); }

PyObject* kernel_names() {
    PyObject* names = PyFrozenSet_New(nullptr);
    for (const Family& family : families) {
        for (int i = 0; names != nullptr && i < family.table().count; ++i) {
            PyObject* name = PyUnicode_FromString(family.table().each[i].name);
            if (name == nullptr || PySet_Add(names, name) < 0) {
                Py_CLEAR(names);
            }
            Py_XDECREF(name);
        }
    }
    return names;
}
