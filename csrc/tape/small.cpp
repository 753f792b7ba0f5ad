// Arithmetic of small arrays: a call of NumPy's costs more than the numbers do. Nothing here rounds in
// another way than NumPy, so that it makes no difference which of the two computes.
#include "tape.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace {

constexpr npy_intp few = 1 << 12;  // more elements are NumPy's

// Whether it is a contiguous array of floats, small enough to be computed here.
bool is_small(PyObject* object) {
    if (!PyArray_CheckExact(object)) {
        return false;
    }
    PyArrayObject* array = as_array(object);
    return is_float(array) && PyArray_ISCARRAY_RO(array) && PyArray_SIZE(array) <= few;
}

PyObject* empty_like(PyArrayObject* array) {
    return new_array(array, PyArray_NDIM(array), PyArray_DIMS(array)).release();
}

template <class T, class Function>
void over(PyObject* result, PyObject* a, PyObject* b, Function function) {
    const npy_intp size = PyArray_SIZE(as_array(result));
    T* y = data_of<T>(result);  // which may be that of an operand, but overlaps none otherwise
    const T *x = data_of<T>(a), *w = data_of<T>(b);
    for (npy_intp i = 0; i < size; ++i) {
        y[i] = function(x[i], w[i]);
    }
}

template <class T, class Function>
void over(PyObject* result, PyObject* a, Function function) {
    const npy_intp size = PyArray_SIZE(as_array(result));
    T* y = data_of<T>(result);
    const T* x = data_of<T>(a);
    for (npy_intp i = 0; i < size; ++i) {
        y[i] = function(x[i]);
    }
}

// Of one or two arrays alike; null where they are not small.
template <class Function, class... Arrays>
PyObject* of_arrays(Function function, PyObject* first, Arrays... others) {
    if (!is_small(first) || !((is_small(others) && is_alike(as_array(first), as_array(others))) && ...)) {
        return nullptr;
    }
    PyObject* result = empty_like(as_array(first));
    if (result) {
        of_floats(as_array(first),
                  [&](auto kind) { over<decltype(kind)>(result, first, others..., function); });
    }
    return result;
}

template <class Function>
PyObject* of_number(Function function, PyObject* array, double number) {
    const auto with = [=](auto x) { return function(x, decltype(x)(number)); };
    return of_arrays(with, array);
}

template <class Function>
PyObject* of_two(PyObject* const* operands) {
    double number;
    if (is_number(operands[1], number)) {
        return of_number(Function{}, operands[0], number);
    }
    if (is_number(operands[0], number)) {
        return of_number([](auto x, auto a) { return Function{}(a, x); }, operands[1], number);
    }
    return of_arrays(Function{}, operands[0], operands[1]);
}

struct Add {
    template <class T>
    T operator()(T a, T b) const { return a + b; }
};
struct Subtract {
    template <class T>
    T operator()(T a, T b) const { return a - b; }
};
struct Multiply {
    template <class T>
    T operator()(T a, T b) const { return a * b; }
};
struct Divide {
    template <class T>
    T operator()(T a, T b) const { return a / b; }
};
struct Negative {
    template <class T>
    T operator()(T a) const { return -a; }
};
struct Absolute {
    template <class T>
    T operator()(T a) const { return std::fabs(a); }
};
struct Square {
    template <class T>
    T operator()(T a) const { return a * a; }
};
struct Root {
    template <class T>
    T operator()(T a) const { return std::sqrt(a); }
};

PyObject* numpy_function(const char* name) {
    Ref module(PyImport_ImportModule("numpy"));
    return module ? PyObject_GetAttrString(module, name) : nullptr;
}

// Whether BLAS multiplies both as they lie, and by the same routine, however the product is asked for:
// matrices, of which one may be a row or a column; a matrix and a vector.
bool are_plain(PyArrayObject* left, PyArrayObject* right) {
    const auto lies = [](PyArrayObject* x) { return PyArray_ISCARRAY_RO(x) || PyArray_ISFARRAY_RO(x); };
    const int of_right = PyArray_NDIM(right);
    if (PyArray_NDIM(left) != 2 || of_right < 1 || of_right > 2 || !lies(left) || !lies(right)) {
        return false;
    }
    const npy_intp columns = of_right == 1 ? 1 : PyArray_DIM(right, 1);
    return PyArray_DIM(left, 1) > 1 && std::max(PyArray_DIM(left, 0), columns) > 1;
}

}  // namespace

