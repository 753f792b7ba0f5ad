// Calls of primitives: what the compiled functions of tapegrad.core.caller do with NumPy's arrays,
// for a fixed number of inputs and one result. All else is left to those functions, which are the
// definition: mixed dtypes and devices, other numbers, errors, CuPy's arrays.
#include "tape.h"

#include <algorithm>
#include <cstring>

namespace {

// ---- the inputs ----

// Elementwise: of one floating dtype, or beside a number that takes the dtype of the other.
bool fit_together(const Operands& operands) {
    const Caller& caller = operands.caller;
    const int first = operands.tensors[0] ? 0 : 1;
    PyArray_Descr* dtype = PyArray_DESCR(as_array(operands.values[first]));
    if (caller.floating && dtype->kind != 'f' && dtype->kind != 'V') {
        return false;
    }
    if (caller.inputs == 1) {
        return operands.tensors[0];
    }
    PyObject* other = operands.values[1 - first];
    if (operands.tensors[1 - first]) {
        return dtype_of(other) == reinterpret_cast<PyObject*>(dtype);
    }
    return is_float_type(dtype->type_num) && (PyFloat_CheckExact(other) || PyLong_CheckExact(other));
}

// ---- the result ----

// An array, as device.asarray makes it of what the implementation returned.
Ref as_result(Ref value, PyObject* device) {
    if (!value || PyArray_CheckExact(value.object)) {
        return value;
    }
    if (PyArray_IsScalar(value.object, Generic)) {
        return Ref(PyArray_FromScalar(value, nullptr));
    }
    return Ref(PyObject_CallMethodOneArg(device, names.asarray, value));
}

// The array or object that an array's memory belongs to; null where only Python can tell.
PyObject* memory_of(PyObject* array) {
    while (PyObject* base = PyArray_BASE(as_array(array))) {
        if (!PyArray_Check(base)) {
            return PyBytes_Check(base) || PyMemoryView_Check(base) ? base : nullptr;
        }
        array = base;
    }
    return array;
}

// -1 with an error.
int shares(PyObject* value, PyObject* source) {
    PyObject *mine = memory_of(value), *others = memory_of(source);
    if (mine && others) {
        return mine == others;
    }
    Ref found = call(engine.shares, value, source);
    return found ? PyObject_IsTrue(found) : -1;
}

bool add_alias(Storage* storage, PyObject* tensor) {
    if (!storage->aliases && !(storage->aliases = PyList_New(0))) {
        return false;
    }
    Ref alias(PyObject_CallOneArg(reinterpret_cast<PyObject*>(engine.alias), tensor));
    as_tensor(tensor)->aliased = 1;
    return alias && PyList_Append(storage->aliases, alias) == 0;
}

// Let ``view`` share the storage of ``base``: Tensor._alias and Storage.add_view.
bool become_view(PyObject* view, PyObject* base) {
    Tensor *mine = as_tensor(view), *others = as_tensor(base);
    if (!is_set(others->storage)) {
        Py_XSETREF(others->storage, make_storage());
        if (!others->storage) {
            return false;
        }
    }
    mine->storage = Py_NewRef(others->storage);
    Storage* storage = reinterpret_cast<Storage*>(others->storage);
    const Py_ssize_t known = storage->aliases ? PyList_GET_SIZE(storage->aliases) : 0;
    if (known > 16 && (known & (known - 1)) == 0) {  // it drops those that are gone
        return bool(Ref(PyObject_CallMethodObjArgs(others->storage, names.add_view, base, view, nullptr)));
    }
    if (!others->aliased && !add_alias(storage, base)) {
        return false;
    }
    mine->base = Py_NewRef(is_set(others->base) ? others->base : base);
    return add_alias(storage, view);
}

// ---- recording ----

bool keeps(const Caller& caller, int i, int wanted) {
    return caller.keeps[i] == -1 || (caller.keeps[i] & wanted);
}

// What rules may ask for, as a tuple: the result, the inputs, the parameters, the extras.
Ref saved_tuple(const Operands& operands, PyObject* y, PyObject* const* parameters, PyObject* extras) {
    const Caller& caller = operands.caller;
    const Py_ssize_t count = PyTuple_GET_SIZE(caller.parameters);
    const Py_ssize_t more = extras ? PyTuple_GET_SIZE(extras) - 1 : 0;
    Ref saved(PyTuple_New(1 + caller.inputs + count + more));
    if (!saved) {
        return saved;
    }
    Py_ssize_t place = 0;
    const auto put = [&](PyObject* value) { PyTuple_SET_ITEM(saved.object, place++, Py_NewRef(value)); };
    put(y ? y : Py_None);
    for (int i = 0; i < caller.inputs; ++i) {
        put(keeps(caller, i, operands.wanted) ? operands.values[i] : Py_None);
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
        put(parameters[i]);
    }
    for (Py_ssize_t i = 0; i < more; ++i) {
        put(PyTuple_GET_ITEM(extras, 1 + i));
    }
    return saved;
}

// A node for a result, without what leads from it.
Ref new_node(Caller& caller, PyObject* device, PyObject* array) {
    Ref owner(make_node());
    Node* node = as_node(owner);
    if (!owner || !tick(engine.clock, node->serial)) {
        return Ref();
    }
    node->caller = Py_NewRef(reinterpret_cast<PyObject*>(&caller));
    node->primitive = Py_NewRef(caller.declared);
    node->device = Py_NewRef(device);
    node->dtype = Py_NewRef(dtype_of(array));
    node->dimensions = -1;
    const int dimensions = PyArray_NDIM(as_array(array));
    if (dimensions <= most_dimensions) {
        node->dimensions = static_cast<signed char>(dimensions);
        // (one without dimensions has no memory for them)
        std::copy_n(PyArray_DIMS(as_array(array)), dimensions, node->sizes);
    } else if (!(node->shape = PyArray_IntTupleFromIntp(dimensions, PyArray_DIMS(as_array(array))))) {
        return Ref();
    }
    return owner;
}

// A result that a node keeps may be out of the collector's sight as its own node is.
void note_kept(PyObject* tensor) {
    const Tensor* kept = as_tensor(tensor);
    if (tensor && Py_IS_TYPE(tensor, engine.tensor) && !kept->place && !kept->dict && is_set(kept->node) &&
        is_node(kept->node) && is_untracked(kept->node) && PyObject_GC_IsTracked(tensor)) {
        PyObject_GC_UnTrack(tensor);
        leave_untracked(tensor);
    }
}

// Hang a node on the result.
bool record(Operands& operands, Tensor* result, PyObject* const* parameters, PyObject* extras) {
    Caller& caller = operands.caller;
    PyObject* array = result->array;
    Ref owner = new_node(caller, operands.device, array);
    if (!owner) {
        return false;
    }
    Node* node = as_node(owner);
    PyObject* y = caller.saves_output ? array : nullptr;
    if (y) {
        if (!is_set(result->storage)) {
            Py_XSETREF(result->storage, make_storage());
            if (!result->storage) {
                return false;
            }
        }
        node->storage = Py_NewRef(result->storage);
    }
    bool keeps_any = false;
    for (int i = 0; i < caller.inputs; ++i) {
        keeps_any = keeps_any || caller.keeps[i] != 0;
    }
    const bool small = caller.inputs <= 2 && PyTuple_GET_SIZE(caller.parameters) == 0 && !extras;
    if (small) {
        node->compact = static_cast<signed char>(caller.inputs);
        node->keeps_inputs = keeps_any;
        node->kept[0] = Py_XNewRef(y);
        for (int i = 0; i < caller.inputs; ++i) {
            if (operands.wanted & 1 << i) {
                node->edge[i] = Py_NewRef(operands.nodes[i]);
            }
            if (keeps(caller, i, operands.wanted)) {
                node->kept[1 + i] = Py_NewRef(operands.values[i]);
                node->input[i] = Py_XNewRef(operands.tensors[i]);
                note_kept(operands.tensors[i]);
            }
        }
    } else {
        node->saved = saved_tuple(operands, y, parameters, extras).release();
        node->edges = PyTuple_New(caller.inputs);
        node->inputs = PyTuple_New(keeps_any ? caller.inputs : 0);
        if (!node->saved || !node->edges || !node->inputs) {
            return false;
        }
        for (int i = 0; i < caller.inputs; ++i) {
            PyObject* edge = operands.wanted & 1 << i ? operands.nodes[i] : Py_None;
            PyTuple_SET_ITEM(node->edges, i, Py_NewRef(edge));
            if (keeps_any) {
                PyObject* tensor = keeps(caller, i, operands.wanted) ? operands.tensors[i] : nullptr;
                PyTuple_SET_ITEM(node->inputs, i, Py_NewRef(tensor ? tensor : Py_None));
                note_kept(tensor);
            }
        }
    }
    Py_XSETREF(result->node, owner.release());
    return true;
}

// ---- the call ----

bool is_ufunc(PyObject* object) { return object && PyObject_TypeCheck(object, &PyUFunc_Type); }

FlatLoop* loop_of(PyObject* implementation) {
    Ref capsule(PyObject_GetAttr(implementation, names.loop));
    if (!capsule || !PyCapsule_IsValid(capsule, TAPEGRAD_FLAT_LOOP)) {
        return nullptr;
    }
    return reinterpret_cast<FlatLoop*>(PyCapsule_GetPointer(capsule, TAPEGRAD_FLAT_LOOP));
}

// Where a function of NumPy's has its loop from numbers of this type to others of it, or -1.
int place_of_loop(PyObject* function, int type) {
    const auto* ufunc = reinterpret_cast<PyUFuncObject*>(function);
    if (ufunc->nin == 1 && ufunc->nout == 1 && !ufunc->core_enabled) {
        for (int i = 0; i < ufunc->ntypes; ++i) {
            if (ufunc->types[2 * i] == type && ufunc->types[2 * i + 1] == type) {
                return i;
            }
        }
    }
    return -1;
}

// Finds out how this implementation computes.
void look_at(Caller& caller, PyObject* implementation) {
    if (implementation == caller.known) {
        return;
    }
    Ref plain(PyObject_GetAttr(implementation, names.plain));  // behind loops
    PyErr_Clear();
    PyObject* function = is_ufunc(implementation) ? implementation : is_ufunc(plain) ? plain.object : nullptr;
    const bool alone = caller.inputs == 1 && PyTuple_GET_SIZE(caller.parameters) == 0;
    caller.bare = function;
    caller.is_numpys = function && function == caller.ufunc;
    caller.loop = alone ? loop_of(implementation) : nullptr;
    PyErr_Clear();
    for (const int type : {NPY_FLOAT32, NPY_FLOAT64}) {
        caller.places[type == NPY_FLOAT64] = alone && function ? place_of_loop(function, type) : -1;
    }
    Py_XSETREF(caller.known, Py_NewRef(implementation));
}

// The value, where it is computed here and not by a call. Null without an error where it is not.
Ref compute(Caller& caller, PyObject* implementation, PyObject* const* operands) {
    look_at(caller, implementation);
    if (caller.is_numpys) {
        return Ref(caller.compute(operands));
    }
    Ref value(caller.loop ? run_loop(*caller.loop, implementation, operands[0]) : nullptr);
    if (!value && caller.bare && !PyErr_Occurred()) {
        value = Ref(run_loop(caller.bare, caller.places, operands[0]));
    }
    return value;
}

PyObject* function_of(const char* from, const char* name) {
    Ref module(PyImport_ImportModule(from));
    return module ? PyObject_GetAttrString(module, name) : nullptr;
}

}  // namespace

