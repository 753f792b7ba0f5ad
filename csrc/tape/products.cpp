// Doors to matrix products.
#include "doors.h"

#include <algorithm>

namespace {

bool do_multiply(PyArrayObject* a, PyArrayObject* b) {
    const int of_a = a ? PyArray_NDIM(a) : 0, of_b = b ? PyArray_NDIM(b) : 0;
    return of_a >= 2 && of_b >= 2 && is_float(a) && PyArray_DESCR(a) == PyArray_DESCR(b) &&
           PyArray_DIM(a, of_a - 1) == PyArray_DIM(b, of_b - 2);
}

PyObject* product_of_two(Used& used, PyObject* const* tensors) {
    Operands operands(*used.caller);
    if (!operands.read(tensors) || !is_quiet()) {
        return nullptr;
    }
    PyArrayObject *a = as_array(operands.values[0]), *b = as_array(operands.values[1]);
    if (!is_small_product(PyArray_SIZE(a), PyArray_DIM(b, 1)) || !used.runs_body(operands.device)) {
        return run_used(used, tensors[0], tensors[1]);
    }
    Ref value(multiply_matrices(operands.values[0], operands.values[1]));
    return value ? finish(operands, std::move(value), nullptr, nullptr) : nullptr;
}

// Of a stack and a matrix: one product of all rows.
PyObject* product_of_rows(Door& door, PyObject* const* tensors, PyArrayObject* a, PyArrayObject* b) {
    Sizes rows, whole;
    whole.count = PyArray_NDIM(a);
    std::copy_n(PyArray_DIMS(a), whole.count, whole.values);
    const npy_intp inner = PyArray_DIM(b, 0);
    whole.values[whole.count - 1] = PyArray_DIM(b, 1);
    rows.count = 2;
    rows.values[0] = PyArray_SIZE(a) / inner;
    rows.values[1] = inner;
    Ref flat(reshaped(door.used[1], tensors[0], rows));
    PyObject* const operands[] = {flat, tensors[1]};
    Ref product(flat ? product_of_two(door.used[0], operands) : nullptr);
    Ref result(product ? reshaped(door.used[1], product, whole) : nullptr);
    if (result) {
        Py_CLEAR(as_tensor(result)->base);  // of which nobody else has seen anything
    }
    return result.release();
}

// The tensor with a dimension of size 1 put in, or taken out.
PyObject* with_one(Used& reshape, PyObject* tensor, int axis, bool in) {
    PyArrayObject* x = array_in(tensor);
    Sizes shape;
    for (int i = 0; i < PyArray_NDIM(x) + in; ++i) {
        if (in && i == axis) {
            shape.values[shape.count++] = 1;
        } else if (in || i != axis) {
            shape.values[shape.count++] = PyArray_DIM(x, i - (in && i > axis));
        }
    }
    return reshaped(reshape, tensor, shape);
}

// Of matrices, of a stack with one, or as large a stack of them. Used are matmul and reshape.
PyObject* product_of_matrices(Door& door, PyObject* const* tensors) {
    PyArrayObject *a = array_in(tensors[0]), *b = array_in(tensors[1]);
    if (!do_multiply(a, b) || PyArray_NDIM(a) > most_axes) {
        return nullptr;
    }
    if (PyArray_NDIM(b) == 2 && PyArray_NDIM(a) > 2) {
        return PyArray_SIZE(a) > 0 ? product_of_rows(door, tensors, a, b) : nullptr;
    }
    const bool alike = PyArray_NDIM(a) == PyArray_NDIM(b) &&
                       std::equal(PyArray_DIMS(a), PyArray_DIMS(a) + PyArray_NDIM(a) - 2, PyArray_DIMS(b));
    return alike ? product_of_two(door.used[0], tensors) : nullptr;
}

// Whether a vector, as a row on the left or a column on the right, and another are multiplied here.
bool do_multiply_vector(Door& door, PyObject* first, PyObject* second) {
    if (!are_combined(door, {first, second}) || !door.used[1].runs_body(as_tensor(first)->device)) {
        return false;
    }
    PyArrayObject *a = array_in(first), *b = array_in(second);
    const int of_a = PyArray_NDIM(a), of_b = PyArray_NDIM(b);
    return of_a > 0 && of_a < most_axes && (of_b == 1 || of_b == 2) && PyArray_SIZE(a) > 0 &&
           PyArray_DIM(a, of_a - 1) == PyArray_DIM(b, 0);
}

// The same as of matrices, where vectors are rows and columns.
PyObject* product(Door& door, PyObject* first, PyObject* second) {
    PyArrayObject *a = array_in(first), *b = array_in(second);
    const bool row = a && PyArray_NDIM(a) == 1, column = b && PyArray_NDIM(b) == 1;
    if (!row && !column) {
        PyObject* const tensors[] = {first, second};
        return product_of_matrices(door, tensors);
    }
    if (!do_multiply_vector(door, first, second)) {
        return nullptr;
    }
    if (column && PyArray_NDIM(a) == 2 && PyArray_ISCARRAY_RO(a) && PyArray_ISCARRAY_RO(b)) {
        Used& used = door.used[0];
        Operands operands(*used.caller);
        PyObject* const tensors[] = {first, second};
        if (!operands.read(tensors)) {
            return nullptr;
        }
        // Nothing is recorded: the column and the result that is one need not be made.
        if (!operands.wanted && is_small_product(PyArray_SIZE(a), 1) && used.runs_body(operands.device)) {
            Ref value(multiply_matrices(operands.values[0], operands.values[1]));
            return value && leave_viewed(second) ? finish(operands, std::move(value), nullptr, nullptr) : nullptr;
        }
    }
    Used& reshape = door.used[1];
    Ref left = row ? Ref(with_one(reshape, first, 0, true)) : Ref::to(first);
    Ref right = column ? Ref(with_one(reshape, second, 1, true)) : Ref::to(second);
    PyObject* const tensors[] = {left, right};
    Ref y(left && right ? product_of_matrices(door, tensors) : nullptr);
    if (y && row) {
        y = Ref(with_one(reshape, y, PyArray_NDIM(array_in(y)) - 2, false));
    }
    if (y && column) {
        y = Ref(with_one(reshape, y, PyArray_NDIM(array_in(y)) - 1, false));
    }
    if (y) {
        Py_CLEAR(as_tensor(y)->base);  // of which nobody else has seen anything
    }
    return y.release();
}

// matmul(input, other)
PyObject* serve_matmul(Door& door, const Given& given) {
    return given.count == 2 && !given.keywords ? product(door, given.values[0], given.values[1]) : nullptr;
}

bool has_dimensions(PyObject* object, int dimensions) {
    PyArrayObject* array = array_in(object);
    return array && PyArray_NDIM(array) == dimensions;
}

// The same of so many dimensions.
template <int of_a, int of_b>
PyObject* serve_product(Door& door, const Given& given) {
    PyObject* places[2];
    const char* const second = of_b > 1 ? "mat2" : of_a > 1 ? "vec" : "tensor";
    const bool fits = given.place({"input", second}, places) && has_dimensions(places[0], of_a) &&
                      has_dimensions(places[1], of_b);
    return fits ? product(door, places[0], places[1]) : nullptr;
}

// The factor that an argument says, 1 by default; false for what is no number, and for 0.
bool read_factor(PyObject* given, double& factor) {
    factor = 1;
    return (!given || is_number(given, factor)) && factor != 0;
}

// addmm(input, mat1, mat2, beta, alpha): used are matmul, reshape, broadcast_to, multiply and add
template <int of_a, int of_b>
PyObject* serve_added(Door& door, const Given& given) {
    PyObject* places[5];
    double beta, alpha;
    const char* const first = of_a == 3 ? "batch1" : of_b == 2 ? "mat1" : "mat";
    const char* const second = of_a == 3 ? "batch2" : of_b == 2 ? "mat2" : "vec";
    if (!given.place({"input", first, second, "beta", "alpha"}, places, 3) ||
        !has_dimensions(places[1], of_a) || !has_dimensions(places[2], of_b) || !read_factor(places[3], beta) ||
        !read_factor(places[4], alpha) || !are_combined(door, {places[1], places[0], places[2]}) ||
        !door.used[2].runs_body(as_tensor(places[1])->device)) {
        return nullptr;
    }
    PyArrayObject *x = array_in(places[0]), *a = array_in(places[1]), *b = array_in(places[2]);
    Sizes shape, common;
    shape.read(a);
    shape.count -= of_b == 1;
    if (of_b > 1) {
        shape.values[shape.count - 1] = PyArray_DIM(b, of_b - 1);
    }
    common = shape;
    if (PyArray_NDIM(x) > shape.count || !common.spread(x) ||
        !std::equal(shape.values, shape.values + shape.count, common.values)) {
        return nullptr;
    }
    Ref y(product(door, places[1], places[2]));
    Ref base(y ? broadcast(door.used[2], places[0], shape) : nullptr);
    if (base && alpha != 1) {
        y = Ref(run_used(door.used[3], y, places[4]));
    }
    if (base && beta != 1) {
        base = Ref(run_used(door.used[3], base, places[3]));
    }
    return base && y ? run_used(door.used[4], base, y) : nullptr;
}

// outer(input, vec2): used are multiply and reshape
PyObject* serve_outer(Door& door, const Given& given) {
    PyObject* places[2];
    if (!given.place({"input", "vec2"}, places) || !has_dimensions(places[0], 1) ||
        !has_dimensions(places[1], 1) || !are_combined(door, {places[0], places[1]}) ||
        !door.used[1].runs_body(as_tensor(places[0])->device)) {
        return nullptr;
    }
    Ref column(with_one(door.used[1], places[0], 1, true)), row(with_one(door.used[1], places[1], 0, true));
    return column && row ? run_used(door.used[0], column, row) : nullptr;
}

// linear(input, weight, bias)
PyObject* serve_linear(Door& door, const Given& given) {
    PyObject* places[3];
    if (!given.place({"input", "weight", "bias"}, places)) {
        return nullptr;
    }
    PyArrayObject *x = array_in(places[0]), *w = array_in(places[1]);
    if (!x || !w || !is_float(x) || PyArray_DESCR(x) != PyArray_DESCR(w) ||
        PyArray_NDIM(x) < 2 || PyArray_NDIM(x) > most_axes || PyArray_SIZE(x) == 0 ||
        PyArray_NDIM(w) != 2 || PyArray_DIM(x, PyArray_NDIM(x) - 1) != PyArray_DIM(w, 1)) {
        return nullptr;
    }
    PyArrayObject* b = nullptr;
    if (!is_set(places[2])) {
        places[2] = Py_None;
    } else {
        b = array_in(places[2]);
        if (!b || PyArray_DESCR(b) != PyArray_DESCR(x) || PyArray_NDIM(b) != 1 ||
            PyArray_DIM(b, 0) != PyArray_DIM(w, 0)) {
            return nullptr;
        }
    }
    Used& used = door.used[0];
    Operands operands(*used.caller);
    if (!operands.read(places) || !is_quiet()) {
        return nullptr;
    }
    if (!is_small_product(PyArray_SIZE(x), PyArray_DIM(w, 0)) || !used.runs_body(operands.device)) {
        return run_used(used, places[0], places[1], places[2]);
    }
    const int dimensions = PyArray_NDIM(x);
    npy_intp shape[most_axes] = {PyArray_SIZE(x) / PyArray_DIM(w, 1), PyArray_DIM(w, 1)};
    PyArray_Dims rows = {shape, 2};
    Ref left = dimensions == 2 ? Ref::to(operands.values[0]) : Ref(PyArray_Newshape(x, &rows, NPY_CORDER));
    Ref right(PyArray_Transpose(w, nullptr));
    Ref value(left && right ? multiply_matrices(left, right) : nullptr);
    if (!value || (b && !add_row(value, operands.values[2]))) {
        return nullptr;
    }
    if (dimensions > 2) {
        std::copy_n(PyArray_DIMS(x), dimensions, shape);
        shape[dimensions - 1] = PyArray_DIM(w, 0);
        PyArray_Dims whole = {shape, dimensions};
        value = Ref(PyArray_Newshape(as_array(value), &whole, NPY_CORDER));
        if (!value) {
            return nullptr;
        }
    }
    return finish(operands, std::move(value), nullptr, nullptr);
}

}  // namespace

const DoorEntry product_doors[] = {
    {"linalg.addmm.addmm", serve_added<2, 2>, {"matmul", "reshape", "broadcast_to", "multiply", "add"}},
    {"linalg.addmm.addmv", serve_added<2, 1>, {"matmul", "reshape", "broadcast_to", "multiply", "add"}},
    {"linalg.addmm.baddbmm", serve_added<3, 3>, {"matmul", "reshape", "broadcast_to", "multiply", "add"}},
    {"linalg.matmul.bmm", serve_product<3, 3>, {"matmul", "reshape"}},
    {"linalg.matmul.dot", serve_product<1, 1>, {"matmul", "reshape"}},
    {"linalg.matmul.linear", serve_linear, {"linear"}},
    {"linalg.matmul.matmul", serve_matmul, {"matmul", "reshape"}},
    {"linalg.matmul.mm", serve_product<2, 2>, {"matmul", "reshape"}},
    {"linalg.matmul.mv", serve_product<2, 1>, {"matmul", "reshape"}},
    {"linalg.products.outer", serve_outer, {"multiply", "reshape"}},
    {nullptr, nullptr, {}},
};
