// Operations as callables that ask dtype, shape and memory of their arrays, run a loop where there is
// one, and call NumPy's body for everything else: no Python runs in between.
#include "kernel.h"

#include <structmember.h>

#include <cstddef>
#include <cstring>

#include "doors.h"
#include "elementwise.h"
#include "level.h"
#include "spread.h"

namespace {

struct Kernel {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject* plain;
    Door* door;
    const Loops& (*table)();
    int index;
};

const Entry& entry_of(PyObject* kernel) {
    const Kernel& of = *reinterpret_cast<Kernel*>(kernel);
    return of.table().each[of.index];
}

PyObject* call(PyObject* self, PyObject* const* given, size_t count, PyObject* keywords) {
    const Kernel& kernel = *reinterpret_cast<Kernel*>(self);
    PyObject* result = kernel.door(entry_of(self), given, PyVectorcall_NARGS(count), keywords);
    if (result != nullptr || PyErr_Occurred()) {
        return result;
    }
    return PyObject_Vectorcall(kernel.plain, given, count, keywords);
}

bool run_flat(PyObject* kernel, int type, void* const* arrays, int64_t size) {
    const Entry& entry = entry_of(kernel);
    const Loop loop = type == NPY_FLOAT32 ? entry.float32 : type == NPY_FLOAT64 ? entry.float64 : nullptr;
    if (loop == nullptr) {
        return false;
    }
    Spread spread;
    spread.length = spread.sizes[0] = size;
    void* all[max_inputs + 2];
    for (int k = 0; k < entry.arrays; ++k) {
        all[k] = arrays[k];
        spread.steps[k][0] = 1;
    }
    all[entry.arrays] = &spread;
    loop(all, nullptr, 0, size);
    return true;
}

// run_flat, in a capsule, of what is elementwise and takes nothing but arrays; else None.
PyObject* loop_of_kernel(PyObject* self, void*) {
    const Entry& entry = entry_of(self);
    const bool flat = reinterpret_cast<Kernel*>(self)->door == broadcast && entry.keyword == nullptr &&
                      std::strcmp(entry.name, "power") != 0 && std::strcmp(entry.name, "where") != 0;
    if (!flat) {
        Py_RETURN_NONE;
    }
    return PyCapsule_New(reinterpret_cast<void*>(run_flat), TAPEGRAD_FLAT_LOOP, nullptr);
}

struct Family {
    const Loops& (*table)();
    Door* door;
};

const Family families[] = {
#define TABLE(name, door) {[]() -> const Loops& { return level->name; }, door},
    TAPEGRAD_TABLES
#undef TABLE
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

PyGetSetDef getset[] = {
    {"loop", loop_of_kernel, nullptr, "Of what is elementwise: see csrc/native/elementwise.h.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(new_kernel)},
    {Py_tp_dealloc, reinterpret_cast<void*>(delete_kernel)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(clear)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
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
