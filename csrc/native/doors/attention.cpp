#include "../attention.h"

#include <algorithm>
#include <cstring>

#include "../arrays.h"
#include "../doors.h"

namespace {

constexpr npy_intp chunk = 256;  // queries, between which it costs little to pack keys and values anew

// Batch, heads, rows and columns of a stack of matrices with up to two leading dimensions.
struct Sizes {
    npy_intp each[4];

    bool operator==(const Sizes& other) const {
        return std::memcmp(each, other.each, sizeof each) == 0;
    }
};

// Missing dimensions are of size 1. False for what is no stack of floats.
template <class T>
bool read_heads(PyObject* object, int dtype, int least, Heads<T>& found, Sizes& sizes) {
    if (!PyArray_CheckExact(object)) {
        return false;
    }
    PyArrayObject* array = as_array(object);
    const int missing = 4 - PyArray_NDIM(array);
    if (PyArray_TYPE(array) != dtype || !PyArray_ISBEHAVED_RO(array) || missing < 0 ||
        missing > 4 - least) {
        return false;
    }
    int64_t strides[4];
    for (int i = 0; i < 4; ++i) {
        sizes.each[i] = i < missing ? 1 : PyArray_DIM(array, i - missing);
        strides[i] = sizes.each[i] == 1 ? 0 : PyArray_STRIDE(array, i - missing) / int64_t(sizeof(T));
    }
    strides[3] = sizes.each[3] == 1 ? 1 : strides[3];
    found = {static_cast<T*>(PyArray_DATA(array)), strides[0], strides[1], strides[2], strides[3]};
    return true;
}

// A mask of bools, or of floats to add, broadcast to ``sizes``.
bool read_mask(PyObject* object, Sizes sizes, Attention& of) {
    if (object == Py_None) {
        return true;
    }
    Sizes own;
    bool found = read_heads(object, NPY_FLOAT32, 1, of.added, own);
    if (found && own.each[3] == 1) {
        of.added.column = 0;
    }
    if (!found) {
        found = read_heads(object, NPY_BOOL, 1, of.seen, own);
        if (found && own.each[3] == 1) {
            of.seen.column = 0;
        }
    }
    for (int i = 0; i < 4; ++i) {
        found = found && (own.each[i] == 1 || own.each[i] == sizes.each[i]);
    }
    return found;
}

// A new array, whose dimensions are in memory in the order of ``model``'s.
PyObject* new_like(PyObject* model) {
    return PyArray_NewLikeArray(as_array(model), NPY_KEEPORDER, nullptr, 0);
}

// What both ways have in common: q, k, v and mask, and the options scale and causal.
bool read_call(PyObject* const* given, PyObject* scale, PyObject* causal, Attention& of,
               Sizes& scores) {
    Sizes q, k, v;
    if (scale == nullptr || !PyFloat_CheckExact(scale) || causal == nullptr ||
        !PyBool_Check(causal) || !read_heads(given[0], NPY_FLOAT32, 2, of.q, q) ||
        !read_heads(given[1], NPY_FLOAT32, 2, of.k, k) ||
        !read_heads(given[2], NPY_FLOAT32, 2, of.v, v)) {
        return false;
    }
    for (int i = 0; i < 4; ++i) {
        if (q.each[i] == 0 || k.each[i] == 0 || v.each[i] == 0 ||
            (i < 2 && (q.each[i] != k.each[i] || q.each[i] != v.each[i]))) {
            return false;
        }
    }
    const int dimensions = PyArray_NDIM(as_array(given[0]));
    if (q.each[3] != k.each[3] || k.each[2] != v.each[2] ||
        PyArray_NDIM(as_array(given[1])) != dimensions ||
        PyArray_NDIM(as_array(given[2])) != dimensions) {
        return false;
    }
    of.heads = q.each[1];
    of.queries = q.each[2];
    of.keys = k.each[2];
    of.inner = q.each[3];
    of.outer = v.each[3];
    of.scale = float(PyFloat_AS_DOUBLE(scale));
    of.causal = causal == Py_True;
    scores = {{q.each[0], q.each[1], q.each[2], k.each[2]}};
    return read_mask(given[3], scores, of);
}

// False, and an error, where there was no memory.
bool run_heads(const Entry& entry, Attention& of, int64_t items, int64_t each) {
    void* arrays[] = {&of};
    run_anyhow(entry.float32, arrays, nullptr, items, each);
    if (of.failed) {
        PyErr_NoMemory();
    }
    return !of.failed;
}

// attention(q, k, v, mask, scale, causal) -> (y, None, peaks and totals)
PyObject* attend(const Entry& entry, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    static const char* const names[] = {"scale", "causal"};
    PyObject* found[2] = {};
    Attention of{};
    Sizes scores, sizes;
    if (count != 4 || !read_keywords(keywords, given + count, names, found) ||
        !read_call(given, found[0], found[1], of, scores)) {
        return nullptr;
    }
    const npy_intp heads = scores.each[0] * scores.each[1];
    npy_intp ends[] = {2, heads * scores.each[2]};
    PyObject* kept = PyArray_SimpleNew(2, ends, NPY_FLOAT32);
    PyObject* y;
    if (of.inner == of.outer) {
        y = new_like(given[0]);
    } else {
        PyArrayObject* q = as_array(given[0]);
        npy_intp shape[4];
        std::memcpy(shape, PyArray_DIMS(q), size_t(PyArray_NDIM(q)) * sizeof *shape);
        shape[PyArray_NDIM(q) - 1] = npy_intp(of.outer);
        y = PyArray_SimpleNew(PyArray_NDIM(q), shape, NPY_FLOAT32);
    }
    PyObject* all = nullptr;
    if (kept != nullptr && y != nullptr) {
        read_heads(y, NPY_FLOAT32, 2, of.y, sizes);
        of.peaks = static_cast<float*>(memory_of(kept));
        of.totals = of.peaks + ends[1];
        of.chunk = chunk;
        of.chunks = (of.queries + chunk - 1) / chunk;
        if (run_heads(entry, of, heads * of.chunks, std::min(of.queries, of.chunk) * of.keys)) {
            all = PyTuple_Pack(3, y, Py_None, kept);
        }
    }
    Py_XDECREF(y);
    Py_XDECREF(kept);
    return all;
}

// attention_backward(g, q, k, v, mask, weights, ends, scale, causal, needs) -> (dq, dk, dv, None)
PyObject* attend_back(const Entry& entry, PyObject* const* given, Py_ssize_t count,
                      PyObject* keywords) {
    static const char* const names[] = {"scale", "causal", "needs"};
    PyObject* found[3] = {};
    Attention of{};
    Sizes scores, g, sizes;
    if (count != 7 || !read_keywords(keywords, given + count, names, found) || found[2] == nullptr ||
        !read_call(given + 1, found[0], found[1], of, scores) ||
        !read_heads(given[0], NPY_FLOAT32, 2, of.g, g) || given[5] != Py_None ||
        !is_float32(given[6], 2)) {
        return nullptr;
    }
    if (!PyTuple_CheckExact(found[2]) || PyTuple_GET_SIZE(found[2]) != 4 ||
        PyTuple_GET_ITEM(found[2], 3) != Py_False) {  // a mask's gradient is that of the scores
        return nullptr;
    }
    const npy_intp heads = scores.each[0] * scores.each[1], rows = heads * scores.each[2];
    PyArrayObject* kept = as_array(given[6]);
    const Sizes expected{{scores.each[0], scores.each[1], scores.each[2], npy_intp(of.outer)}};
    if (!(g == expected) || PyArray_DIM(kept, 0) != 2 || PyArray_DIM(kept, 1) != rows) {
        return nullptr;
    }
    of.peaks = static_cast<float*>(PyArray_DATA(kept));
    of.totals = of.peaks + rows;
    Heads<float>* to[] = {&of.dq, &of.dk, &of.dv};
    PyObject* results[3] = {};
    PyObject* all = nullptr;
    bool ready = true;
    for (int i = 0; i < 3; ++i) {
        results[i] = ready ? new_like(given[1 + i]) : nullptr;
        ready = ready && results[i] != nullptr && read_heads(results[i], NPY_FLOAT32, 2, *to[i], sizes);
    }
    if (ready && run_heads(entry, of, heads, of.queries * of.keys)) {
        all = PyTuple_Pack(4, results[0], results[1], results[2], Py_None);
    }
    for (PyObject* result : results) {
        Py_XDECREF(result);
    }
    return all;
}

}  // namespace

PyObject* attention(const Entry& entry, PyObject* const* given, Py_ssize_t count,
                    PyObject* keywords) {
    const bool back = std::strcmp(entry.keyword, "needs") == 0;
    return (back ? attend_back : attend)(entry, given, count, keywords);
}
