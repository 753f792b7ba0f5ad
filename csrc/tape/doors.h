// Doors: public functions whose usual calls are served here, from the arguments to the result. The
// function in Python is the definition, and serves every call that a door declines: other kinds of
// arguments, dtypes and devices, what is wrong, and what is seldom.
//
// A file has the doors of one subject, and lists them at its end.
#pragma once

#include "tape.h"

#include <initializer_list>
#include <vector>

constexpr int most_used = 5, most_axes = 8;

// A primitive that a door calls, and what computes it.
struct Used {
    Caller* caller;
    PyObject* body;
    PyObject* accepted;  // what was seen to run the body

    // Whether the body is what runs on this device, so that it may be computed here, too.
    bool runs_body(PyObject* device);
};

// The arguments of a call: those by position, then those that ``keywords`` (or null) names.
struct Given {
    PyObject* const* values;
    Py_ssize_t count;
    PyObject* keywords;

    // Puts the arguments at the places of their names, null where one is not given. False for others
    // than these, for one given twice, and for more by position than ``positional``.
    template <int count>
    bool place(const char* const (&names)[count], PyObject* (&places)[count], int positional = count) const {
        return place(names, places, count, positional);
    }
    bool place(const char* const* names, PyObject** places, int named, int positional) const;
};

struct Door {
    PyObject_HEAD
    PyObject *dict, *weakrefs;
    vectorcallfunc vectorcall;
    PyObject* plain;     // the function in Python
    PyObject *cell, *within;  // where that has what it runs, and what that is: autocast exchanges it
    PyObject* (*serve)(Door& door, const Given& given);
    Used used[most_used];
};

// Null, without an error, where the call is for Python. (With one, too: Python says it again.)
using Serve = PyObject*(Door& door, const Given& given);

struct DoorEntry {
    const char* name;  // of the function, after its module
    Serve* serve;
    const char* used[most_used];  // primitives
};

#define DOOR_LISTS(each)                                                                         \
    each(arranged_doors) each(choice_doors) each(chunk_doors) each(copy_doors) each(creation_doors) \
    each(extreme_doors) each(fold_doors) each(in_place_doors) each(join_doors) each(order_doors) \
    each(pass_doors) each(product_doors) each(reduction_doors) each(row_doors) each(view_doors)
#define DECLARE(list) extern const DoorEntry list[];
DOOR_LISTS(DECLARE)
#undef DECLARE

PyTypeObject* door_type();
PyObject* list_doors();  // name -> the names of the primitives that it uses

// ---- arguments ----

// The array of a tensor; null for anything else.
inline PyArrayObject* array_in(PyObject* object) {
    if (!object || !is_tensor(object)) {
        return nullptr;
    }
    PyObject* array = as_tensor(object)->array;
    return array && PyArray_CheckExact(array) ? as_array(array) : nullptr;
}

// How far apart the elements along an axis of an array in row-major order are. (A dimension of size 1
// may have any stride.)
inline npy_intp bytes_below(PyArrayObject* x, int axis) {
    return PyArray_MultiplyList(PyArray_DIMS(x) + axis + 1, PyArray_NDIM(x) - axis - 1) * PyArray_ITEMSIZE(x);
}

// Calls the function with a pointer to the elements of an array, which for bools are 0 and 1; false for
// other dtypes than these.
template <class Function>
bool with_elements(PyArrayObject* array, Function function) {
    void* data = PyArray_DATA(array);
    switch (PyArray_TYPE(array)) {
        case NPY_FLOAT32: return function(static_cast<float*>(data)), true;
        case NPY_FLOAT64: return function(static_cast<double*>(data)), true;
        case NPY_INT64: return function(static_cast<npy_int64*>(data)), true;
        case NPY_INT32: return function(static_cast<npy_int32*>(data)), true;
        case NPY_BOOL:
        case NPY_UINT8: return function(static_cast<npy_uint8*>(data)), true;
        default: return false;
    }
}

