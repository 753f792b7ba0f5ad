// Operations as callables that ask dtype, shape and memory of their arrays, run a loop where there is
// one, and call NumPy's body for everything else: no Python runs in between.
#include "kernel.h"

#include <structmember.h>

#include <cmath>
#include <cstddef>
#include <cstring>

#include "level.h"

namespace {

// Below it, to let other threads run Python costs more than it saves them.
constexpr int64_t many = 1 << 12;

bool is_plain(PyObject* object) {
    return PyArray_CheckExact(object) &&
           PyArray_ISCARRAY_RO(reinterpret_cast<PyArrayObject*>(object));
}

PyObject* empty_like(PyArrayObject* array) {
    PyArray_Descr* dtype = PyArray_DESCR(array);
    Py_INCREF(dtype);
    return PyArray_NewFromDescr(&PyArray_Type, dtype, PyArray_NDIM(array), PyArray_DIMS(array),
                                nullptr, nullptr, 0, nullptr);
}

void run_anyhow(Loop loop, void* const* arrays, const double* numbers, int64_t size,
                int64_t each = 1) {
    if (size * each < many) {
        loop(arrays, numbers, 0, size);
        return;
    }
    Py_BEGIN_ALLOW_THREADS;
    run(loop, arrays, numbers, size, each);
    Py_END_ALLOW_THREADS;
}

// Where the arrays that an operation is given are float32 and of one shape, their memory; else false.
bool read_alike(PyObject* const* given, int count, void** memory) {
    PyArrayObject* first = reinterpret_cast<PyArrayObject*>(given[0]);
    for (int i = 0; i < count; ++i) {
        PyArrayObject* array = reinterpret_cast<PyArrayObject*>(given[i]);
        if (!is_plain(given[i]) || PyArray_TYPE(array) != NPY_FLOAT32 ||
            !PyArray_SAMESHAPE(array, first)) {
            return false;
        }
        memory[i] = PyArray_DATA(array);
    }
    return true;
}

// Each of these returns null where it declines, or has raised.

// Of arrays alike: elementwise, with or without a number; or, with the last axis, on rows.
PyObject* of_alike(const Entry& entry, PyObject* const* given, Py_ssize_t count,
                   PyObject* keywords) {
    const int inputs = entry.arrays - 1;
    void* arrays[max_arrays];
    if (count != inputs || (keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords)) != entry.numbers ||
        !read_alike(given, inputs, arrays + 1)) {
        return nullptr;
    }
    PyArrayObject* first = reinterpret_cast<PyArrayObject*>(given[0]);
    double number = 0;
    int64_t size = PyArray_SIZE(first), each = 1;
    if (entry.numbers != 0) {
        PyObject* option = given[count];
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), entry.keyword) != 0) {
            return nullptr;
        }
        if (std::strcmp(entry.keyword, "axis") == 0) {
            const int last = PyArray_NDIM(first) - 1;
            if (!PyLong_CheckExact(option) || last < 0 || size == 0 ||
                PyLong_AsLong(option) != last) {
                PyErr_Clear();
                return nullptr;
            }
            each = PyArray_DIM(first, last);
            size /= each;
            number = double(each);
        } else if (PyFloat_CheckExact(option)) {
            number = PyFloat_AS_DOUBLE(option);
        } else {
            return nullptr;
        }
    }
    PyObject* result = empty_like(first);
    if (result != nullptr) {
        arrays[0] = PyArray_DATA(reinterpret_cast<PyArrayObject*>(result));
        run_anyhow(entry.float32, arrays, &number, size, each);
    }
    return result;
}

// ---- random numbers ----

// Keyword arguments, of which each is one of ``names``; false if there are others. What is not given
// stays null.
template <size_t size>
bool read_keywords(PyObject* keywords, PyObject* const* values, const char* const (&names)[size],
                   PyObject* (&found)[size]) {
    const Py_ssize_t count = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
    for (Py_ssize_t i = 0; i < count; ++i) {
        size_t place = 0;
        while (place < size && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, i),
                                                                names[place]) != 0) {
            ++place;
        }
        if (place == size) {
            return false;
        }
        found[place] = values[i];
    }
    return true;
}

bool read_unsigned(PyObject* object, uint64_t& value) {
    if (object == nullptr || !PyLong_CheckExact(object)) {
        return false;
    }
    value = PyLong_AsUnsignedLongLong(object);
    if (value == uint64_t(-1) && PyErr_Occurred()) {
        PyErr_Clear();
        return false;
    }
    return true;
}

