// tapegrad._tape: the tape in C (see tapegrad.core.accelerator).
#define IMPORTS_NUMPY
#include "doors.h"

#include <structmember.h>

#include <iterator>

Engine engine;
Names names;

namespace {

bool find_slot(PyTypeObject* type, const char* name, Py_ssize_t& offset) {
    Ref descriptor(PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), name));
    if (!descriptor) {
        return false;
    }
    if (!Py_IS_TYPE(descriptor.object, &PyMemberDescr_Type)) {
        PyErr_Format(PyExc_TypeError, "%s.%s is no slot", type->tp_name, name);
        return false;
    }
    offset = reinterpret_cast<PyMemberDescrObject*>(descriptor.object)->d_member->offset;
    return true;
}

bool is_a(PyTypeObject* type, PyTypeObject* fields) {
    if (PyType_IsSubtype(type, fields)) {
        return true;
    }
    PyErr_Format(PyExc_TypeError, "%s does not derive from %s", type->tp_name, fields->tp_name);
    return false;
}

// What a struct has under a name.
template <class T>
struct Named {
    const char* name;
    T& place;
};

// The option of this name, borrowed; null with an error.
PyObject* find_option(PyObject* options, const char* name) {
    PyObject* found = options ? PyDict_GetItemString(options, name) : nullptr;
    if (!found) {
        PyErr_Format(PyExc_TypeError, "configure() is called without %s", name);
    }
    return found;
}

// configure(tensor=Tensor, node=Node, ...): once, when the engine is imported.
PyObject* configure(PyObject*, PyObject* args, PyObject* options) {
    Engine given = {};
#define NAMED(name) {#name, given.name},
#define NAMED_SLOT(name) {#name, given.leaf_##name},
    const Named<PyTypeObject*> classes[] = {ENGINE_CLASSES(NAMED)};
    const Named<PyObject*> objects[] = {ENGINE_OBJECTS(NAMED)};
    const Named<Py_ssize_t> slots[] = {LEAF_SLOTS(NAMED_SLOT)};
#undef NAMED
#undef NAMED_SLOT
    for (const auto& each : classes) {
        PyObject* found = find_option(options, each.name);
        if (!found) {
            return nullptr;
        }
        if (!PyType_Check(found)) {
            return PyErr_Format(PyExc_TypeError, "%s is a class, not %R", each.name, found);
        }
        each.place = reinterpret_cast<PyTypeObject*>(found);
    }
    for (const auto& each : objects) {
        each.place = find_option(options, each.name);
        if (!each.place) {
            return nullptr;
        }
    }
    if (PyTuple_GET_SIZE(args) || PyDict_GET_SIZE(options) != Py_ssize_t(std::size(classes) + std::size(objects))) {
        return PyErr_Format(PyExc_TypeError, "configure() is called with more than it knows: %R", options);
    }
    for (const auto& each : slots) {
        if (!find_slot(given.leaf, each.name, each.place)) {
            return nullptr;
        }
    }
    if (!is_a(given.tensor, tensor_fields()) || !is_a(given.node, node_fields()) ||
        !is_a(given.storage, storage_fields())) {
        return nullptr;
    }
    if (!PyList_Check(given.first_filter) || PyList_GET_SIZE(given.first_filter) != 1 ||
        !PyDict_Check(given.warnings)) {
        PyErr_SetString(PyExc_TypeError, "first_filter is a list of one, warnings the module's names");
        return nullptr;
    }
    for (const auto& each : classes) {
        Py_INCREF(each.place);
    }
    for (const auto& each : objects) {
        Py_INCREF(each.place);
    }
    given.recording = engine.recording;
    given.inference = engine.inference;
    given.clock = Py_NewRef(given.serials);
    given.ready = true;
    engine = given;  // for good: what was there before may be in use
    adopt_classes();
    Py_RETURN_NONE;
}

PyObject* set_clock(PyObject*, PyObject* clock) {
    if (!PyIter_Check(clock)) {
        PyErr_SetString(PyExc_TypeError, "a clock is an iterator");
        return nullptr;
    }
    Py_XSETREF(engine.clock, Py_NewRef(clock));
    Py_RETURN_NONE;
}

// Whether nodes are made here; else operations that record are left to Python.
PyObject* make_nodes(PyObject*, PyObject* flag) {
    const int on = PyObject_IsTrue(flag);
    if (on < 0) {
        return nullptr;
    }
    engine.makes_others = !on;
    Py_RETURN_NONE;
}

PyObject* last_change(PyObject*, PyObject*) { return PyLong_FromLongLong(engine.last_change); }

PyMethodDef functions[] = {
    {"configure", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(configure)),
     METH_VARARGS | METH_KEYWORDS, "Hand over the engine's classes and helpers."},
    {"visit", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(visit)), METH_FASTCALL,
     "Visit the nodes that lead from the roots; pending has the leaves' gradients then."},
    {"backward", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(backward)), METH_FASTCALL,
     "backward() of a tensor; False where that is left to Python."},
    {"use_modes", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(use_modes)), METH_FASTCALL,
     "Hand over what says whether the tape records."},
    {"before_collection", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(before_collection)),
     METH_FASTCALL, "Let the garbage collector know all nodes; to stand in gc.callbacks."},
    {"last_change", last_change, METH_NOARGS, "When any memory was last changed in place."},
    {"set_clock", set_clock, METH_O, "Take the ticks of nodes from this iterator."},
    {"make_nodes", make_nodes, METH_O, "Whether nodes are made here."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "_tape",
                          "The tape in C (see tapegrad.core.accelerator).",
                          -1,
                          functions,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr};

bool intern_names() {
#define NAMED(name) {#name, names.name},
    const Named<PyObject*> all[] = {NAMES(NAMED)};
#undef NAMED
    for (const auto& each : all) {
        each.place = PyUnicode_InternFromString(each.name);
        if (!each.place) {
            return false;
        }
    }
    return true;
}

}  // namespace

PyMODINIT_FUNC PyInit__tape() {
    import_array();
    import_umath();
    if (!intern_names() || !ready_walk_type()) {
        return nullptr;
    }
    PyObject* module = PyModule_Create(&definition);
    const struct {
        const char* name;
        PyTypeObject* type;
    } types[] = {{"TensorFields", tensor_fields()},
                 {"NodeFields", node_fields()},
                 {"StorageFields", storage_fields()},
                 {"Caller", caller_type()},
                 {"Door", door_type()},
                 {"Setting", setting_type()}};
    for (const auto& each : types) {
        if (!module || !each.type ||
            PyModule_AddObjectRef(module, each.name, reinterpret_cast<PyObject*>(each.type)) < 0) {
            return nullptr;
        }
    }
    Ref doors(list_doors());
    if (!doors || PyModule_AddObjectRef(module, "doors", doors) < 0 ||
        PyModule_AddIntConstant(module, "most_inputs", most_inputs) < 0 ||
        PyModule_AddIntConstant(module, "most_arguments", most_arguments) < 0 ||
        PyModule_AddStringConstant(module, "__version__", TAPEGRAD_VERSION) < 0) {
        Py_CLEAR(module);
    }
    return module;
}