bool is_cpu(const Node* node);  // else a kernel may stand in the place of what a rule in C computes

inline bool has_node(PyObject* object) {
    return object && is_tensor(object) && is_set(as_tensor(object)->node);
}

int known_dtype(PyObject* object);  // the number of a dtype of NumPy's own that tensors have; or -1
bool is_held(double number);             // by every dtype of floats: rounding does not make it infinite
bool read_int(PyObject* object, npy_intp& value);                   // an int, nothing that acts as one
bool read_flag(PyObject* object, bool& value);                      // True or False; keeps it if null
bool read_axis(PyObject* object, int dimensions, int& axis);        // non-negative then
bool read_axes(PyObject* object, int dimensions, unsigned& axes);   // bit i: dimension i
Ref axes_tuple(unsigned axes);

// Several sizes, or axes.
struct Sizes {
    int count = 0;
    npy_intp values[most_axes];

    bool read(PyArrayObject* array);                      // those of an array
    bool read(PyObject* const* given, Py_ssize_t count);  // ints, or one tuple or list of them
    bool complete(npy_intp elements);                     // works one -1 out
    bool spread(PyArrayObject* array);                    // over what these and its own broadcast to
    Ref tuple() const { return Ref(PyArray_IntTupleFromIntp(count, values)); }
};

// ---- results ----

// The primitive of these tensors and parameters, as its caller runs it.
template <class... Values>
PyObject* run_used(Used& used, const Values&... values) {
    PyObject* given[] = {static_cast<PyObject*>(values)...};
    return run(*used.caller, given, used.caller->inputs, used.caller->parameters);
}

// Whether these are tensors of one dtype of floats, and a door may run all that it uses on them, one
// after the other: once a node was made nothing may be declined, for the clock has ticked.
bool are_combined(Door& door, std::initializer_list<PyObject*> tensors);

// The views that others are made of, too.
PyObject* reshaped(Used& used, PyObject* tensor, const Sizes& shape);
PyObject* part_of(Used& used, PyObject* tensor, PyObject* index);
PyObject* broadcast(Used& used, PyObject* tensor, Sizes shape);  // a size of -1 stays

// The sum, or the mean, of a tensor of floats.
PyObject* reduced(Used& used, PyObject* tensor, unsigned axes, bool keep, bool mean);
// The sum, or the mean, of a small array; null where NumPy is to compute it. And the gradient of that,
// repeated over the axes of a small array of this shape.
Ref sum_small(PyArrayObject* x, unsigned axes, bool keep, bool mean);
PyObject* expand(PyArrayObject* g, const Sizes& shape, unsigned axes, bool mean);

PyObject* new_pair(Ref values, Ref indices);  // take_along.Picked

// Where an index of ints, slices, None and ... leads in an array.
struct Place {
    int dimensions = 0;
    npy_intp shape[NPY_MAXDIMS], strides[NPY_MAXDIMS], offset = 0;

    bool find(PyArrayObject* array, PyObject* index);  // false for other indices
    Ref view(PyObject* array) const;
};

// Where the index tensors of an index lead: to so many bytes at each of these places in an array.
struct Chunks {
    npy_intp size = 0;
    Sizes shape;  // of the part
    std::vector<npy_intp> offsets;

    // False where the index is none of int64 tensors alike, behind whole dimensions, or a mask of the
    // tensor's shape; where it leads out of the tensor; and for many places.
    bool find(PyObject* tensor, PyObject* index);
    Ref read_from(PyArrayObject* array) const;
    void write_to(PyArrayObject* array, PyArrayObject* part) const;

private:
    bool find_true(PyArrayObject* array, PyArrayObject* mask);
    bool find_rows(PyArrayObject* array, PyArrayObject* const* indices, int axis, int count);
};

PyObject* picked(Used& used, PyObject* tensor, PyObject* index);  // x[index] of index tensors