PyObject* new_tensor(PyObject* array, PyObject* device) {
    PyObject* self = make_tensor();
    if (self) {
        as_tensor(self)->array = Py_NewRef(array);
        as_tensor(self)->device = Py_NewRef(device);
    }
    return self;
}

bool is_recording() {
    PyObject* recording;
    if (PyContextVar_Get(engine.recording, nullptr, &recording) < 0) {
        return false;
    }
    Py_XDECREF(recording);
    return recording == Py_True;
}

Ref implementation_on(Caller& caller, PyObject* device) {
    Ref found = Ref::to(PyDict_GetItemWithError(caller.implementations, device));
    if (!found && !PyErr_Occurred()) {
        static PyObject* const look_up = function_of("tapegrad.core.caller", "_implementation");
        Ref name(PyObject_GetAttrString(caller.declared, "name"));
        found = look_up && name ? call(look_up, name, device, caller.implementations) : Ref();
    }
    return found;
}

bool is_numpys(Caller& caller, PyObject* device) {
    // Where the function in place runs the primitive, that has looked it up.
    Ref found = caller.compute ? implementation_on(caller, device)
                               : Ref::to(PyDict_GetItemWithError(caller.implementations, device));
    if (found) {
        look_at(caller, found);
    }
    return found && caller.is_numpys;
}

