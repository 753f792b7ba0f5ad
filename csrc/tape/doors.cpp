// What all doors have in common (see doors.h): the object that stands for the function, and the
// arguments.
#include "doors.h"

#include "callable.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

namespace {

#define AND(list) list,
const DoorEntry* const all_doors[] = {DOOR_LISTS(AND)};
#undef AND

const DoorEntry* find_door(const char* name) {
    for (const DoorEntry* entry : all_doors) {
        if (const DoorEntry* found = find_entry(entry, name)) {
            return found;
        }
    }
    return nullptr;
}

PyObject* call_door(PyObject* self, PyObject* const* given, size_t flags, PyObject* keywords) {
    Door& door = *reinterpret_cast<Door*>(self);
    if (engine.ready && (!door.cell || PyCell_GET(door.cell) == door.within)) {
        PyObject* result = door.serve(door, {given, PyVectorcall_NARGS(flags), keywords});
        if (result) {
            return result;
        }
        if (PyErr_Occurred()) {
            // What Python's function says in better words; not what a kernel or a signal's handler
            // has raised.
            if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError) &&
                !PyErr_ExceptionMatches(PyExc_LookupError) && !PyErr_ExceptionMatches(PyExc_MemoryError) &&
                !PyErr_ExceptionMatches(PyExc_ArithmeticError)) {
                return nullptr;
            }
            PyErr_Clear();
        }
    }
    return PyObject_Vectorcall(door.plain, given, flags, keywords);
}

// Door(name, plain, cell, within, [(caller, body), ...])
PyObject* new_door(PyTypeObject* type, PyObject* given, PyObject*) {
    const char* name;
    PyObject *plain, *cell, *within, *used;
    if (!PyArg_ParseTuple(given, "sOOOO!", &name, &plain, &cell, &within, &PyList_Type, &used)) {
        return nullptr;
    }
    const DoorEntry* entry = find_door(name);
    if (!entry || PyList_GET_SIZE(used) > most_used || (cell != Py_None && !PyCell_Check(cell))) {
        return PyErr_Format(PyExc_ValueError, "there is no such door: %s", name);
    }
    for (int i = int(PyList_GET_SIZE(used)); i < most_used; ++i) {
        if (entry->used[i]) {
            return PyErr_Format(PyExc_ValueError, "%s uses %s, too", name, entry->used[i]);
        }
    }
    Ref self(type->tp_alloc(type, 0));
    if (!self) {
        return nullptr;
    }
    Door& door = *reinterpret_cast<Door*>(self.object);
    door.vectorcall = call_door;
    door.serve = entry->serve;
    door.plain = Py_NewRef(plain);
    door.cell = cell == Py_None ? nullptr : Py_NewRef(cell);
    door.within = Py_NewRef(within);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(used); ++i) {
        PyObject *caller, *body;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(used, i), "O!O", caller_type(), &caller, &body)) {
            return nullptr;
        }
        door.used[i].caller = reinterpret_cast<Caller*>(Py_NewRef(caller));
        door.used[i].body = Py_NewRef(body);
    }
    return self.release();
}

// What a door owns.
template <class Function>
int each_reference(Door& door, Function function) {
    for (PyObject** object : {&door.dict, &door.plain, &door.cell, &door.within}) {
        if (int stopped = function(*object)) {
            return stopped;
        }
    }
    for (Used& used : door.used) {
        for (PyObject** object : {reinterpret_cast<PyObject**>(&used.caller), &used.body, &used.accepted}) {
            if (int stopped = function(*object)) {
                return stopped;
            }
        }
    }
    return 0;
}

int traverse_door(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    return each_reference(*reinterpret_cast<Door*>(self),
                          [=](PyObject* object) { return object ? visit(object, arg) : 0; });
}

int clear_door(PyObject* self) {
    return each_reference(*reinterpret_cast<Door*>(self), [](PyObject*& object) {
        Py_CLEAR(object);
        return 0;
    });
}

// What a partial, or a callable with loops before one, runs at last. Null where it is neither.
Ref body_of(PyObject* implementation) {
    Ref plain(PyObject_GetAttrString(implementation, "plain"));
    if (!plain) {
        PyErr_Clear();
        plain = Ref::to(implementation);
    }
    Ref body(PyObject_GetAttrString(plain, "func"));
    if (!body) {
        PyErr_Clear();
    }
    return body;
}

}  // namespace

PyTypeObject* door_type() {
    static PyTypeObject* const type =
        Callable<Door>::make_type("tapegrad._tape.Door", new_door, traverse_door, clear_door);
    return type;
}

PyObject* list_doors() {
    Ref listed(PyDict_New());
    for (const DoorEntry* entry : all_doors) {
        for (; listed && entry->name; ++entry) {
            Ref used(PyList_New(0));
            for (int i = 0; used && i < most_used && entry->used[i]; ++i) {
                Ref name(PyUnicode_FromString(entry->used[i]));
                if (!name || PyList_Append(used, name) < 0) {
                    return nullptr;
                }
            }
            if (!used || PyDict_SetItemString(listed, entry->name, used) < 0) {
                return nullptr;
            }
        }
    }
    return listed.release();
}

bool Used::runs_body(PyObject* device) {
    // Looked up here, too: what a door stands for need not call all that the door uses.
    Ref implementation = implementation_on(*caller, device);
    if (!implementation || implementation.object == accepted) {
        return bool(implementation);
    }
    Ref runs = body_of(implementation);
    if (runs.object != body) {
        return false;
    }
    Py_XSETREF(accepted, implementation.release());
    return true;
}

