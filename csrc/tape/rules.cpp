// Rules in C, of primitives whose gradients are a function or two of arrays.
#include "tape.h"

namespace {

PyObject* of_add(const Node*, int, PyObject* g) { return Py_NewRef(g); }

PyObject* of_negative(const Node*, int, PyObject* g) { return negate(&g); }

PyObject* of_subtract(const Node*, int i, PyObject* g) { return i == 0 ? Py_NewRef(g) : negate(&g); }

PyObject* of_multiply(const Node* node, int i, PyObject* g) {
    PyObject* const operands[] = {g, kept_of(node, 2 - i)};
    return operands[1] ? multiply_two(operands) : nullptr;
}

}  // namespace

Gradient* find_gradient(const char* name) {
    static const RuleEntry own[] = {{"add", of_add},
                                    {"broadcast_to", of_add},  // the engine sums
                                    {"multiply", of_multiply},
                                    {"negative", of_negative},
                                    {"subtract", of_subtract},
                                    {nullptr, nullptr}};
    for (const RuleEntry* entry : {own, array_rules, fold_rules}) {
        if (const RuleEntry* found = find_entry(entry, name)) {
            return found->gradient;
        }
    }
    return nullptr;
}

PyObject* call_named(const Node* node, int i, PyObject* g, PyObject* xp) {
    PyObject* rule = PyTuple_GET_ITEM(reinterpret_cast<Caller*>(node->caller)->named, i);
    if (rule == Py_None) {
        return nullptr;
    }
    PyObject *places = PyTuple_GET_ITEM(rule, 1), *keywords = PyTuple_GET_ITEM(rule, 2);
    const Py_ssize_t count = PyTuple_GET_SIZE(places);
    Ref function(PyObject_GetAttr(xp, PyTuple_GET_ITEM(rule, 0)));
    PyObject* given[1 + most_arguments];
    if (!function || count > most_arguments) {
        return nullptr;
    }
    for (Py_ssize_t place = 0; place < count; ++place) {
        const long at = PyLong_AsLong(PyTuple_GET_ITEM(places, place));
        PyObject* kept = at < 0 ? g : kept_of(node, int(at));
        given[1 + place] = kept ? kept : Py_None;
    }
    const Py_ssize_t positional = count - PyTuple_GET_SIZE(keywords);
    return PyObject_Vectorcall(function, given + 1, size_t(positional) | PY_VECTORCALL_ARGUMENTS_OFFSET,
                               PyTuple_GET_SIZE(keywords) ? keywords : nullptr);
}
