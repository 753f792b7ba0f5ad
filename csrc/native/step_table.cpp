// Steps of optimizers, for all parameters at once.
#include "step_table.h"

#include <algorithm>
#include <new>
#include <vector>

#include "level.h"
#include "pool.h"

namespace {

struct Parameter {
    Loop loop;
    int count;
    PyObject* owners[max_arrays];
    void* arrays[max_arrays];
    double numbers[max_numbers];
};

struct Range {
    const char *begin, *end;
};

// Whether any two of them share memory; sorts them.
bool overlap(Range* begin, Range* end) {
    std::sort(begin, end, [](const Range& a, const Range& b) { return a.begin < b.begin; });
    for (Range* each = begin; each + 1 < end; ++each) {
        if (each[1].begin < each->end) {
            return true;
        }
    }
    return false;
}

struct Piece {
    size_t parameter;
    int64_t begin, end;
};

struct Table {
    std::vector<Parameter> parameters;
    std::vector<Piece> pieces;
    std::vector<Range> ranges;  // of all arrays

    void add(const Parameter& parameter, int64_t size, size_t bytes) {
        parameters.push_back(parameter);
        for (int i = 0; i < parameter.count; ++i) {
            Py_INCREF(parameter.owners[i]);
        }
        for (int i = 0; i < parameter.count; ++i) {
            const char* begin = static_cast<const char*>(parameter.arrays[i]);
            ranges.push_back({begin, begin + bytes});
        }
        for (int64_t begin = 0; begin < size; begin += piece) {
            pieces.push_back({parameters.size() - 1, begin, std::min(begin + piece, size)});
        }
    }

    void step(const Piece& each) const {
        const Parameter& of = parameters[each.parameter];
        of.loop(of.arrays, of.numbers, each.begin, each.end);
    }

    // Steps of parameters that share memory are made one by one, in order.
    void run() {
        if (overlap(ranges.data(), ranges.data() + ranges.size())) {
            for (const Piece& each : pieces) {
                step(each);
            }
        } else {
            const auto work = [](void* self, int64_t i) {
                const Table& table = *static_cast<const Table*>(self);
                table.step(table.pieces[size_t(i)]);
            };
            in_parallel(int64_t(pieces.size()), work, this);
        }
    }
};

struct TableObject {
    PyObject_HEAD
    Table table;
};

Table& table_of(PyObject* self) { return reinterpret_cast<TableObject*>(self)->table; }

PyObject* new_table(PyTypeObject* type, PyObject*, PyObject*) {
    PyObject* self = type->tp_alloc(type, 0);
    if (self != nullptr) {
        new (&table_of(self)) Table;
    }
    return self;
}

void delete_table(PyObject* self) {
    for (const Parameter& each : table_of(self).parameters) {
        for (PyObject* owner : each.owners) {
            Py_XDECREF(owner);
        }
    }
    table_of(self).~Table();
    PyTypeObject* type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

const Entry* find_step(PyObject* name) {
    for (int i = 0; i < level->steps.count; ++i) {
        if (PyUnicode_CompareWithASCIIString(name, level->steps.each[i].name) == 0) {
            return &level->steps.each[i];
        }
    }
    return nullptr;
}

// The loop for these arrays: of one dtype and size, contiguous, nowhere the same memory. Null where
// there is none; PyErr_Occurred() never.
Loop loop_for(const Entry& step, PyObject* const* arrays) {
    Range ranges[max_arrays];
    PyArrayObject* param = reinterpret_cast<PyArrayObject*>(arrays[0]);
    for (int i = 0; i < step.arrays; ++i) {
        PyArrayObject* array = reinterpret_cast<PyArrayObject*>(arrays[i]);
        const bool readable = PyArray_Check(arrays[i]) && PyArray_ISCARRAY_RO(array);
        if (!readable || !(i == 1 || PyArray_ISWRITEABLE(array)) ||
            PyArray_TYPE(array) != PyArray_TYPE(param) ||
            PyArray_SIZE(array) != PyArray_SIZE(param)) {
            return nullptr;
        }
        ranges[i] = {PyArray_BYTES(array), PyArray_BYTES(array) + PyArray_NBYTES(array)};
    }
    if (overlap(ranges, ranges + step.arrays)) {
        return nullptr;
    }
    const int dtype = PyArray_TYPE(param);
    return dtype == NPY_FLOAT32 ? step.float32 : dtype == NPY_FLOAT64 ? step.float64 : nullptr;
}

// The step of this name, with these numbers; null with an error if there is none.
const Entry* read_step(PyObject* name, PyObject* numbers, Parameter& parameter) {
    const bool called = PyUnicode_Check(name) && PyTuple_Check(numbers);
    const Entry* step = called && level != nullptr ? find_step(name) : nullptr;
    if (step == nullptr || PyTuple_GET_SIZE(numbers) != step->numbers) {
        PyErr_SetString(PyExc_TypeError, "there is no such step, or it takes other numbers");
        return nullptr;
    }
    for (int i = 0; i < step->numbers; ++i) {
        parameter.numbers[i] = PyFloat_AsDouble(PyTuple_GET_ITEM(numbers, i));
        if (parameter.numbers[i] == -1.0 && PyErr_Occurred()) {
            return nullptr;
        }
    }
    parameter.count = step->arrays;
    return step;
}

// 1 where the step of these arrays was added, 0 where there is no loop for them, -1 with an error.
int add_arrays(Table& table, const Entry& step, Parameter& parameter, PyObject* const* arrays) {
    parameter.loop = loop_for(step, arrays);
    if (parameter.loop == nullptr) {
        return 0;
    }
    for (int i = 0; i < parameter.count; ++i) {
        parameter.owners[i] = arrays[i];
        parameter.arrays[i] = PyArray_DATA(reinterpret_cast<PyArrayObject*>(arrays[i]));
    }
    PyArrayObject* first = reinterpret_cast<PyArrayObject*>(arrays[0]);
    try {
        table.add(parameter, PyArray_SIZE(first), size_t(PyArray_NBYTES(first)));
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
        return -1;
    }
    return 1;
}

// add(name, numbers, parameter, gradient, *kept): NotImplemented, where there is no loop for them.
PyObject* add_step(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    Parameter parameter{};
    const Entry* step = count > 2 ? read_step(given[0], given[1], parameter) : nullptr;
    if (step == nullptr || count - 2 != step->arrays) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError,
                            "add(name, numbers, parameter, gradient, *kept): it takes other arrays");
        }
        return nullptr;
    }
    const int added = add_arrays(table_of(self), *step, parameter, given + 2);
    return added < 0 ? nullptr : Py_NewRef(added ? Py_None : Py_NotImplemented);
}