bool are_combined(Door& door, std::initializer_list<PyObject*> tensors) {
    PyArrayObject* first = array_in(*tensors.begin());
    if (!first || !is_float(first) || !is_quiet()) {
        return false;
    }
    PyObject* const device = as_tensor(*tensors.begin())->device;
    for (PyObject* each : tensors) {
        PyArrayObject* array = array_in(each);
        if (!array || PyArray_DESCR(array) != PyArray_DESCR(first) || as_tensor(each)->device != device ||
            (engine.makes_others && has_node(each))) {
            return false;
        }
    }
    return std::all_of(std::begin(door.used), std::end(door.used), [=](const Used& used) {
        return !used.caller || implementation_on(*used.caller, device);
    });
}

// ---- arguments ----

bool Given::place(const char* const* names, PyObject** places, int named, int positional) const {
    if (count > positional) {
        return false;
    }
    for (int i = 0; i < named; ++i) {
        places[i] = i < count ? values[i] : nullptr;
    }
    for (Py_ssize_t k = 0; keywords && k < PyTuple_GET_SIZE(keywords); ++k) {
        PyObject* word = PyTuple_GET_ITEM(keywords, k);
        int i = 0;
        while (i < named && PyUnicode_CompareWithASCIIString(word, names[i])) {
            ++i;
        }
        if (i == named || places[i]) {
            return false;
        }
        places[i] = values[count + k];
    }
    return true;
}

int known_dtype(PyObject* object) {
    if (!object || !PyArray_DescrCheck(object)) {
        return -1;
    }
    const PyArray_Descr* descr = reinterpret_cast<PyArray_Descr*>(object);
    for (int known : {NPY_FLOAT32, NPY_FLOAT64, NPY_INT64, NPY_BOOL, NPY_INT32, NPY_FLOAT16, NPY_UINT8,
                      NPY_INT8, NPY_INT16}) {
        if (descr->type_num == known && PyArray_ISNBO(descr->byteorder)) {
            return known;
        }
    }
    return -1;
}

bool is_held(double number) { return !std::isfinite(number) || std::fabs(number) <= FLT_MAX; }

bool read_int(PyObject* object, npy_intp& value) {
    if (!object || !PyLong_CheckExact(object)) {
        return false;
    }
    value = PyLong_AsSsize_t(object);
    if (value == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return true;
}

bool read_flag(PyObject* object, bool& value) {
    if (object == Py_True || object == Py_False) {
        value = object == Py_True;
    }
    return !object || PyBool_Check(object);
}

bool read_axis(PyObject* object, int dimensions, int& axis) {
    npy_intp given;
    const int span = dimensions ? dimensions : 1;
    if (!read_int(object, given) || given < -span || given >= span) {
        return false;
    }
    axis = int(given < 0 ? given + span : given);
    return true;
}

bool read_axes(PyObject* object, int dimensions, unsigned& axes) {
    if (dimensions > most_axes) {
        return false;
    }
    axes = (1u << dimensions) - 1;
    if (!is_set(object)) {
        return true;
    }
    PyObject* const* items = &object;
    Py_ssize_t count = 1;
    if (PyTuple_Check(object) || PyList_Check(object)) {
        items = PySequence_Fast_ITEMS(object);
        count = PySequence_Fast_GET_SIZE(object);
        if (count == 0) {
            return true;
        }
    }
    axes = 0;
    for (Py_ssize_t i = 0; i < count; ++i) {
        int axis;
        if (!read_axis(items[i], dimensions, axis) || axes & 1u << axis) {
            return false;
        }
        axes |= 1u << axis;
    }
    if (dimensions == 0) {
        axes = 0;
    }
    return true;
}

Ref axes_tuple(unsigned axes) {
    npy_intp values[most_axes];
    int count = 0;
    for (int i = 0; i < most_axes; ++i) {
        if (axes & 1u << i) {
            values[count++] = i;
        }
    }
    return Ref(PyArray_IntTupleFromIntp(count, values));
}

bool Sizes::read(PyObject* const* given, Py_ssize_t number) {
    if (number == 1 && (PyTuple_Check(given[0]) || PyList_Check(given[0]))) {
        number = PySequence_Fast_GET_SIZE(given[0]);
        given = PySequence_Fast_ITEMS(given[0]);
    }
    if (number > most_axes) {
        return false;
    }
    count = int(number);
    for (int i = 0; i < count; ++i) {
        if (!read_int(given[i], values[i])) {
            return false;
        }
    }
    return true;
}

bool Sizes::read(PyArrayObject* array) {
    count = PyArray_NDIM(array);
    if (count > most_axes) {
        return false;
    }
    std::copy_n(PyArray_DIMS(array), count, values);
    return true;
}

bool Sizes::complete(npy_intp elements) {
    npy_intp product = 1;
    int open = -1;
    for (int i = 0; i < count; ++i) {
        if (values[i] < 0) {
            if (values[i] != -1 || open >= 0) {
                return false;
            }
            open = i;
        } else if (__builtin_mul_overflow(product, values[i], &product)) {
            return false;
        }
    }
    if (open < 0) {
        return product == elements;
    }
    if (product == 0 || elements % product) {
        return false;
    }
    values[open] = elements / product;
    return true;
}

bool Sizes::spread(PyArrayObject* array) {
    const int other = PyArray_NDIM(array);
    if (other > most_axes) {
        return false;
    }
    for (; count < other; ++count) {
        std::copy_backward(values, values + count, values + count + 1);
        values[0] = 1;
    }
    for (int i = 0; i < other; ++i) {
        npy_intp& size = values[count - other + i];
        const npy_intp extent = PyArray_DIM(array, i);
        if (size != extent && size != 1 && extent != 1) {
            return false;
        }
        size = size == 1 ? extent : size;
    }
    return true;
}
