// What enters and leaves a mode: the type that the settings of tapegrad.core.modes derive from, where
// Python's class of the same name is the definition.
#include "tape.h"

#include <new>
#include <vector>

namespace {

struct Mode {  // of this thread
    bool recording, infers;

    bool read();              // false with an error
    bool become(Mode other);  // false with an error, and nothing is changed
};

// Like ContextVar.get and .set; a variable that has the value is not set.
bool get(PyObject* variable, bool& value) {
    PyObject* object;
    if (PyContextVar_Get(variable, nullptr, &object) < 0) {
        return false;
    }
    Ref owned(object);
    value = object == Py_True;
    return object;
}

bool set(PyObject* variable, bool before, bool value) {
    return before == value || Ref(PyContextVar_Set(variable, value ? Py_True : Py_False));
}

bool Mode::read() { return get(engine.recording, recording) && get(engine.inference, infers); }

bool Mode::become(Mode other) {
    if (!set(engine.recording, recording, other.recording)) {
        return false;
    }
    if (set(engine.inference, infers, other.infers)) {
        return true;
    }
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    set(engine.recording, other.recording, recording);
    PyErr_Restore(type, error, trace);
    return false;
}

struct Setting {
    PyObject_HEAD
    std::vector<Mode> before;  // the modes to leave for, the latest last
};

Setting& as_setting(PyObject* self) { return *reinterpret_cast<Setting*>(self); }

PyObject* make(PyTypeObject* type) {
    PyObject* self = type->tp_alloc(type, 0);
    if (self) {
        new (&as_setting(self).before) std::vector<Mode>;
    }
    return self;
}

// A class without an __init__ of its own decorates without parentheses: then this is its result.
PyObject* new_setting(PyTypeObject* type, PyObject* args, PyObject* keywords) {
    const bool bare = type->tp_init == PyBaseObject_Type.tp_init;
    const Py_ssize_t positional = PyTuple_GET_SIZE(args), named = keywords ? PyDict_GET_SIZE(keywords) : 0;
    if (!bare || positional + named == 0) {
        return make(type);
    }
    PyObject* function = positional ? PyTuple_GET_ITEM(args, 0) : PyDict_GetItemString(keywords, "function");
    if (!function || positional + named > 1) {
        return PyErr_Format(PyExc_TypeError, "[%s] takes nothing, or a function to decorate", type->tp_name);
    }
    Ref setting(make(type));
    if (function == Py_None) {
        return setting.release();
    }
    return setting ? PyObject_CallOneArg(setting, function) : nullptr;
}

void delete_setting(PyObject* self) {
    as_setting(self).before.~vector();
    Py_TYPE(self)->tp_free(self);
}

// What a setting's attribute says; keeps the value where that is None. False with an error.
bool ask(PyObject* self, PyObject* name, bool& value) {
    Ref said(PyObject_GetAttr(self, name));
    if (is_set(said)) {
        value = said.object == Py_True;
    }
    return bool(said);
}

PyObject* enter(PyObject* self, PyObject*) {
    Mode now;
    if (!now.read()) {
        return nullptr;
    }
    Mode wanted = now, left_for = now;
    if (!ask(self, names.enabled, wanted.recording) || !ask(self, names.infers, wanted.infers) ||
        !ask(self, names._at_first, left_for.recording)) {
        return nullptr;
    }
    try {
        as_setting(self).before.push_back(left_for);
    } catch (const std::bad_alloc&) {
        return PyErr_NoMemory();
    }
    if (!now.become(wanted)) {
        as_setting(self).before.pop_back();
        return nullptr;
    }
    Py_RETURN_NONE;
}

PyObject* leave(PyObject* self, PyObject* const*, Py_ssize_t) {
    std::vector<Mode>& before = as_setting(self).before;
    Mode now;
    if (before.empty()) {
        return PyErr_Format(PyExc_IndexError, "%s was left, and not entered", Py_TYPE(self)->tp_name);
    }
    if (!now.read() || !now.become(before.back())) {
        return nullptr;
    }
    before.pop_back();
    Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"__enter__", enter, METH_NOARGS, nullptr},
    {"__exit__", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(leave)), METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyTypeObject type = {PyVarObject_HEAD_INIT(nullptr, 0)};

}  // namespace

// use_modes(recording, inference): the ContextVars.
PyObject* use_modes(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 2 || !PyContextVar_CheckExact(given[0]) || !PyContextVar_CheckExact(given[1])) {
        PyErr_SetString(PyExc_TypeError, "use_modes(recording, inference): two ContextVars");
        return nullptr;
    }
    Py_XSETREF(engine.recording, Py_NewRef(given[0]));
    Py_XSETREF(engine.inference, Py_NewRef(given[1]));
    Py_RETURN_NONE;
}

PyTypeObject* setting_type() {
    type.tp_name = "tapegrad._tape.Setting";
    type.tp_basicsize = sizeof(Setting);
    type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
    type.tp_new = new_setting;
    type.tp_dealloc = delete_setting;
    type.tp_methods = methods;
    return PyType_Ready(&type) == 0 ? &type : nullptr;
}
