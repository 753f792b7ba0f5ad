// The caller of a primitive as a Python object: a function, which is a method where a class has it.
#include "tape.h"

#include <structmember.h>

#include <cstddef>

namespace {

PyObject* call_caller(PyObject* self, PyObject* const* given, size_t flags, PyObject* keywords) {
    Caller& caller = *reinterpret_cast<Caller*>(self);
    PyObject* result = run(caller, given, PyVectorcall_NARGS(flags), keywords);
    if (result || PyErr_Occurred()) {
        return result;
    }
    return PyObject_Vectorcall(caller.plain, given, flags, keywords);
}

bool read_keeps(PyObject* kept, Caller& caller) {
    for (int i = 0; i < caller.inputs; ++i) {
        caller.keeps[i] = int(PyLong_AsLong(PyList_GET_ITEM(kept, i)));
    }
    return !PyErr_Occurred();
}

// Caller(plain, declared, implementations, ruled=, keeps=, elementwise=, floating=, view=)
PyObject* new_caller(PyTypeObject* type, PyObject* given, PyObject* options) {
    static const char* words[] = {"plain", "declared", "implementations", "name",        "parameters",
                                  "ruled", "keeps",    "ufunc",           "named",       "elementwise",
                                  "floating", "view",  "extras",          "saves_output", "saves_any",
                                  "variadic", nullptr};
    PyObject *plain, *declared, *implementations, *parameters, *kept, *ufunc, *named;
    const char* name;
    int ruled, elementwise, floating, view, extras, saves_output, saves_any, variadic;
    if (!PyArg_ParseTupleAndKeywords(given, options, "OOO!sO!iO!OO!ppppppp", const_cast<char**>(words),
                                     &plain, &declared, &PyDict_Type, &implementations, &name,
                                     &PyTuple_Type, &parameters, &ruled, &PyList_Type, &kept, &ufunc,
                                     &PyTuple_Type, &named, &elementwise, &floating, &view, &extras,
                                     &saves_output, &saves_any, &variadic)) {
        return nullptr;
    }
    const Py_ssize_t inputs = PyList_GET_SIZE(kept);
    if (inputs < 1 || inputs > most_inputs || inputs + PyTuple_GET_SIZE(parameters) > most_arguments) {
        PyErr_SetString(PyExc_ValueError, "too many inputs or parameters");
        return nullptr;
    }
    Ref self(type->tp_alloc(type, 0));
    if (!self) {
        return nullptr;
    }
    Caller& caller = *reinterpret_cast<Caller*>(self.object);
    caller.vectorcall = call_caller;
    caller.plain = Py_NewRef(plain);
    caller.declared = Py_NewRef(declared);
    caller.implementations = Py_NewRef(implementations);
    caller.parameters = Py_NewRef(parameters);
    caller.inputs = int(inputs);
    caller.ruled = ruled;
    caller.elementwise = elementwise;
    caller.floating = floating;
    caller.view = view;
    caller.extras = extras;
    caller.saves_output = saves_output;
    caller.saves_any = saves_any;
    caller.variadic = variadic;
    caller.takes_part = std::strcmp(name, "getitem") == 0;
    caller.compute = find_compute(name);
    caller.gradient = find_gradient(name);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(named); ++i) {
        if (PyTuple_GET_ITEM(named, i) != Py_None) {
            Py_XSETREF(caller.named, Py_NewRef(named));
        }
    }
    if (caller.compute && ufunc != Py_None) {
        caller.ufunc = Py_NewRef(ufunc);
    }
    return read_keeps(kept, caller) ? self.release() : nullptr;
}

#define EACH_REFERENCE(DO)                                                              \
    DO(dict) DO(plain) DO(declared) DO(implementations) DO(parameters) DO(into) DO(backward) \
    DO(named) DO(ufunc) DO(accepted) DO(bare)

int traverse_caller(PyObject* self, visitproc visit, void* arg) {
    Caller& caller = *reinterpret_cast<Caller*>(self);
    Py_VISIT(Py_TYPE(self));
#define DO(field) Py_VISIT(caller.field);
    EACH_REFERENCE(DO)
#undef DO
    return 0;
}

int clear_caller(PyObject* self) {
    Caller& caller = *reinterpret_cast<Caller*>(self);
#define DO(field) Py_CLEAR(caller.field);
    EACH_REFERENCE(DO)
#undef DO
    return 0;
}

void delete_caller(PyObject* self) {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    if (reinterpret_cast<Caller*>(self)->weakrefs) {
        PyObject_ClearWeakRefs(self);
    }
    clear_caller(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyObject* bind(PyObject* self, PyObject* object, PyObject*) {
    return object && object != Py_None ? PyMethod_New(self, object) : Py_NewRef(self);
}

PyObject* reduce(PyObject* self, PyObject*) { return PyObject_GetAttrString(self, "__qualname__"); }

PyObject* show(PyObject* self) { return PyObject_Repr(reinterpret_cast<Caller*>(self)->plain); }

PyMethodDef methods[] = {
    {"__reduce__", reduce, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Caller, vectorcall), READONLY, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(Caller, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Caller, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

PyGetSetDef getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(new_caller)},
    {Py_tp_dealloc, reinterpret_cast<void*>(delete_caller)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse_caller)},
    {Py_tp_clear, reinterpret_cast<void*>(clear_caller)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_descr_get, reinterpret_cast<void*>(bind)},
    {Py_tp_repr, reinterpret_cast<void*>(show)},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {0, nullptr},
};

PyType_Spec spec = {"tapegrad._tape.Caller", sizeof(Caller), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                        Py_TPFLAGS_METHOD_DESCRIPTOR,
                    slots};

}  // namespace

PyTypeObject* caller_type() {
    static PyObject* const type = PyType_FromSpec(&spec);
    return reinterpret_cast<PyTypeObject*>(type);
}
