// What callers and doors are as Python objects: functions, which are methods where a class has them.
// ``Object`` has ``dict``, ``weakrefs``, ``vectorcall`` and ``plain``, the function in Python behind it.
#pragma once

#include "tape.h"

#include <structmember.h>

#include <cstddef>

template <class Object>
struct Callable {
    static void dealloc(PyObject* self) {
        PyObject_GC_UnTrack(self);
        PyTypeObject* type = Py_TYPE(self);
        if (reinterpret_cast<Object*>(self)->weakrefs) {
            PyObject_ClearWeakRefs(self);
        }
        type->tp_clear(self);
        type->tp_free(self);
        Py_DECREF(type);
    }

    static PyObject* bind(PyObject* self, PyObject* object, PyObject*) {
        return object && object != Py_None ? PyMethod_New(self, object) : Py_NewRef(self);
    }

    static PyObject* reduce(PyObject* self, PyObject*) {
        return PyObject_GetAttrString(self, "__qualname__");
    }

    static PyObject* show(PyObject* self) {
        return PyObject_Repr(reinterpret_cast<Object*>(self)->plain);
    }

    static PyTypeObject* make_type(const char* name, newfunc make, traverseproc traverse, inquiry clear) {
        static PyMethodDef methods[] = {
            {"__reduce__", reduce, METH_NOARGS, nullptr},
            {nullptr, nullptr, 0, nullptr},
        };
        static PyMemberDef members[] = {
            {"plain", T_OBJECT_EX, offsetof(Object, plain), READONLY, nullptr},
            {"__vectorcalloffset__", T_PYSSIZET, offsetof(Object, vectorcall), READONLY, nullptr},
            {"__dictoffset__", T_PYSSIZET, offsetof(Object, dict), READONLY, nullptr},
            {"__weaklistoffset__", T_PYSSIZET, offsetof(Object, weakrefs), READONLY, nullptr},
            {nullptr, 0, 0, 0, nullptr},
        };
        static PyGetSetDef getset[] = {
            {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
            {nullptr, nullptr, nullptr, nullptr, nullptr},
        };
        PyType_Slot slots[] = {
            {Py_tp_new, reinterpret_cast<void*>(make)},
            {Py_tp_dealloc, reinterpret_cast<void*>(dealloc)},
            {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
            {Py_tp_clear, reinterpret_cast<void*>(clear)},
            {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
            {Py_tp_descr_get, reinterpret_cast<void*>(bind)},
            {Py_tp_repr, reinterpret_cast<void*>(show)},
            {Py_tp_methods, methods},
            {Py_tp_members, members},
            {Py_tp_getset, getset},
            {0, nullptr},
        };
        PyType_Spec spec = {name, sizeof(Object), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                                Py_TPFLAGS_METHOD_DESCRIPTOR,
                            slots};
        return reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
    }
};
