#include <cmath>
#include <cstring>

#include "../arrays.h"
#include "../doors.h"
#include "../layout.h"

namespace {

// A Python number as a float of the width, or as the bits of one. Of those that count as no number
// of Python's (bools, NumPy's) nothing is known here.
bool store_number(PyObject* object, int width, void* number) {
    double value;
    if (PyFloat_CheckExact(object)) {
        value = PyFloat_AS_DOUBLE(object);
    } else if (PyLong_CheckExact(object)) {
        int beyond = 0;
        const long long whole = PyLong_AsLongLongAndOverflow(object, &beyond);
        constexpr long long exact = 1LL << 53;
        if (beyond != 0 || whole > exact || whole < -exact) {
            return false;
        }
        value = double(whole);
    } else {
        return false;
    }
    const float narrow = float(value);
    if (width == 4) {
        std::memcpy(number, &narrow, 4);
        return std::isinf(narrow) == std::isinf(value);
    }
    std::memcpy(number, &value, 8);
    return true;
}

// Zero is zero in every dtype, but a float among integers makes floats of them.
bool store_zero(PyObject* object, PyArrayObject* like, double* number) {
    if (!store_number(object, 8, number)) {
        return false;
    }
    return *number == 0 && !std::signbit(*number) &&
           (PyLong_CheckExact(object) || !PyArray_ISINTEGER(like)) && !PyArray_ISBOOL(like);
}

// The only exponent with a loop.
bool is_3(PyObject* object) {
    int beyond;
    return (PyLong_CheckExact(object) && PyLong_AsLongAndOverflow(object, &beyond) == 3) ||
           (PyFloat_CheckExact(object) && PyFloat_AS_DOUBLE(object) == 3);
}

// Whether the loops may write into it what they make of the inputs: each is apart from it, or the
// same element for element.
bool is_place_for(PyObject* out, PyArrayObject* const* inputs, int count, const npy_intp* shape,
                  int dims, PyArray_Descr* dtype) {
    if (!is_plain(out) || !PyArray_ISWRITEABLE(as_array(out)) ||
        PyArray_DESCR(as_array(out)) != dtype || PyArray_NDIM(as_array(out)) != dims ||
        !PyArray_CompareLists(PyArray_DIMS(as_array(out)), shape, dims)) {
        return false;
    }
    for (int k = 0; k < count; ++k) {
        PyArrayObject* array = inputs[k];
        if (array == nullptr || are_apart(array, as_array(out))) {
            continue;
        }
        if (PyArray_BYTES(array) != PyArray_BYTES(as_array(out)) || !PyArray_ISCARRAY_RO(array) ||
            PyArray_DESCR(array) != dtype || PyArray_NDIM(array) != dims ||
            !PyArray_CompareLists(PyArray_DIMS(array), shape, dims)) {
            return false;
        }
    }
    return true;
}

// Whether the keywords are the words of the entry, in their order, and perhaps "out" behind.
bool read_words(const char* words, PyObject* keywords, Py_ssize_t inputs, Py_ssize_t positional,
                bool& has_out) {
    Py_ssize_t count = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
    has_out = count > 0 && PyUnicode_CompareWithASCIIString(
                               PyTuple_GET_ITEM(keywords, count - 1), "out") == 0;
    count -= has_out;
    if (positional + count != inputs || (count > 0 && words == nullptr)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < count; ++i, words += std::strlen(words) + 1) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, i), words) != 0) {
            return false;
        }
    }
    return true;
}

}  // namespace

PyObject* broadcast(const Entry& entry, PyObject* const* given, Py_ssize_t positional,
                    PyObject* keywords) {
    const int count = entry.arrays - 1;
    bool has_out;
    if (!read_words(entry.keyword, keywords, count, positional, has_out)) {
        return nullptr;
    }
    if (std::strcmp(entry.name, "power") == 0 && !is_3(given[1])) {
        return nullptr;
    }
    const bool chooses = std::strcmp(entry.name, "where") == 0;
    PyArrayObject* first = nullptr;  // the others have its dtype
    for (int k = chooses; k < count && first == nullptr; ++k) {
        if (is_behaved(given[k])) {
            first = as_array(given[k]);
        }
    }
    if (first == nullptr) {
        return nullptr;
    }
    const Loop loop = chooses ? loop_of_size(entry, first) : loop_of(entry, first);
    if (loop == nullptr) {
        return nullptr;
    }
    PyArray_Descr* dtype = PyArray_DESCR(first);
    const int size = int(PyArray_ITEMSIZE(first));
    const bool is_arithmetic = entry.keyword == nullptr;
    PyArrayObject* inputs[max_inputs] = {};  // null where it is a number
    double numbers[max_inputs];              // of the type that is computed with
    Spread spread;
    void* arrays[max_arrays];
    for (int k = 0; k < count; ++k) {
        if (is_behaved(given[k])) {
            inputs[k] = as_array(given[k]);
            PyArray_Descr* found = PyArray_DESCR(inputs[k]);
            if (chooses && k == 0 ? found->type_num != NPY_BOOL : found != dtype) {
                return nullptr;
            }
            arrays[k + 1] = PyArray_DATA(inputs[k]);
            continue;
        }
        const bool is_float = size >= 4 && PyArray_ISFLOAT(first);
        if (chooses && k == 0) {
            return nullptr;
        } else if (!is_float && (chooses || is_arithmetic)) {
            // A number that 16 bits may not hold is for the body.
            if (!store_zero(given[k], first, &numbers[k])) {
                return nullptr;
            }
        } else if (!store_number(given[k], size == 8 ? 8 : 4, &numbers[k])) {
            return nullptr;
        }
        spread.number[k] = true;
        arrays[k + 1] = &numbers[k];
    }
    npy_intp shape[max_dims];
    int dims;
    if (!find_shape(inputs, count, shape, dims) || !lay_out(inputs, count, shape, dims, spread)) {
        return nullptr;
    }
    PyObject* result;
    if (has_out) {
        result = given[positional + PyTuple_GET_SIZE(keywords) - 1];
        if (!is_place_for(result, inputs, count, shape, dims, dtype)) {
            return nullptr;
        }
        Py_INCREF(result);
    } else {
        result = empty(dtype, dims, shape);
        if (result == nullptr) {
            return nullptr;
        }
    }
    arrays[0] = PyArray_DATA(as_array(result));
    arrays[count + 1] = &spread;
    const bool flat = spread.rows == 1;
    run_anyhow(loop, arrays, nullptr, flat ? spread.length : spread.rows, flat ? 1 : spread.length);
    return result;
}
