// Doors to tensors that are made: with one value everywhere, of whole numbers in a row, of Python's
// numbers. On the CPU, and of the dtypes that NumPy has itself.
#include "doors.h"

#include <type_traits>

namespace {

PyObject* imported(const char* module, const char* name) {
    Ref found(PyImport_ImportModule(module));
    return found ? PyObject_GetAttrString(found, name) : nullptr;
}

PyObject* cpu() {
    static PyObject* const device = imported("tapegrad.core.devices", "CPU");
    return device;
}

// Whether new tensors are made on the CPU: no other device was entered or set.
bool is_default_cpu() {
    static PyObject *const entered = imported("tapegrad.core.devices", "_entered"),
                    *const chosen = imported("tapegrad.core.devices", "_default");
    PyObject *devices = nullptr, *device = nullptr;
    if (!entered || !chosen || PyContextVar_Get(entered, nullptr, &devices) < 0) {
        return false;
    }
    Ref held(devices);
    if (!devices || !PyTuple_Check(devices) || PyTuple_GET_SIZE(devices) ||
        PyContextVar_Get(chosen, nullptr, &device) < 0) {
        return false;
    }
    Py_XDECREF(device);
    return !is_set(device);
}

// That of new floats: borrowed.
PyObject* default_dtype() {
    static PyObject* const words = imported("tapegrad.core.dtypes", "__dict__");
    return words ? PyDict_GetItemString(words, "_default") : nullptr;
}

// What tensors are made like: the dtype and the device that are given by name, or others.
struct Options {
    int dtype = -1;  // of NumPy; -1: none was given

    // False where the call is for Python: another device, requires_grad, a dtype of others.
    bool read(PyObject* const* places) {  // dtype, device, requires_grad
        bool requires_grad = false;
        if (!(is_set(places[1]) ? places[1] == cpu() : is_default_cpu()) || !cpu() ||
            !read_flag(places[2], requires_grad) || requires_grad) {
            return false;
        }
        return !is_set(places[0]) || read_dtype(places[0]);
    }

    bool read_dtype(PyObject* given) {
        dtype = known_dtype(given);
        return dtype >= 0;
    }

    bool read_words(const Given& given) {
        PyObject* places[3];
        const Given words = {given.values + given.count, 0, given.keywords};
        return words.place({"dtype", "device", "requires_grad"}, places) && read(places);
    }
};

Ref made(const Sizes& shape, int dtype) {
    for (int i = 0; i < shape.count; ++i) {
        if (shape.values[i] < 0) {
            return Ref();
        }
    }
    return Ref(PyArray_SimpleNew(shape.count, shape.values, dtype));
}

enum class Value { nothing, zero, one };

Ref filled(const Sizes& shape, int dtype, Value value) {
    static PyObject* const one = PyLong_FromLong(1);
    Ref array = made(shape, dtype);
    if (array && value == Value::zero) {
        std::memset(PyArray_DATA(as_array(array)), 0, size_t(PyArray_NBYTES(as_array(array))));
    }
    const bool failed = array && value == Value::one && PyArray_FillWithScalar(as_array(array), one) < 0;
    return failed ? Ref() : std::move(array);
}

PyObject* on_cpu(const Ref& array) { return array ? new_tensor(array, cpu()) : nullptr; }

// zeros(*sizes)
template <Value value>
PyObject* serve_sizes(Door&, const Given& given) {
    Options options;
    Sizes shape;
    if (given.count == 0 || !shape.read(given.values, given.count) || !options.read_words(given) ||
        (options.dtype < 0 && !options.read_dtype(default_dtype()))) {
        return nullptr;
    }
    return on_cpu(filled(shape, options.dtype, value));
}

// zeros_like(input)
template <Value value>
PyObject* serve_like(Door&, const Given& given) {
    PyArrayObject* x = given.count == 1 ? array_in(given.values[0]) : nullptr;
    Options options;
    Sizes shape;
    if (!x || as_tensor(given.values[0])->device != cpu() || !shape.read(x) || !options.read_words(given) ||
        (options.dtype < 0 && !options.read_dtype(dtype_of(as_tensor(given.values[0])->array)))) {
        return nullptr;
    }
    return on_cpu(filled(shape, options.dtype, value));
}

// full(size, fill_value), of floats or int64
PyObject* serve_full(Door&, const Given& given) {
    PyObject* places[5];
    Options options;
    Sizes shape;
    double number;
    if (!given.place({"size", "fill_value", "dtype", "device", "requires_grad"}, places, 2) || !places[0] ||
        !places[1] || !shape.read(places, 1) || !is_number(places[1], number) || !options.read(places + 2)) {
        return nullptr;
    }
    const bool whole = PyLong_CheckExact(places[1]);
    if (options.dtype < 0 && !options.read_dtype(whole ? nullptr : default_dtype())) {
        options.dtype = whole ? NPY_INT64 : -1;
    }
    if (is_float_type(options.dtype) ? !is_held(number) : !(whole && options.dtype == NPY_INT64)) {
        return nullptr;
    }
    Ref array = made(shape, options.dtype);
    return array && PyArray_FillWithScalar(as_array(array), places[1]) == 0 ? on_cpu(array) : nullptr;
}

// arange(start, end, step) of ints
PyObject* serve_arange(Door&, const Given& given) {
    npy_intp bounds[3] = {0, 0, 1}, count;
    Options options;
    if (given.count < 1 || given.count > 3 || !options.read_words(given) ||
        (options.dtype >= 0 && options.dtype != NPY_INT64)) {
        return nullptr;
    }
    for (Py_ssize_t i = 0; i < given.count; ++i) {
        if (!read_int(given.values[i], bounds[given.count == 1 ? 1 : i])) {
            return nullptr;
        }
    }
    const npy_intp start = bounds[0], step = bounds[2];
    if (step <= 0 || __builtin_sub_overflow(bounds[1], start, &count) || count < 0 ||
        __builtin_add_overflow(count, step - 1, &count)) {
        return nullptr;
    }
    count /= step;
    Ref array(PyArray_SimpleNew(1, &count, NPY_INT64));
    if (array) {
        npy_int64* y = static_cast<npy_int64*>(PyArray_DATA(as_array(array)));
        for (npy_intp i = 0; i < count; ++i) {
            y[i] = start + i * step;
        }
    }
    return on_cpu(array);
}

// Nested lists of numbers, all of them Python's floats or all ints.
struct Numbers {
    Sizes shape;
    PyTypeObject* kind = nullptr;