PyObject* add_two(PyObject* const* operands) { return of_two<Add>(operands); }
PyObject* subtract_two(PyObject* const* operands) { return of_two<Subtract>(operands); }
PyObject* multiply_two(PyObject* const* operands) { return of_two<Multiply>(operands); }
PyObject* divide_two(PyObject* const* operands) { return of_two<Divide>(operands); }

template <class Function>
static PyObject* of_one(PyObject* const* operands) {
    return of_arrays(Function{}, operands[0]);
}
PyObject* negate(PyObject* const* operands) { return of_one<Negative>(operands); }

Compute* find_compute(const char* name) {
    static const struct Entry {
        const char* name;
        Compute* compute;
    } all[] = {{"absolute", of_one<Absolute>}, {"add", add_two},        {"divide", divide_two},
               {"multiply", multiply_two},     {"negative", negate},    {"sqrt", of_one<Root>},
               {"square", of_one<Square>},     {"subtract", subtract_two}, {nullptr, nullptr}};
    const Entry* found = find_entry(all, name);
    return found ? found->compute : nullptr;
}

PyObject* run_loop(FlatLoop& loop, PyObject* kernel, PyObject* x) {
    if (!is_small(x) || PyArray_NDIM(as_array(x)) == 0) {  // (which the kernel declines)
        return nullptr;
    }
    Ref result(empty_like(as_array(x)));
    void* const arrays[] = {result ? data_of<void>(result) : nullptr, data_of<void>(x)};
    const bool done = result && loop(kernel, PyArray_TYPE(as_array(x)), arrays, PyArray_SIZE(as_array(x)));
    return done ? result.release() : nullptr;
}

PyObject* run_loop(PyObject* ufunc, const int (&places)[2], PyObject* x) {
    const int place = is_small(x) ? places[PyArray_TYPE(as_array(x)) == NPY_FLOAT64] : -1;
    PyObject* result = place < 0 ? nullptr : empty_like(as_array(x));
    if (result) {
        const auto* of = reinterpret_cast<PyUFuncObject*>(ufunc);
        char* arrays[] = {data_of<char>(x), data_of<char>(result)};
        const npy_intp size = PyArray_SIZE(as_array(x)), step = PyArray_ITEMSIZE(as_array(x));
        const npy_intp steps[] = {step, step};
        of->functions[place](arrays, &size, steps, of->data ? of->data[place] : nullptr);
    }
    return result;
}

PyObject* add_up(PyObject* a, PyObject* b) {
    PyObject* sum = of_arrays(Add{}, a, b);
    return sum || PyErr_Occurred() ? sum : PyNumber_Add(a, b);
}

// The number that an operand is, beside an array: exactly, before it is rounded to the array's dtype.
bool is_number(PyObject* object, double& number) {
    if (PyFloat_CheckExact(object)) {
        number = PyFloat_AS_DOUBLE(object);
        return true;
    }
    if (!PyLong_CheckExact(object)) {
        return false;
    }
    int overflow;
    const long long whole = PyLong_AsLongLongAndOverflow(object, &overflow);
    number = double(whole);
    return !overflow && whole > -(1LL << 53) && whole < (1LL << 53);
}

namespace {

template <class Function>
bool onto(PyObject* a, PyObject* b, Function function) {
    double number;
    if (!is_small(a) || !PyArray_ISWRITEABLE(as_array(a))) {
        return false;
    }
    return of_floats(as_array(a), [&](auto kind) {
        using T = decltype(kind);
        if (is_number(b, number)) {
            over<T>(a, a, [=](T x) { return function(x, T(number)); });
            return true;
        }
        const bool alike = is_small(b) && is_alike(as_array(a), as_array(b));
        if (alike) {
            over<T>(a, a, b, function);
        }
        return alike;
    });
}

}  // namespace

