// What results leave behind, for the next ones: asking for the memory of a small array, a tensor and a
// node, and giving it back, takes more time than all the rest of a small operation.
#include "tape.h"

#include <algorithm>

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr int most_spare = 0;  // every object is an allocation of its own, of which the end is seen
#else
constexpr int most_spare = 64;
#endif

// ---- arrays ----

constexpr npy_intp most_bytes = 1024;
constexpr int most_alike = std::min(4, most_spare);

struct Alike {  // arrays of one dtype and shape that nobody knows any more
    PyObject* arrays[4];
    int count;
};
Alike spare_arrays[64];

void free_all(Alike& alike) {
    while (alike.count) {
        Py_DECREF(alike.arrays[--alike.count]);
    }
}

Alike& spares_of(int type, int dimensions, npy_intp size) {
    return spare_arrays[(size + 21 * dimensions + (type == NPY_FLOAT32 ? 0 : 43)) % 64];
}

bool is_row_major(PyArrayObject* array) {  // also where a stride means nothing
    npy_intp stride = PyArray_ITEMSIZE(array);
    for (int i = PyArray_NDIM(array) - 1; i >= 0; --i) {
        if (PyArray_STRIDE(array, i) != stride) {
            return false;
        }
        stride *= PyArray_DIM(array, i);
    }
    return true;
}

// Whether it is as good as a new one, if the last reference to it is ours.
bool is_spare(PyObject* object) {
    constexpr int usual = NPY_ARRAY_CARRAY | NPY_ARRAY_OWNDATA;
    constexpr int unusual = NPY_ARRAY_WRITEBACKIFCOPY;
    if (Py_REFCNT(object) != 1 || !PyArray_CheckExact(object)) {
        return false;
    }
    PyArrayObject* array = as_array(object);
    const auto* fields = reinterpret_cast<PyArrayObject_fields*>(object);
    return is_float(array) && (PyArray_FLAGS(array) & (usual | unusual)) == usual &&
           !PyArray_BASE(array) && !fields->weakreflist && PyArray_NBYTES(array) <= most_bytes &&
           PyArray_SIZE(array) > 0 && is_row_major(array);
}

}  // namespace

Ref new_array(PyArrayObject* like, int dimensions, const npy_intp* shape) {
    PyArray_Descr* dtype = PyArray_DESCR(like);
    if (is_float_type(dtype->type_num)) {
        Alike& alike = spares_of(dtype->type_num, dimensions, PyArray_MultiplyList(shape, dimensions));
        if (alike.count) {
            PyArrayObject* spare = as_array(alike.arrays[alike.count - 1]);
            if (PyArray_DESCR(spare) == dtype && PyArray_NDIM(spare) == dimensions &&
                std::equal(shape, shape + dimensions, PyArray_DIMS(spare))) {
                return Ref(alike.arrays[--alike.count]);
            }
        }
    }
    Py_INCREF(dtype);
    return Ref(PyArray_NewFromDescr(&PyArray_Type, dtype, dimensions, shape, nullptr, nullptr, 0, nullptr));
}

void drop_array(PyObject*& place) {
    PyObject* array = std::exchange(place, nullptr);
    if (!array || most_spare == 0 || !is_spare(array)) {
        Py_XDECREF(array);
        return;
    }
    PyArrayObject* as = as_array(array);
    Alike& alike = spares_of(PyArray_TYPE(as), PyArray_NDIM(as), PyArray_SIZE(as));
    if (alike.count && !is_alike(as_array(alike.arrays[0]), as)) {
        free_all(alike);
    }
    if (alike.count == most_alike) {
        Py_DECREF(array);
    } else {
        alike.arrays[alike.count++] = array;
    }
}

void free_spare_arrays() {
    for (Alike& alike : spare_arrays) {
        free_all(alike);
    }
}

// ---- objects ----

PyObject* Spares::make(PyTypeObject* type) {
    if (count) {
        return PyObject_Init(objects[--count], type);
    }
    PyObject* self = type->tp_alloc(type, 0);
    if (self) {
        PyObject_GC_UnTrack(self);
    }
    return self;
}

bool Spares::keep(PyObject* self) {
    if (count >= most_spare) {
        return false;
    }
    objects[count++] = self;
    return true;
}