// add_all(name, numbers, rows), of tuples (parameter, gradient, *kept): the numbers of those rows for
// which there is no loop.
PyObject* add_steps(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    Parameter parameter{};
    const bool called = count == 3 && PyList_Check(given[2]);
    const Entry* step = called ? read_step(given[0], given[1], parameter) : nullptr;
    PyObject* declined = step == nullptr ? nullptr : PyList_New(0);
    for (Py_ssize_t i = 0; declined != nullptr && i < PyList_GET_SIZE(given[2]); ++i) {
        PyObject* row = PyList_GET_ITEM(given[2], i);
        const bool fits = PyTuple_Check(row) && PyTuple_GET_SIZE(row) == step->arrays;
        const int added =
            fits ? add_arrays(table_of(self), *step, parameter, &PyTuple_GET_ITEM(row, 0)) : 0;
        PyObject* number = added == 0 ? PyLong_FromSsize_t(i) : nullptr;
        if (added < 0 || (added == 0 && (number == nullptr || PyList_Append(declined, number) < 0))) {
            Py_CLEAR(declined);
        }
        Py_XDECREF(number);
    }
    if (declined == nullptr && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_TypeError, "add_all(name, numbers, rows)");
    }
    return declined;
}

PyObject* run_steps(PyObject* self, PyObject*) {
    Table& table = table_of(self);
    Py_BEGIN_ALLOW_THREADS;
    table.run();
    Py_END_ALLOW_THREADS;
    Py_RETURN_NONE;
}

PyMethodDef table_methods[] = {
    {"add", method(add_step), METH_FASTCALL,
     "add(name, numbers, parameter, gradient, *kept): NotImplemented where there is no loop."},
    {"add_all", method(add_steps), METH_FASTCALL,
     "add_all(name, numbers, rows): the numbers of those for which there is no loop."},
    {"run", run_steps, METH_NOARGS, "Make all steps that were added."},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot table_slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(new_table)},
    {Py_tp_dealloc, reinterpret_cast<void*>(delete_table)},
    {Py_tp_methods, table_methods},
    {Py_tp_doc, const_cast<char*>("Steps of optimizers, to be made in one call.")},
    {0, nullptr},
};

PyType_Spec table_spec = {"tapegrad._native.Steps", sizeof(TableObject), 0, Py_TPFLAGS_DEFAULT,
                          table_slots};

}  // namespace

PyObject* make_steps_type() { return PyType_FromSpec(&table_spec); }