bool add_onto(PyObject* a, PyObject* b) { return onto(a, b, Add{}); }
bool sub_onto(PyObject* a, PyObject* b) { return onto(a, b, Subtract{}); }
bool mul_onto(PyObject* a, PyObject* b) { return onto(a, b, Multiply{}); }
bool div_onto(PyObject* a, PyObject* b) { return onto(a, b, Divide{}); }

PyObject* choose(PyObject* const* operands) {
    double numbers[2] = {};
    PyObject *condition = operands[0], *array = nullptr;
    for (int i = 0; i < 2; ++i) {
        PyObject* each = operands[1 + i];
        if (is_number(each, numbers[i])) {
            continue;
        }
        if (!is_small(each) || (array && !is_alike(as_array(array), as_array(each)))) {
            return nullptr;
        }
        array = each;
    }
    if (!array || !PyArray_ISCARRAY_RO(as_array(condition)) ||
        !PyArray_SAMESHAPE(as_array(condition), as_array(array))) {
        return nullptr;
    }
    PyObject* result = empty_like(as_array(array));
    if (result) {
        const npy_bool* chosen = data_of<npy_bool>(condition);
        of_floats(as_array(array), [&](auto kind) {
            using T = decltype(kind);
            T* y = data_of<T>(result);
            const auto of = [&](int k, npy_intp i) {
                return PyArray_CheckExact(operands[1 + k]) ? data_of<T>(operands[1 + k])[i] : T(numbers[k]);
            };
            for (npy_intp i = 0; i < PyArray_SIZE(as_array(array)); ++i) {
                y[i] = chosen[i] ? of(0, i) : of(1, i);
            }
        });
    }
    return result;
}

PyObject* clip_between(PyObject* x, double low, double high) {
    const auto clipped = [=](auto v) {  // nan stays; of equal ones, which may be 0 and -0, NumPy's
        const auto least = decltype(v)(low), most = decltype(v)(high);
        const auto raised = v > least || v != v ? v : least;
        return raised < most || raised != raised ? raised : most;
    };
    return of_arrays(clipped, x);
}

PyObject* keep_where(PyObject* condition, PyObject* g, bool wanted) {
    if (!is_small(g) || !PyArray_ISCARRAY_RO(as_array(condition)) ||
        !PyArray_SAMESHAPE(as_array(condition), as_array(g))) {
        return nullptr;
    }
    const npy_bool* chosen = data_of<npy_bool>(condition);
    return of_arrays([=](auto v) mutable { return (*chosen++ != 0) == wanted ? v : decltype(v)(0); }, g);
}

PyObject* keep_between(PyObject* x, double low, double high, PyObject* g) {
    const auto kept = [=](auto v, auto gradient) {
        const auto least = decltype(v)(low), most = decltype(v)(high);
        return v >= least && v <= most ? gradient : decltype(v)(0);
    };
    return of_arrays(kept, x, g);
}

PyObject* multiply_matrices(PyObject* a, PyObject* b) {
    static PyObject *const dot = numpy_function("dot"), *const matmul = numpy_function("matmul");
    PyObject* const function[] = {are_plain(as_array(a), as_array(b)) ? dot : matmul, a, b};
    return function[0] ? call_quietly(function, 2).release() : nullptr;
}

bool add_row(PyObject* matrix, PyObject* row) {
    PyArrayObject *y = as_array(matrix), *b = as_array(row);
    const npy_intp rows = PyArray_DIM(y, 0), columns = PyArray_DIM(y, 1);
    if (!is_small(matrix) || !is_small(row)) {
        static PyObject* const add = PyObject_GetAttrString(Ref(PyImport_ImportModule("operator")), "iadd");
        PyObject* const function[] = {add, matrix, row};
        return add && call_quietly(function, 2);
    }
    of_floats(b, [&](auto kind) {
        using T = decltype(kind);
        T* to = data_of<T>(y);
        const T* from = data_of<T>(b);
        for (npy_intp i = 0; i < rows; ++i, to += columns) {
            for (npy_intp j = 0; j < columns; ++j) {
                to[j] += from[j];
            }
        }
    });
    return true;
}