// Seed and offset, as the loops take them.
bool read_stream(PyObject* seed, PyObject* offset, double* numbers) {
    uint64_t values[2];
    if (!read_unsigned(seed, values[0]) || !read_unsigned(offset, values[1])) {
        return false;
    }
    for (int i = 0; i < 2; ++i) {
        numbers[2 * i] = double(uint32_t(values[i]));
        numbers[2 * i + 1] = double(values[i] >> 32);
    }
    return true;
}

PyArrayObject* empty_vector(uint64_t size, int dtype) {
    npy_intp length = npy_intp(size);
    return reinterpret_cast<PyArrayObject*>(PyArray_SimpleNew(1, &length, dtype));
}

// philox(n, seed, offset, start), uniform(n, dtype, seed, offset), normal(n, dtype, seed, offset)
PyObject* draw(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    static const char* const names[] = {"n", "seed", "offset", "start", "dtype"};
    PyObject* found[5] = {};
    double numbers[max_numbers] = {};
    uint64_t n, start = 0;
    if (count != 0 || !read_keywords(keywords, given, names, found) ||
        !read_unsigned(found[0], n) || n > uint64_t(NPY_MAX_INTP) / 16 ||
        !read_stream(found[1], found[2], numbers)) {
        return nullptr;
    }
    const bool words = entry.float64 == nullptr, pairs = std::strcmp(entry.name, "normal") == 0;
    int dtype = NPY_UINT32;
    if (words) {
        if (found[4] != nullptr || (found[3] != nullptr && !read_unsigned(found[3], start)) ||
            start % 4 != 0 || start >> 52 != 0) {
            return nullptr;
        }
        numbers[4] = double(start);
    } else {
        if (found[3] != nullptr || found[4] == nullptr || !PyArray_DescrCheck(found[4])) {
            return nullptr;
        }
        dtype = reinterpret_cast<PyArray_Descr*>(found[4])->type_num;
        if (dtype != NPY_FLOAT32 && dtype != NPY_FLOAT64) {
            return nullptr;
        }
    }
    PyArrayObject* result = empty_vector(pairs ? n + n % 2 : n, dtype);
    if (result == nullptr) {
        return nullptr;
    }
    void* arrays[] = {PyArray_DATA(result)};
    run_anyhow(dtype == NPY_FLOAT64 ? entry.float64 : entry.float32, arrays, numbers,
               int64_t(pairs ? (n + 1) / 2 : n));
    if (pairs && n % 2 == 1) {  // without the last one, in memory of its own
        PyArrayObject* all = result;
        result = empty_vector(n, dtype);
        if (result != nullptr) {
            std::memcpy(PyArray_DATA(result), PyArray_DATA(all), size_t(PyArray_NBYTES(result)));
        }
        Py_DECREF(all);
    }
    return reinterpret_cast<PyObject*>(result);
}

// dropout(x, p, seed, offset) -> (y, None): the gradient draws the same words again
PyObject* dropout(const Entry& entry, PyObject* const* given, Py_ssize_t count,
                  PyObject* keywords) {
    static const char* const names[] = {"p", "seed", "offset"};
    PyObject* found[3] = {};
    double numbers[max_numbers] = {};
    if (count != 1 || !is_plain(given[0]) ||
        !read_keywords(keywords, given + 1, names, found) || found[0] == nullptr ||
        !PyFloat_CheckExact(found[0]) || !read_stream(found[1], found[2], numbers)) {
        return nullptr;
    }
    PyArrayObject* x = reinterpret_cast<PyArrayObject*>(given[0]);
    const double p = PyFloat_AS_DOUBLE(found[0]);
    const int dtype = PyArray_TYPE(x);
    if ((dtype != NPY_FLOAT32 && dtype != NPY_FLOAT64) || !(p >= 0 && p < 1)) {
        return nullptr;
    }
    numbers[5] = std::ceil(p * 16777216.0);
    numbers[6] = 1 - p;
    PyObject* y = empty_like(x);
    if (y == nullptr) {
        return nullptr;
    }
    void* arrays[] = {PyArray_DATA(reinterpret_cast<PyArrayObject*>(y)), PyArray_DATA(x)};
    run_anyhow(dtype == NPY_FLOAT64 ? entry.float64 : entry.float32, arrays, numbers,
               PyArray_SIZE(x));
    return Py_BuildValue("(NO)", y, Py_None);
}

PyObject* random(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    return (entry.arrays == 1 ? draw : dropout)(entry, given, count, keywords);
}

// ---- layer norm ----

bool is_float32(PyObject* object, int dimensions) {
    PyArrayObject* array = reinterpret_cast<PyArrayObject*>(object);
    return is_plain(object) && PyArray_TYPE(array) == NPY_FLOAT32 &&
           PyArray_NDIM(array) == dimensions;
}

