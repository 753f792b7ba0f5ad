// What Python's garbage collector does not look at until it must. Nodes, and results that nodes keep,
// live as long as their graph and are no cycle by themselves; the collector would walk over all of a
// long graph again and again. So those that were recorded here are listed here instead, and are handed
// to it when a full collection begins, or a hook is attached, which may well refer to what its node
// makes. A cycle through them is thus found as any other, only not by the quick collections.
#include <new>
#include <vector>

#include "tape.h"

namespace {

#if PY_VERSION_HEX >= 0x030E0000
constexpr long full = 1;  // a full one is made in steps
#else
constexpr long full = 2;
#endif

std::vector<PyObject*> untracked;

Py_ssize_t& place_of(PyObject* self) { return reinterpret_cast<Listed*>(self)->place; }

}  // namespace

bool is_untracked(PyObject* self) { return place_of(self) != 0; }

void leave_untracked(PyObject* self) {
    try {
        untracked.push_back(self);
        place_of(self) = Py_ssize_t(untracked.size());
    } catch (const std::bad_alloc&) {
        PyObject_GC_Track(self);
    }
}

void end_tracking(PyObject* self) {
    if (!is_untracked(self)) {
        PyObject_GC_UnTrack(self);
        return;
    }
    PyObject* last = untracked.back();
    place_of(last) = place_of(self);
    untracked[size_t(place_of(self) - 1)] = last;
    untracked.pop_back();
    place_of(self) = 0;
}

void track_all() {
    for (PyObject* self : untracked) {
        place_of(self) = 0;
        PyObject_GC_Track(self);
    }
    untracked.clear();
}

PyObject* before_collection(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 2 || !PyUnicode_Check(given[0]) || !PyDict_Check(given[1])) {
        PyErr_SetString(PyExc_TypeError, "before_collection(phase, info): for gc.callbacks");
        return nullptr;
    }
    PyObject* generation = PyDict_GetItemString(given[1], "generation");
    if (generation && PyUnicode_CompareWithASCIIString(given[0], "start") == 0 &&
        PyLong_AsLong(generation) >= full) {
        track_all();
        free_spare_arrays();  // as Python frees its own spare objects then
    }
    return PyErr_Occurred() ? nullptr : Py_NewRef(Py_None);
}
