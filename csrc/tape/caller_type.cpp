// The caller of a primitive as a Python object.
#include "callable.h"

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
    DO(named) DO(ufunc) DO(known)

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

}  // namespace

PyTypeObject* caller_type() {
    static PyTypeObject* const type = Callable<Caller>::make_type("tapegrad._tape.Caller", new_caller,
                                                                  traverse_caller, clear_caller);
    return type;
}