Ref call_quietly(PyObject* const* function, Py_ssize_t arguments) {
    static PyObject* const callers[] = {function_of("tapegrad.core.quiet", "of_one"),
                                        function_of("tapegrad.core.quiet", "of_two")};
    PyObject* caller = callers[arguments - 1];
    return Ref(caller ? PyObject_Vectorcall(caller, function, size_t(1 + arguments), nullptr) : nullptr);
}

bool own_storage(Tensor* tensor) {
    if (!is_set(tensor->storage)) {
        Py_XSETREF(tensor->storage, make_storage());
    }
    return tensor->storage;
}

bool leave_viewed(PyObject* tensor) {
    Tensor* viewed = as_tensor(tensor);
    return own_storage(viewed) &&
           (viewed->aliased || add_alias(reinterpret_cast<Storage*>(viewed->storage), tensor));
}

bool note_change(Tensor* tensor, PyObject* op) {
    return own_storage(tensor) && Ref(change(tensor->storage, op));
}

// Whether a warning or an error of NumPy's could reach the user's program: see tapegrad.core.quiet.
bool is_quiet() {
    PyObject* filters = PyDict_GetItemWithError(engine.warnings, names.filters);
    if (!filters || !PyList_Check(filters) || PyList_GET_SIZE(filters) == 0 ||
        PyList_GET_ITEM(filters, 0) != PyList_GET_ITEM(engine.first_filter, 0)) {
        return false;
    }
    PyObject* state;
    if (PyContextVar_Get(engine.error_state, nullptr, &state) < 0) {
        return false;
    }
    Py_XDECREF(state);
    return state == engine.usual_state;
}

