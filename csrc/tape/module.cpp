// tapegrad._tape: the tape in C (see tapegrad.core.accelerator).
#define IMPORTS_NUMPY
#include "doors.h"

#include <structmember.h>

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

bool is_a(PyObject* type, PyTypeObject* fields) {
    if (PyType_Check(type) && PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(type), fields)) {
        return true;
    }
    PyErr_Format(PyExc_TypeError, "%R does not derive from %s", type, fields->tp_name);
    return false;
}

// configure(tensor=Tensor, node=Node, ...): once, when the engine is imported.
PyObject* configure(PyObject*, PyObject* args, PyObject* options) {
    static const char* words[] = {
        "tensor",      "node",        "leaf",         "storage",       "alias",     "result_of",
        "fitted",      "wide_sum",    "rounded",      "run_hooks",     "with_posthooks",
        "freed",       "check",       "collect_result", "add_into",    "shares",
        "settle",      "deliver",
        "error_state", "usual_state", "first_filter", "warnings",      "serials",   nullptr};
    Engine given = {};
    PyObject *tensor, *node, *leaf, *storage, *alias;
    PyObject** others[] = {&given.result_of, &given.fitted,      &given.wide_sum,       &given.rounded,
                           &given.run_hooks, &given.with_posthooks, &given.freed,       &given.check,
                           &given.collect_result, &given.add_into, &given.shares, &given.settle, &given.deliver,
                           &given.error_state, &given.usual_state, &given.first_filter, &given.warnings,
                           &given.serials};
    if (!PyArg_ParseTupleAndKeywords(args, options, "$O!O!O!O!O!OOOOOOOOOOOOOOOOOO", const_cast<char**>(words),
                                     &PyType_Type, &tensor, &PyType_Type, &node, &PyType_Type, &leaf,
                                     &PyType_Type, &storage, &PyType_Type, &alias, others[0], others[1],
                                     others[2], others[3], others[4], others[5], others[6], others[7],
                                     others[8], others[9], others[10], others[11], others[12], others[13],
                                     others[14], others[15], others[16], others[17])) {
        return nullptr;
    }
    given.tensor = reinterpret_cast<PyTypeObject*>(tensor);
    given.node = reinterpret_cast<PyTypeObject*>(node);
    given.leaf = reinterpret_cast<PyTypeObject*>(leaf);
    given.storage = reinterpret_cast<PyTypeObject*>(storage);
    given.alias = reinterpret_cast<PyTypeObject*>(alias);
    if (!is_a(tensor, tensor_fields()) || !is_a(node, node_fields()) || !is_a(storage, storage_fields()) ||
        !find_slot(given.leaf, "shape", given.leaf_shape) || !find_slot(given.leaf, "dtype", given.leaf_dtype) ||
        !find_slot(given.leaf, "device", given.leaf_device) ||
        !find_slot(given.leaf, "tensor", given.leaf_tensor) ||
        !find_slot(given.leaf, "hooks", given.leaf_hooks) ||
        !find_slot(given.leaf, "later_hooks", given.leaf_later_hooks) ||
        !find_slot(given.leaf, "aside", given.leaf_aside)) {
        return nullptr;
    }
    if (!PyList_Check(given.first_filter) || PyList_GET_SIZE(given.first_filter) != 1 ||
        !PyDict_Check(given.warnings)) {
        PyErr_SetString(PyExc_TypeError, "first_filter is a list of one, warnings the module's names");
        return nullptr;
    }
    for (PyObject* object : {tensor, node, leaf, storage, alias}) {
        Py_INCREF(object);
    }
    for (PyObject** other : others) {
        Py_INCREF(*other);
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
    const struct {
        PyObject*& place;
        const char* name;
    } all[] = {{names.add_view, "add_view"}, {names.aside, "aside"},         {names.asarray, "asarray"},
               {names.at_end, "at_end"},     {names.at_first, "_at_first"}, {names.backward, "backward"},   {names.base, "base"},
               {names.device, "device"},     {names.enabled, "enabled"}, {names.infers, "infers"}, {names.filters, "filters"},     {names.into, "into"},
               {names.loop, "loop"},         {names.name, "__name__"},
               {names.plain, "plain"},       {names.posthooks, "posthooks"}, {names.push, "push"},
               {names.saves_any, "saves_any"}, {names.xp, "xp"}};
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
        if (!module || !each.type || PyModule_AddObjectRef(module, each.name, reinterpret_cast<PyObject*>(each.type)) < 0) {
            return nullptr;
        }
    }
    Ref doors(list_doors());
    if (!doors || PyModule_AddObjectRef(module, "doors", doors) < 0 ||
        PyModule_AddStringConstant(module, "__version__", TAPEGRAD_VERSION) < 0) {
        Py_CLEAR(module);
    }
    return module;
}