void* memory_of(PyObject* object) {
    return object == Py_None ? nullptr : PyArray_DATA(reinterpret_cast<PyArrayObject*>(object));
}

// A matrix with rows and columns, and beside it vectors of this length, or None.
bool is_matrix(PyObject* object) {
    return is_float32(object, 2) && PyArray_SIZE(reinterpret_cast<PyArrayObject*>(object)) > 0;
}

bool is_vector(PyObject* object, npy_intp length) {
    return object == Py_None ||
           (is_float32(object, 1) && PyArray_DIM(reinterpret_cast<PyArrayObject*>(object), 0) == length);
}

// layer_norm(x, weight, bias, eps) -> (y, mean, rstd)
PyObject* layer_norm(const Entry& entry, PyObject* const* given, PyObject* eps) {
    if (!is_matrix(given[0]) || !PyFloat_CheckExact(eps)) {
        return nullptr;
    }
    PyArrayObject* x = reinterpret_cast<PyArrayObject*>(given[0]);
    const npy_intp rows = PyArray_DIM(x, 0), columns = PyArray_DIM(x, 1);
    if (!is_vector(given[1], columns) || !is_vector(given[2], columns)) {
        return nullptr;
    }
    PyObject* results[] = {empty_like(x),
                           reinterpret_cast<PyObject*>(empty_vector(uint64_t(rows), NPY_FLOAT32)),
                           reinterpret_cast<PyObject*>(empty_vector(uint64_t(rows), NPY_FLOAT32))};
    PyObject* all = nullptr;
    if (results[0] != nullptr && results[1] != nullptr && results[2] != nullptr) {
        void* arrays[] = {memory_of(results[0]), memory_of(results[1]), memory_of(results[2]),
                          PyArray_DATA(x),       memory_of(given[1]),   memory_of(given[2])};
        const double numbers[] = {double(columns), PyFloat_AS_DOUBLE(eps)};
        run_anyhow(entry.float32, arrays, numbers, rows, columns);
        all = PyTuple_Pack(3, results[0], results[1], results[2]);
    }
    for (PyObject* result : results) {
        Py_XDECREF(result);
    }
    return all;
}

// The sums of all pieces, in float; the pieces' parts lie ``stride`` apart.
PyObject* total_of(const double* parts, npy_intp pieces, npy_intp stride, npy_intp columns) {
    PyArrayObject* total = empty_vector(uint64_t(columns), NPY_FLOAT32);
    if (total != nullptr) {
        float* result = static_cast<float*>(PyArray_DATA(total));
        for (npy_intp column = 0; column < columns; ++column) {
            double sum = 0;
            for (npy_intp i = 0; i < pieces; ++i) {
                sum += parts[i * stride + column];
            }
            result[column] = float(sum);
        }
    }
    return reinterpret_cast<PyObject*>(total);
}

// layer_norm_backward(g, x, weight, mean, rstd, needs) -> (dx, dweight, dbias). The mean is computed
// anew, with all its digits.
PyObject* layer_norm_backward(const Entry& entry, PyObject* const* given, PyObject* needs) {
    if (!is_matrix(given[1]) || !is_matrix(given[0]) || !PyTuple_CheckExact(needs) ||
        PyTuple_GET_SIZE(needs) != 3) {
        return nullptr;
    }
    PyArrayObject* x = reinterpret_cast<PyArrayObject*>(given[1]);
    const npy_intp rows = PyArray_DIM(x, 0), columns = PyArray_DIM(x, 1);
    if (!PyArray_SAMESHAPE(reinterpret_cast<PyArrayObject*>(given[0]), x) ||
        !is_vector(given[2], columns) || given[4] == Py_None || !is_vector(given[4], rows)) {
        return nullptr;
    }
    bool wanted[3];
    for (int i = 0; i < 3; ++i) {
        wanted[i] = PyTuple_GET_ITEM(needs, i) == Py_True;
    }
    const npy_intp at_once = rows_at_once(columns), pieces = (rows + at_once - 1) / at_once;
    double* sums = nullptr;
    if (wanted[1] || wanted[2]) {
        sums = static_cast<double*>(PyMem_Calloc(size_t(pieces * 2 * columns), sizeof(double)));
        if (sums == nullptr) {
            return PyErr_NoMemory();
        }
    }
    PyObject* dx = empty_like(x);
    PyObject* all = nullptr;
    if (dx != nullptr) {
        void* arrays[] = {memory_of(dx),   sums,                memory_of(given[0]),
                          PyArray_DATA(x), memory_of(given[2]), memory_of(given[4])};
        const double numbers[] = {double(columns), double(at_once)};
        run_anyhow(entry.float32, arrays, numbers, rows, columns);
        PyObject* of[2] = {Py_NewRef(Py_None), Py_NewRef(Py_None)};
        for (int i = 0; i < 2; ++i) {
            if (wanted[1 + i]) {
                Py_SETREF(of[i], total_of(sums + i * columns, pieces, 2 * columns, columns));
            }
        }
        if (of[0] != nullptr && of[1] != nullptr) {
            all = PyTuple_Pack(3, dx, of[0], of[1]);
        }
        Py_XDECREF(of[0]);
        Py_XDECREF(of[1]);
        Py_DECREF(dx);
    }
    PyMem_Free(sums);
    return all;
}

