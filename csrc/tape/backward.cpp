// backward() of a tensor, with a gradient or without arguments: what tapegrad.autograd.backward does, for NumPy's arrays.
#include <new>
#include <vector>

#include "tape.h"

namespace {

// Sets a ContextVar, and puts it back.
struct Setting {
    PyObject *variable, *before = nullptr;
    bool is_set = false;
    explicit Setting(PyObject* of) : variable(of) {}
    bool set(PyObject* value) {
        if (PyContextVar_Get(variable, nullptr, &before) < 0) {
            return false;
        }
        Ref token(PyContextVar_Set(variable, value));
        is_set = bool(token);
        return is_set;
    }
    ~Setting() {
        if (is_set) {
            PyObject *type, *error, *trace;
            PyErr_Fetch(&type, &error, &trace);
            Py_XDECREF(PyContextVar_Set(variable, before));
            PyErr_Restore(type, error, trace);
        }
        Py_XDECREF(before);
    }
};

// A leaf that nobody watches: gradients go to its tensor, and that is all.
bool is_plain(PyObject* leaf) {
    return Py_IS_TYPE(leaf, engine.leaf) && !is_set(leaf_slot(leaf, engine.leaf_hooks)) &&
           !is_set(leaf_slot(leaf, engine.leaf_later_hooks)) && !is_set(leaf_slot(leaf, engine.leaf_aside));
}

bool has_hooks(PyObject* pending) {
    PyObject *leaf, *gradient;
    for (Py_ssize_t i = 0; PyDict_Next(pending, &i, &leaf, &gradient);) {
        if (!Py_IS_TYPE(leaf, engine.leaf) || is_set(leaf_slot(leaf, engine.leaf_hooks))) {
            return true;
        }
    }
    return false;
}

struct Delivery {
    Ref tensor, gradient;  // the tensor, and what its .grad is to be
};

// Prepares .grad of all leaves that have none yet. False where there is more to do, or an error.
bool prepare(PyObject* pending, std::vector<Delivery>& deliveries) {
    PyObject *leaf, *gradient;
    for (Py_ssize_t i = 0; PyDict_Next(pending, &i, &leaf, &gradient);) {
        if (!is_plain(leaf) || !PyArray_CheckExact(gradient)) {
            return false;
        }
        PyObject* weak = leaf_slot(leaf, engine.leaf_tensor);
        PyObject* object = weak && PyWeakref_Check(weak) ? PyWeakref_GetObject(weak) : Py_None;
        if (object == Py_None || !is_set(as_tensor(object)->node)) {
            continue;  // the tensor is gone, or asks for no gradient any more
        }
        Tensor* tensor = as_tensor(object);
        PyArrayObject* array = as_array(tensor->array);
        if (is_set(tensor->grad) || !tensor->array || !PyArray_CheckExact(tensor->array) ||
            tensor->device != leaf_slot(leaf, engine.leaf_device) ||
            dtype_of(tensor->array) != dtype_of(gradient) || !PyArray_SAMESHAPE(array, as_array(gradient))) {
            return false;
        }
        // Gradients must not share memory with each other or with the seed.
        const bool own = Py_REFCNT(gradient) == 1 && !PyArray_BASE(as_array(gradient));
        Ref mine = own ? Ref::to(gradient) : Ref(PyArray_NewCopy(as_array(gradient), NPY_CORDER));
        Ref shown(mine ? new_tensor(mine, tensor->device) : nullptr);
        if (!shown) {
            return false;
        }
        deliveries.push_back({Ref::to(object), std::move(shown)});
    }
    return true;
}

bool deliver(const Found& found) {
    try {
        std::vector<Delivery> deliveries;
        bool plain = PyList_GET_SIZE(found.retained) == 0 && prepare(found.pending, deliveries);
        for (const Delivery& each : deliveries) {  // (while it copied, another thread may have come)
            plain = plain && !is_set(as_tensor(each.tensor)->grad);
        }
        if (!plain) {
            deliveries.clear();
            return !PyErr_Occurred() && call(engine.deliver, found.pending, found.retained);
        }
        for (Delivery& each : deliveries) {
            std::swap(as_tensor(each.tensor)->grad, each.gradient.object);
        }
        return true;
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
        return false;
    }
}

bool call_all(PyObject* walk) {
    Ref later(PyObject_GetAttr(walk, names.at_end));
    if (!later || !PyList_Check(later.object)) {
        return false;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(later.object); ++i) {
        Ref function = Ref::to(PyList_GET_ITEM(later.object, i));
        if (!Ref(PyObject_CallNoArgs(function))) {
            return false;
        }
    }
    return true;
}

bool walk_and_settle(PyObject* node, PyObject* seed, PyObject* variable, PyObject* walk, const Found& found) {
    Setting recording(engine.recording), current(variable);
    if (!recording.set(Py_False) || !current.set(walk) || !walk_back(&node, &seed, 1, found, false)) {
        return false;
    }
    if ((PySet_GET_SIZE(found.wide) || has_hooks(found.pending)) &&
        !call(engine.settle, found.pending, found.wide, found.retained)) {
        return false;
    }
    return call_all(walk);
}

}  // namespace

// backward(tensor, gradient, variable, walk, one): with a gradient of the tensor's shape, or None of one
// element; ``walk`` is what the ContextVar ``variable`` has meanwhile, and ``one(device, dtype, shape)``
// the gradient to begin with where none is given. False where that is left to Python.
PyObject* backward(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 5 || !engine.ready || !is_tensor(given[0]) || !PyContextVar_CheckExact(given[2])) {
        PyErr_SetString(PyExc_TypeError, "backward(tensor, gradient, variable, walk, one)");
        return nullptr;
    }
    const Tensor* root = as_tensor(given[0]);
    if (!root->array || !PyArray_CheckExact(root->array) || !is_set(root->node) || !is_set(root->device) ||
        !is_quiet()) {
        return PyErr_Occurred() ? nullptr : Py_NewRef(Py_False);
    }
    PyArrayObject* array = as_array(root->array);
    Ref node = Ref::to(root->node), seed;
    if (given[1] == Py_None) {
        if (PyArray_SIZE(array) != 1) {
            return Py_NewRef(Py_False);
        }
        Ref shape(PyArray_IntTupleFromIntp(PyArray_NDIM(array), PyArray_DIMS(array)));
        seed = shape ? call(given[4], root->device, dtype_of(root->array), shape) : Ref();
    } else {
        PyObject* gradient = is_tensor(given[1]) ? as_tensor(given[1])->array : nullptr;
        if (!gradient || !PyArray_CheckExact(gradient) || !PyArray_SAMESHAPE(as_array(gradient), array) ||
            as_tensor(given[1])->device != root->device) {
            return Py_NewRef(Py_False);
        }
        seed = Ref::to(gradient);
    }
    Ref pending(PyDict_New()), wide(PySet_New(nullptr)), retained(PyList_New(0));
    if (!seed || !pending || !wide || !retained) {
        return nullptr;
    }
    const Found found{pending, wide, retained};
    if (!walk_and_settle(node, seed, given[2], given[3], found)) {
        return nullptr;
    }
    seed = Ref();
    return deliver(found) ? Py_NewRef(Py_True) : nullptr;
}