Operands::~Operands() {
    for (int i = 0; i < caller.inputs; ++i) {
        Py_XDECREF(values[i]);
        Py_XDECREF(nodes[i]);
    }
}

bool Operands::read(PyObject* const* given) {
    for (int i = 0; i < caller.inputs; ++i) {
        if (!is_tensor(given[i])) {
            values[i] = Py_NewRef(given[i]);
            continue;
        }
        Tensor* tensor = as_tensor(given[i]);
        if (!tensor->array || !PyArray_CheckExact(tensor->array) || (device && tensor->device != device)) {
            return false;
        }
        device = tensor->device;
        tensors[i] = given[i];
        values[i] = Py_NewRef(tensor->array);
        if (is_set(tensor->node)) {
            nodes[i] = Py_NewRef(tensor->node);
            wanted |= 1 << i;
        }
    }
    wanted &= caller.ruled;
    if (!is_set(device) || (wanted && engine.makes_others)) {
        return false;
    }
    return !caller.elementwise || fit_together(*this);
}

PyObject* finish(Operands& operands, Ref value, PyObject* const* parameters, PyObject* all) {
    value = as_result(std::move(value), operands.device);
    if (!value) {
        return nullptr;
    }
    if (!PyArray_CheckExact(value.object)) {
        PyErr_SetString(PyExc_TypeError, "a body returns an array");
        return nullptr;
    }
    Ref result(new_tensor(value, operands.device));
    if (!result) {
        return nullptr;
    }
    if (operands.caller.view) {
        const int shared = operands.tensors[0] ? shares(value, operands.values[0]) : 0;
        if (shared < 0 || (shared && !become_view(result, operands.tensors[0]))) {
            return nullptr;
        }
    }
    if (operands.wanted && is_recording() &&
        !record(operands, as_tensor(result), parameters, all)) {
        return nullptr;
    }
    return PyErr_Occurred() ? nullptr : result.release();
}