    // Where the numbers are found as deep as the first of each list.
    bool find(PyObject* data) {
        while (PyList_CheckExact(data) || PyTuple_CheckExact(data)) {
            if (shape.count == most_axes || PySequence_Fast_GET_SIZE(data) == 0) {
                return false;
            }
            shape.values[shape.count++] = PySequence_Fast_GET_SIZE(data);
            data = PySequence_Fast_ITEMS(data)[0];
        }
        kind = Py_TYPE(data);
        return PyFloat_CheckExact(data) || PyLong_CheckExact(data);
    }

    // Hands the numbers on in order; false where the lists are not alike or hold others.
    template <class Put>
    bool each(PyObject* data, int depth, const Put& put) const {
        if (depth == shape.count) {
            return Py_IS_TYPE(data, kind) && put(data);
        }
        if (!(PyList_CheckExact(data) || PyTuple_CheckExact(data)) ||
            PySequence_Fast_GET_SIZE(data) != shape.values[depth]) {
            return false;
        }
        for (npy_intp i = 0; i < shape.values[depth]; ++i) {
            if (!each(PySequence_Fast_ITEMS(data)[i], depth + 1, put)) {
                return false;
            }
        }
        return true;
    }
};

// tensor(data) of numbers, or of lists of them
PyObject* serve_tensor(Door&, const Given& given) {
    Options options;
    Numbers numbers;
    if (given.count != 1 || !options.read_words(given) || !numbers.find(given.values[0])) {
        return nullptr;
    }
    const bool whole = numbers.kind == &PyLong_Type;
    if (options.dtype < 0 && !options.read_dtype(whole ? nullptr : default_dtype())) {
        options.dtype = whole ? NPY_INT64 : -1;
    }
    Ref array = made(numbers.shape, options.dtype < 0 ? NPY_INT64 : options.dtype);
    if (!array) {
        return nullptr;
    }
    void* y = PyArray_DATA(as_array(array));
    const auto put_floats = [&](auto* to) {
        return numbers.each(given.values[0], 0, [&](PyObject* each) {
            double number;
            const bool held = is_number(each, number) && is_held(number);
            *to++ = static_cast<std::remove_reference_t<decltype(*to)>>(number);
            return held;
        });
    };
    bool done = false;
    if (options.dtype == NPY_FLOAT32) {
        done = put_floats(static_cast<float*>(y));
    } else if (options.dtype == NPY_FLOAT64) {
        done = put_floats(static_cast<double*>(y));
    } else if (options.dtype == NPY_INT64 && whole) {
        npy_int64* to = static_cast<npy_int64*>(y);
        done = numbers.each(given.values[0], 0, [&](PyObject* each) {
            npy_intp number;
            const bool fits = read_int(each, number);
            *to++ = fits ? number : 0;
            return fits;
        });
    }
    return done ? on_cpu(array) : nullptr;
}

}  // namespace

const DoorEntry creation_doors[] = {
    {"creation.create.empty", serve_sizes<Value::nothing>, {}},
    {"creation.create.empty_like", serve_like<Value::nothing>, {}},
    {"creation.create.full", serve_full, {}},
    {"creation.create.ones", serve_sizes<Value::one>, {}},
    {"creation.create.ones_like", serve_like<Value::one>, {}},
    {"creation.create.tensor", serve_tensor, {}},
    {"creation.create.zeros", serve_sizes<Value::zero>, {}},
    {"creation.create.zeros_like", serve_like<Value::zero>, {}},
    {"creation.ranges.arange", serve_arange, {}},
    {nullptr, nullptr, {}},
};
