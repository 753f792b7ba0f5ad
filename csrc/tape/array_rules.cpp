// Rules in C of views, sums, products, joins and choices. They compute as the rules in Python do on
// the CPU, of which the results have the same bits; larger arrays are left to those.
#include "doors.h"

#include <algorithm>

namespace {

// The shape of what an edge leads to.
bool read_shape(const Node* node, int i, Sizes& shape) {
    PyObject *edge = edge_of(node, i), *tuple = nullptr;
    if (!edge || !is_cpu(node)) {
        return false;
    }
    if (Py_IS_TYPE(edge, engine.leaf)) {
        tuple = leaf_slot(edge, engine.leaf_shape);
    } else if (is_node(edge)) {
        const Node* from = as_node(edge);
        tuple = from->shape;
        if (from->dimensions >= 0) {
            shape.count = from->dimensions;
            std::copy_n(from->sizes, shape.count, shape.values);
            return true;
        }
    }
    return tuple && PyTuple_Check(tuple) && shape.read(&tuple, 1);
}

bool is_floats(PyObject* g) { return PyArray_CheckExact(g) && is_float(as_array(g)); }

PyObject* of_reshape(const Node* node, int i, PyObject* g) {
    Sizes shape;
    if (!PyArray_CheckExact(g) || !read_shape(node, i, shape)) {
        return nullptr;
    }
    PyArray_Dims sizes = {shape.values, shape.count};
    return PyArray_Newshape(as_array(g), &sizes, NPY_CORDER);
}

PyObject* of_transpose(const Node* node, int, PyObject* g) {
    PyObject* axes = kept_of(node, 2);
    Sizes order, back;
    if (!axes || !PyArray_CheckExact(g) || !is_cpu(node) || !order.read(&axes, 1) ||
        order.count != PyArray_NDIM(as_array(g))) {
        return nullptr;
    }
    back.count = order.count;
    for (int i = 0; i < order.count; ++i) {
        if (order.values[i] < 0 || order.values[i] >= order.count) {
            return nullptr;
        }
        back.values[order.values[i]] = i;
    }
    PyArray_Dims permutation = {back.values, back.count};
    return PyArray_Transpose(as_array(g), &permutation);
}

// A gradient, divided by how many were reduced if ``mean``, repeated over what was.
PyObject* expanded(const Node* node, int i, PyObject* g, bool mean) {
    Sizes shape;
    PyObject* axes = kept_of(node, 2);
    unsigned reduced;
    if (!axes || !is_floats(g) || !read_shape(node, i, shape) || !read_axes(axes, shape.count, reduced)) {
        return nullptr;
    }
    if (PyTuple_Check(axes) && PyTuple_GET_SIZE(axes) == 0) {  // those of a 0-d tensor
        reduced = 0;
    }
    return expand(as_array(g), shape, reduced, mean);
}

PyObject* of_sum(const Node* node, int i, PyObject* g) { return expanded(node, i, g, false); }
PyObject* of_mean(const Node* node, int i, PyObject* g) { return expanded(node, i, g, true); }

// A factor of a product of matrices: the one that the rule asks for.
PyObject* factor(const Node* node, int i, PyObject* g) {
    PyObject* other = kept_of(node, 1 + i);
    const bool fits = other && is_floats(g) && PyArray_CheckExact(other) && is_cpu(node) &&
                      dtype_of(other) == dtype_of(g) && PyArray_NDIM(as_array(g)) == 2 &&
                      PyArray_NDIM(as_array(other)) == 2;
    return fits ? other : nullptr;
}

PyObject* product_with(PyObject* a, PyObject* b) { return a && b ? multiply_matrices(a, b) : nullptr; }

Ref transposed(PyObject* matrix) { return Ref(PyArray_Transpose(as_array(matrix), nullptr)); }

PyObject* of_matmul(const Node* node, int i, PyObject* g) {
    PyObject* other = factor(node, 1 - i, g);
    if (!other) {
        return nullptr;
    }
    return i == 0 ? product_with(g, transposed(other)) : product_with(transposed(other), g);
}

PyObject* of_linear(const Node* node, int i, PyObject* g) {
    if (i == 2) {
        if (!PyArray_CheckExact(g) || PyArray_NDIM(as_array(g)) != 2) {
            return nullptr;
        }
        Ref sum = is_floats(g) && is_cpu(node) ? sum_small(as_array(g), 1u, false, false) : Ref();
        if (sum || PyErr_Occurred()) {
            return sum.release();
        }
        Ref xp(PyObject_GetAttr(node->device, names.xp));
        Ref column_sum(xp ? PyObject_GetAttrString(xp, "column_sum") : nullptr);
        return column_sum ? call(column_sum, g).release() : nullptr;
    }
    PyObject* other = factor(node, 1 - i, g);
    if (!other) {
        return nullptr;
    }
    return i == 0 ? product_with(g, other) : product_with(transposed(g), other);
}

// Along the axis that a join was made.
PyObject* joined_part(const Node* node, PyObject* g, npy_intp start, npy_intp length, bool drop) {
    PyObject* along = kept_of(node, 2);
    npy_intp axis;
    if (!PyArray_CheckExact(g) || !is_cpu(node) || !read_int(along, axis) || axis < 0 ||
        axis >= PyArray_NDIM(as_array(g)) || start + length > PyArray_DIM(as_array(g), int(axis))) {
        return nullptr;
    }
    Place place;
    for (int k = 0; k < PyArray_NDIM(as_array(g)); ++k) {
        const npy_intp stride = PyArray_STRIDE(as_array(g), k);
        if (k == axis) {
            place.offset = length ? start * stride : 0;
        }
        if (k != axis || !drop) {
            place.shape[place.dimensions] = k == axis ? length : PyArray_DIM(as_array(g), k);
            place.strides[place.dimensions++] = stride;
        }
    }
    return place.view(g).release();
}

PyObject* of_concatenate(const Node* node, int i, PyObject* g) {
    PyObject* sizes = kept_of(node, 3);
    npy_intp start = 0, length = 0;
    for (int k = 0; k <= i; ++k) {
        start += length;
        if (!sizes || !PyTuple_Check(sizes) || k >= PyTuple_GET_SIZE(sizes) ||
            !read_int(PyTuple_GET_ITEM(sizes, k), length)) {
            return nullptr;
        }
    }
    return joined_part(node, g, start, length, false);
}

PyObject* of_stack(const Node* node, int i, PyObject* g) { return joined_part(node, g, i, 1, true); }

PyObject* of_where(const Node* node, int i, PyObject* g) {
    PyObject* condition = kept_of(node, 1);
    const bool fits = condition && PyArray_CheckExact(condition) && is_cpu(node) &&
                      PyArray_TYPE(as_array(condition)) == NPY_BOOL;
    return fits ? keep_where(condition, g, i == 1) : nullptr;
}

PyObject* of_clip(const Node* node, int, PyObject* g) {
    PyObject *x = kept_of(node, 1), *low = kept_of(node, 2), *high = kept_of(node, 3);
    double least, most;
    if (!x || !low || !high || !is_cpu(node) || !is_number(low, least) || !is_number(high, most)) {
        return nullptr;
    }
    return keep_between(x, least, most, g);
}

PyObject* of_exp(const Node* node, int, PyObject* g) {
    PyObject* const operands[] = {g, kept_of(node, 0)};
    return operands[1] ? multiply_two(operands) : nullptr;
}

PyObject* of_square(const Node* node, int, PyObject* g) {
    PyObject* x = kept_of(node, 1);
    static PyObject* const two = PyLong_FromLong(2);
    PyObject* const first[] = {two, g};
    Ref twice(x && is_floats(g) ? multiply_two(first) : nullptr);
    PyObject* const second[] = {twice, x};
    return twice ? multiply_two(second) : nullptr;
}

}  // namespace

bool is_cpu(const Node* node) {
    static PyObject* known = nullptr;
    if (node->device == known) {
        return true;
    }
    Ref type(PyObject_GetAttrString(node->device, "type"));
    if (!type || !PyUnicode_Check(type.object) || PyUnicode_CompareWithASCIIString(type, "cpu") != 0) {
        PyErr_Clear();
        return false;
    }
    known = node->device;
    return true;
}

const RuleEntry array_rules[] = {
    {"clip", of_clip},           {"concatenate", of_concatenate}, {"exp", of_exp},
    {"linear", of_linear},       {"matmul", of_matmul},           {"mean", of_mean},
    {"reshape", of_reshape},     {"square", of_square},           {"stack", of_stack},
    {"sum", of_sum},             {"transpose", of_transpose},     {"where", of_where},
    {nullptr, nullptr},
};

PyObject* part_for(const Node* node, PyObject* buffer) {
    PyObject* index = kept_of(node, 2);
    Place place;
    if (!index || !is_cpu(node) || !place.find(as_array(buffer), index)) {
        return nullptr;
    }
    return place.view(buffer).release();
}