PyObject* finish_joined(Caller& caller, PyObject* const* tensors, Py_ssize_t count, PyObject* value,
                        PyObject* parameters) {
    PyObject* device = as_tensor(tensors[0])->device;
    Ref result(new_tensor(value, device)), edges(PyTuple_New(count));
    if (!result || !edges) {
        return nullptr;
    }
    bool wanted = false;
    for (Py_ssize_t i = 0; i < count; ++i) {
        PyObject* node = as_tensor(tensors[i])->node;
        wanted = wanted || is_set(node);
        PyTuple_SET_ITEM(edges.object, i, Py_NewRef(node ? node : Py_None));
    }
    if (!wanted || !is_recording()) {
        return result.release();
    }
    Ref owner = new_node(caller, device, value);
    if (!owner) {
        return nullptr;
    }
    Node* node = as_node(owner);
    const Py_ssize_t more = PyTuple_GET_SIZE(parameters);
    node->edges = edges.release();
    node->inputs = PyTuple_New(0);
    node->saved = PyTuple_New(2 + more);
    if (!node->inputs || !node->saved) {
        return nullptr;
    }
    for (Py_ssize_t i = 0; i < 2 + more; ++i) {
        PyTuple_SET_ITEM(node->saved, i, Py_NewRef(i < 2 ? Py_None : PyTuple_GET_ITEM(parameters, i - 2)));
    }
    as_tensor(result)->node = owner.release();
    return result.release();
}

PyObject* run(Caller& caller, PyObject* const* given, Py_ssize_t count, PyObject* keywords) {
    const Py_ssize_t parameters = PyTuple_GET_SIZE(caller.parameters);
    if (count != caller.inputs || (keywords ? PyTuple_GET_SIZE(keywords) : 0) != parameters ||
        caller.variadic || !engine.ready) {
        return nullptr;
    }
    for (Py_ssize_t i = 0; i < parameters; ++i) {
        if (PyTuple_GET_ITEM(keywords, i) != PyTuple_GET_ITEM(caller.parameters, i)) {
            return nullptr;
        }
    }
    Operands operands(caller);
    if (!operands.read(given)) {
        return nullptr;
    }
    PyObject* implementation = PyDict_GetItemWithError(caller.implementations, operands.device);
    if (!implementation) {
        return nullptr;
    }
    Ref value = compute(caller, implementation, operands.values), all;
    if (!value) {
        if (PyErr_Occurred() || (!caller.view && !is_quiet())) {
            return nullptr;
        }
        PyObject* arguments[1 + most_arguments];
        std::memcpy(arguments + 1, operands.values, size_t(count) * sizeof(PyObject*));
        std::memcpy(arguments + 1 + count, given + count, size_t(parameters) * sizeof(PyObject*));
        if (count <= 2 && parameters == 0 && caller.bare) {
            arguments[0] = implementation;
            value = call_quietly(arguments, count);
        } else {
            Ref held = Ref::to(implementation);
            value = Ref(PyObject_Vectorcall(held, arguments + 1,
                                            size_t(count) | PY_VECTORCALL_ARGUMENTS_OFFSET, keywords));
        }
        if (!value && caller.elementwise &&
            (PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_ValueError) ||
             PyErr_ExceptionMatches(PyExc_OverflowError))) {
            PyErr_Clear();  // Python says it again, in other words
            return nullptr;
        }
    }
    if (value && caller.extras) {
        if (!PyTuple_Check(value.object) || PyTuple_GET_SIZE(value.object) < 1) {
            PyErr_SetString(PyExc_TypeError, "a body with extras returns a tuple");
            return nullptr;
        }
        all = std::move(value);
        value = Ref::to(PyTuple_GET_ITEM(all.object, 0));
    }
    return finish(operands, std::move(value), given + count, all);
}
