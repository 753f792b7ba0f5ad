// Doors to copies of a tensor: its own, and those of another dtype.
#include "doors.h"

#include <type_traits>

namespace {

constexpr npy_intp few = 1 << 12;

// clone(input)
PyObject* serve_clone(Door& door, const Given& given) {
    PyArrayObject* x = given.count == 1 && !given.keywords ? array_in(given.values[0]) : nullptr;
    if (!x) {
        return nullptr;
    }
    Operands operands(*door.used[0].caller);
    if (PyArray_SIZE(x) > few || !operands.read(given.values) || !door.used[0].runs_body(operands.device)) {
        return run_used(door.used[0], given.values[0]);
    }
    return finish(operands, Ref(PyArray_NewCopy(x, NPY_CORDER)), nullptr, nullptr);
}

// Calls the function with a pointer to the elements of an array; false for those of other dtypes.
template <class Function>
bool with_elements(PyArrayObject* array, Function function) {
    void* data = PyArray_DATA(array);
    switch (PyArray_TYPE(array)) {
        case NPY_FLOAT32: return function(static_cast<float*>(data)), true;
        case NPY_FLOAT64: return function(static_cast<double*>(data)), true;
        case NPY_INT64: return function(static_cast<npy_int64*>(data)), true;
        case NPY_INT32: return function(static_cast<npy_int32*>(data)), true;
        case NPY_UINT8: return function(static_cast<npy_uint8*>(data)), true;
        default: return false;
    }
}

// The elements of a small array in another dtype. Null where NumPy is to convert them: it warns of
// floats that no integer is, and says which.
Ref converted(PyArrayObject* x, int dtype) {
    if (!PyArray_ISCARRAY_RO(x) || PyArray_SIZE(x) > few || PyArray_TYPE(x) == dtype) {
        return Ref();
    }
    Ref result(PyArray_SimpleNew(PyArray_NDIM(x), PyArray_DIMS(x), dtype));
    if (!result) {
        return result;
    }
    const npy_intp size = PyArray_SIZE(x);
    bool fits = true;
    const auto convert = [&](const auto* from) {
        return with_elements(as_array(result), [&](auto* to) {
            using From = std::remove_cv_t<std::remove_pointer_t<decltype(from)>>;
            using To = std::remove_pointer_t<decltype(to)>;
            for (npy_intp i = 0; i < size; ++i) {
                if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
                    // (within 16 bits or so for all: the bounds of the others round)
                    fits = fits && from[i] > From(sizeof(To) < 4 ? -1 : -(1LL << 30)) &&
                           from[i] < From(sizeof(To) < 4 ? 1 << 8 : 1LL << 30);
                    to[i] = fits ? To(from[i]) : To(0);
                } else {
                    to[i] = To(from[i]);
                    if constexpr (sizeof(From) > sizeof(To) && std::is_floating_point_v<From>) {
                        fits = fits && (to[i] - to[i] == 0 || from[i] - from[i] != 0);  // it overflows
                    }
                }
            }
        });
    };
    bool done;
    if (PyArray_TYPE(x) == NPY_BOOL) {
        done = convert(static_cast<const npy_bool*>(PyArray_DATA(x)));
    } else {
        bool known = false;
        done = with_elements(x, [&](auto* from) { known = convert(from); }) && known;
    }
    return done && fits ? std::move(result) : Ref();
}

// The tensor as one of NumPy's dtypes.
PyObject* as_dtype(Used& cast, PyObject* tensor, int dtype) {
    PyArrayObject* x = array_in(tensor);
    if (PyArray_TYPE(x) == dtype && PyArray_ISNOTSWAPPED(x)) {
        return Py_NewRef(tensor);
    }
    Ref descr(reinterpret_cast<PyObject*>(PyArray_DescrFromType(dtype)));
    const bool floats = dtype == NPY_FLOAT32 || dtype == NPY_FLOAT64 || dtype == NPY_FLOAT16;
    Operands operands(*cast.caller);
    if (!floats && has_node(tensor)) {
        return nullptr;  // it leaves the tape
    }
    if (!operands.read(&tensor) || !is_quiet()) {
        return nullptr;
    }
    PyObject* const parameters[] = {descr};
    if (cast.runs_body(operands.device)) {
        Ref value = converted(x, dtype);
        if (value) {
            return finish(operands, std::move(value), parameters, nullptr);
        }
    }
    return PyErr_Occurred() ? nullptr : run_used(cast, tensor, descr);
}

// x.float() and the like
template <int dtype>
PyObject* serve_dtype(Door& door, const Given& given) {
    const bool alone = given.count == 1 && !given.keywords && array_in(given.values[0]);
    return alone ? as_dtype(door.used[0], given.values[0], dtype) : nullptr;
}

// x.to(dtype), x.to(device) where it is there
PyObject* serve_to(Door& door, const Given& given) {
    PyObject* places[2];
    if (given.keywords && given.place({"self", "dtype"}, places, 1) && places[1]) {
        return serve_to(door, {places, 2, nullptr});
    }
    PyArrayObject* x = given.count == 2 && !given.keywords ? array_in(given.values[0]) : nullptr;
    if (!x) {
        return nullptr;
    }
    PyObject* const wanted = given.values[1];
    if (wanted == dtype_of(as_tensor(given.values[0])->array) || wanted == as_tensor(given.values[0])->device) {
        return Py_NewRef(given.values[0]);
    }
    const int dtype = known_dtype(wanted);
    return dtype >= 0 ? as_dtype(door.used[0], given.values[0], dtype) : nullptr;
}

}  // namespace

const DoorEntry copy_doors[] = {
    {"movement.shape.clone", serve_clone, {"copy"}},
    {"movement.to.to", serve_to, {"cast"}},
    {"movement.to.to_bool", serve_dtype<NPY_BOOL>, {"cast"}},
    {"movement.to.to_byte", serve_dtype<NPY_UINT8>, {"cast"}},
    {"movement.to.to_double", serve_dtype<NPY_FLOAT64>, {"cast"}},
    {"movement.to.to_float", serve_dtype<NPY_FLOAT32>, {"cast"}},
    {"movement.to.to_half", serve_dtype<NPY_FLOAT16>, {"cast"}},
    {"movement.to.to_int", serve_dtype<NPY_INT32>, {"cast"}},
    {"movement.to.to_long", serve_dtype<NPY_INT64>, {"cast"}},
    {nullptr, nullptr, {}},
};