PyObject* norm(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    const bool back = std::strcmp(entry.keyword, "needs") == 0;
    if (count != (back ? 5 : 3) || keywords == nullptr || PyTuple_GET_SIZE(keywords) != 1 ||
        PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(keywords, 0), entry.keyword) != 0) {
        return nullptr;
    }
    return (back ? layer_norm_backward : layer_norm)(entry, given, given[count]);
}

// ---- the callable ----

using Door = PyObject* (*)(const Entry&, PyObject* const*, Py_ssize_t, PyObject*);

struct Kernel {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject* plain;
    Door door;
    const Loops& (*table)();
    int index;
};

PyObject* call(PyObject* self, PyObject* const* given, size_t count, PyObject* keywords) {
    const Kernel& kernel = *reinterpret_cast<Kernel*>(self);
    const Entry& entry = kernel.table().each[kernel.index];
    PyObject* result = kernel.door(entry, given, PyVectorcall_NARGS(count), keywords);
    if (result != nullptr || PyErr_Occurred()) {
        return result;
    }
    return PyObject_Vectorcall(kernel.plain, given, count, keywords);
}

struct Family {
    const Loops& (*table)();
    Door door;
};

const Family families[] = {
    {[]() -> const Loops& { return level->elementwise; }, of_alike},
    {[]() -> const Loops& { return level->rows; }, of_alike},
    {[]() -> const Loops& { return level->norm; }, norm},
    {[]() -> const Loops& { return level->random; }, random},
};

PyObject* new_kernel(PyTypeObject* type, PyObject* given, PyObject* keywords) {
    static const char* names[] = {"name", "plain", nullptr};
    const char* name;
    PyObject* plain;
    if (!PyArg_ParseTupleAndKeywords(given, keywords, "sO", const_cast<char**>(names), &name,
                                     &plain)) {
        return nullptr;
    }
    for (const Family& family : families) {
        for (int i = 0; i < family.table().count; ++i) {
            if (std::strcmp(family.table().each[i].name, name) == 0) {
                PyObject* self = type->tp_alloc(type, 0);
                if (self != nullptr) {
                    Kernel& kernel = *reinterpret_cast<Kernel*>(self);
                    kernel.vectorcall = call;
                    kernel.plain = Py_NewRef(plain);
                    kernel.door = family.door;
                    kernel.table = family.table;
                    kernel.index = i;
                }
                return self;
            }
        }
    }
    return PyErr_Format(PyExc_ValueError, "there are no loops for %s", name);
}

int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(reinterpret_cast<Kernel*>(self)->plain);
    return 0;
}

int clear(PyObject* self) {
    Py_CLEAR(reinterpret_cast<Kernel*>(self)->plain);
    return 0;
}

void delete_kernel(PyObject* self) {
    PyObject_GC_UnTrack(self);
    PyTypeObject* type = Py_TYPE(self);
    clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Kernel, vectorcall), READONLY, nullptr},
    {"plain", T_OBJECT, offsetof(Kernel, plain), READONLY, "What computes all that is declined."},
    {nullptr, 0, 0, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(new_kernel)},
    {Py_tp_dealloc, reinterpret_cast<void*>(delete_kernel)},
    {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
    {Py_tp_clear, reinterpret_cast<void*>(clear)},
    {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
    {Py_tp_members, members},
    {Py_tp_doc, const_cast<char*>("Kernel(name, plain): the operation, by loops where they serve.")},
    {0, nullptr},
};

PyType_Spec spec = {"tapegrad._native.Kernel", sizeof(Kernel), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, slots};

}  // namespace

PyObject* make_kernel_type() { return PyType_FromSpec(&spec); }

PyObject* kernel_names() {
    PyObject* names = PyFrozenSet_New(nullptr);
    for (const Family& family : families) {
        for (int i = 0; names != nullptr && i < family.table().count; ++i) {
            PyObject* name = PyUnicode_FromString(family.table().each[i].name);
            if (name == nullptr || PySet_Add(names, name) < 0) {
                Py_CLEAR(names);
            }
            Py_XDECREF(name);
        }
    }
    return names;
}
