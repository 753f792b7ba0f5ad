// The walk back over the tape, in C: what _visit in src/tapegrad/core/engine.py does where neither
// targets nor gradients of gradients are wanted, statement for statement. Python's function is the
// definition; what is rare is left to its helpers, which configure() hands over.
//
// Nodes and leaves are Python's classes. Their slots are read at the offsets that their own member
// descriptors name.

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>
#include <vector>

namespace {

// ---- references ----

struct Ref {  // an owned reference
    PyObject* object;
    explicit Ref(PyObject* owned = nullptr) : object(owned) {}
    static Ref to(PyObject* borrowed) {
        Py_XINCREF(borrowed);
        return Ref(borrowed);
    }
    Ref(Ref&& other) noexcept : object(other.object) { other.object = nullptr; }
    Ref& operator=(Ref&& other) noexcept {
        std::swap(object, other.object);
        return *this;
    }
    ~Ref() { Py_XDECREF(object); }
    operator PyObject*() const { return object; }
};

template <class... Arguments>
Ref call(PyObject* function, const Arguments&... arguments) {
    PyObject* given[] = {static_cast<PyObject*>(arguments)...};
    return Ref(PyObject_Vectorcall(function, given, sizeof...(arguments), nullptr));
}

// ---- what the engine hands over ----

struct Slots {  // where a Node or a Leaf keeps what the walk asks for
    Py_ssize_t shape, dtype;
};

struct Engine {
    PyTypeObject *node, *leaf;
    PyObject* storage;
    PyObject* result_of;
    PyObject *fitted, *wide_sum, *rounded, *run_hooks, *with_posthooks, *freed, *check,
        *collect_result, *add_into;
    Slots of_node, of_leaf;
    Py_ssize_t primitive, serial, edges, saved, inputs, device, storage_of_result, watched;
};

Engine engine;

struct {
    PyObject *aside, *backward, *base, *into, *last_change, *posthooks, *saves_any, *xp;
} names;

PyObject*& slot(PyObject* object, Py_ssize_t offset) {
    return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(object) + offset);
}

void set_slot(PyObject* object, Py_ssize_t offset, PyObject* value) {
    Py_INCREF(value);
    Py_XSETREF(slot(object, offset), value);
}

bool find_slot(PyTypeObject* type, const char* name, Py_ssize_t& offset) {
    Ref descriptor(PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), name));
    if (!descriptor) {
        return false;
    }
    if (!Py_IS_TYPE(descriptor.object, &PyMemberDescr_Type)) {
        PyErr_Format(PyExc_TypeError, "%s.%s is no slot", type->tp_name, name);
        return false;
    }
    offset = reinterpret_cast<PyMemberDescrObject*>(descriptor.object)->d_member->offset;
    return true;
}

// ---- the walk ----

struct Reached {
    long long serial;
    PyObject* node;  // owned
    bool operator<(const Reached& other) const { return serial < other.serial; }
};

struct Walk {  // also the function that rules' gradients are handed to, arrive(edge, gradient)
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *pending, *wide, *xp, *node, *push;
    std::vector<Reached>* heap;
};

// Whether a node or leaf is complete: an unset slot is a null pointer.
template <size_t count>
bool is_complete(PyObject* edge, const Py_ssize_t (&offsets)[count]) {
    for (Py_ssize_t offset : offsets) {
        if (!slot(edge, offset)) {
            PyErr_Format(PyExc_AttributeError, "an incomplete %s on the tape",
                         Py_TYPE(edge)->tp_name);
            return false;
        }
    }
    return true;
}

bool is_open(const Walk* walk) {  // and not one that someone has kept after its end
    if (!walk->pending) {
        PyErr_SetString(PyExc_RuntimeError, "this walk over the tape is over");
    }
    return walk->pending;
}

bool push(Walk* walk, PyObject* node) {
    const long long serial = PyLong_AsLongLong(slot(node, engine.serial));
    if (serial == -1 && PyErr_Occurred()) {
        return false;
    }
    try {
        walk->heap->push_back({serial, node});
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
        return false;
    }
    Py_INCREF(node);
    std::push_heap(walk->heap->begin(), walk->heap->end());
    return true;
}

bool fits(PyObject* gradient, PyObject* shape, PyObject* dtype) {
    if (!PyArray_CheckExact(gradient)) {
        return false;
    }
    auto* array = reinterpret_cast<PyArrayObject*>(gradient);
    const int ndim = PyArray_NDIM(array);
    if (reinterpret_cast<PyObject*>(PyArray_DESCR(array)) != dtype ||
        PyTuple_GET_SIZE(shape) != ndim) {
        return false;
    }
    for (int i = 0; i < ndim; ++i) {
        if (PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, i)) != PyArray_DIM(array, i)) {
            return false;
        }
    }
    return true;
}

// Whether only ``pending`` holds an array, which is no view: nobody else can see it change.
bool is_own(PyObject* have) {
    if (Py_REFCNT(have) != 1) {
        return false;
    }
    if (PyArray_Check(have)) {
        return PyArray_BASE(reinterpret_cast<PyArrayObject*>(have)) == nullptr;
    }
    Ref base(PyObject_GetAttr(have, names.base));
    if (!base) {
        PyErr_Clear();
    }
    return base.object == Py_None;
}

bool arrive(Walk* walk, PyObject* edge, PyObject* gradient) {
    const bool is_leaf = Py_IS_TYPE(edge, engine.leaf);
    if (!is_leaf && !Py_IS_TYPE(edge, engine.node)) {
        PyErr_SetString(PyExc_TypeError, "a gradient goes to a Node or a Leaf");
        return false;
    }
    const Slots& at = is_leaf ? engine.of_leaf : engine.of_node;
    if (!is_complete(edge, {at.shape, at.dtype}) ||
        (!is_leaf && !is_complete(edge, {engine.serial}))) {
        return false;
    }
    PyObject* dtype = slot(edge, at.dtype);
    if (!PyArray_DescrCheck(dtype) || !PyTuple_Check(slot(edge, at.shape))) {
        PyErr_SetString(PyExc_TypeError, "an edge needs a shape and a dtype");
        return false;
    }
    Ref fitted = Ref::to(gradient);
    if (!fits(gradient, slot(edge, at.shape), dtype)) {
        fitted = call(engine.fitted, walk->xp, gradient, edge, walk->node, walk->wide);
        if (!fitted) {
            return false;
        }
    }
    PyObject* have = PyDict_GetItemWithError(walk->pending, edge);
    if (!have) {
        return !PyErr_Occurred() && PyDict_SetItem(walk->pending, edge, fitted) == 0 &&
               (is_leaf || push(walk, edge));
    }
    Ref sum;
    if (PyDataType_ELSIZE(reinterpret_cast<PyArray_Descr*>(dtype)) == 2) {
        sum = call(engine.wide_sum, walk->xp, have, fitted, edge, walk->wide);
    } else if (is_own(have)) {
        Ref kept = Ref::to(have);
        sum = Ref(PyNumber_InPlaceAdd(have, fitted));
    } else {
        sum = Ref(PyNumber_Add(have, fitted));
    }
    return sum && PyDict_SetItem(walk->pending, edge, sum) == 0;
}

bool changed_since(PyObject* node, bool& changed) {
    Ref last(PyObject_GetAttr(engine.storage, names.last_change));
    if (!last) {
        return false;
    }
    changed = PyLong_AsLongLong(last) > PyLong_AsLongLong(slot(node, engine.serial));
    return !PyErr_Occurred();
}

// Whether hooks are to see what the rule of a watched node makes.
bool has_posthooks(PyObject* node, bool& has) {
    Ref aside(PyObject_GetAttr(node, names.aside));
    Ref hooks(aside && aside.object != Py_None ? PyObject_GetAttr(aside, names.posthooks) : nullptr);
    has = hooks && PyDict_Check(hooks.object) && PyDict_GET_SIZE(hooks.object) > 0;
    return !PyErr_Occurred();
}

// Hand the gradient of a node's result on to its edges.
bool hand_on(Walk* walk, PyObject* node, PyObject* g, PyObject* primitive, PyObject* saved) {
    Ref edges = Ref::to(slot(node, engine.edges));
    const bool tuples = PyTuple_Check(edges.object) && PyTuple_GET_SIZE(edges.object) > 0;
    if (primitive == engine.result_of) {
        if (!tuples || !PyTuple_Check(saved) || PyTuple_GET_SIZE(saved) < 3) {
            PyErr_SetString(PyExc_TypeError, "a result needs its whole and its index");
            return false;
        }
        PyObject* index = PyTuple_GET_ITEM(saved, 2);
        PyObject* whole = PyTuple_GET_ITEM(edges.object, 0);
        return call(engine.collect_result, walk->pending, walk->push, whole, index, g);
    }
    bool has = false;
    if (slot(node, engine.watched) == Py_True && !has_posthooks(node, has)) {
        return false;
    }
    if (has) {
        Ref xp(PyObject_GetAttr(slot(node, engine.device), names.xp));
        if (!xp) {
            return false;
        }
        Py_XSETREF(walk->xp, Py_NewRef(xp.object));
        return call(engine.with_posthooks, xp, node, g, edges, reinterpret_cast<PyObject*>(walk));
    }
    Ref into(PyObject_GetAttr(primitive, names.into));
    if (!into) {
        return false;
    }
    if (into.object != Py_None) {
        if (!tuples) {
            PyErr_SetString(PyExc_TypeError, "a part needs its whole");
            return false;
        }
        PyObject* whole = PyTuple_GET_ITEM(edges.object, 0);
        return call(engine.add_into, walk->pending, walk->push, whole, node, g, walk->wide);
    }
    Ref xp(PyObject_GetAttr(slot(node, engine.device), names.xp));
    Ref backward(PyObject_GetAttr(primitive, names.backward));
    if (!xp || !backward) {
        return false;
    }
    Py_INCREF(xp.object);
    Py_XSETREF(walk->xp, xp.object);
    return call(backward, xp, g, saved, edges, reinterpret_cast<PyObject*>(walk));
}

bool visit_node(Walk* walk, PyObject* node, bool retain_graph, PyObject* retained) {
    Ref g = Ref::to(PyDict_GetItemWithError(walk->pending, node));
    if (!g || PyDict_DelItem(walk->pending, node) < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_SystemError, "a node without a gradient");
        }
        return false;
    }
    if (PySet_GET_SIZE(walk->wide)) {
        const int found = PySet_Discard(walk->wide, node);
        if (found < 0) {
            return false;
        }
        if (found) {
            g = call(engine.rounded, node, g, Py_False);
            if (!g) {
                return false;
            }
        }
    }
    if (slot(node, engine.watched) == Py_True) {
        g = call(engine.run_hooks, node, g, retained);
        if (!g) {
            return false;
        }
        if (g.object == Py_None) {
            return true;
        }
    }
    if (!is_complete(node, {engine.primitive, engine.saved, engine.edges, engine.device,
                            engine.inputs, engine.watched, engine.serial})) {
        return false;
    }
    Ref primitive = Ref::to(slot(node, engine.primitive));
    Ref saved = Ref::to(slot(node, engine.saved));
    if (saved.object == Py_None) {
        Ref error = call(engine.freed, node);
        if (error) {
            PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.object)), error);
        }
        return false;
    }
    bool changed = false;
    if (!changed_since(node, changed) || (changed && !call(engine.check, node, Py_False))) {
        return false;
    }
    if (!hand_on(walk, node, g, primitive, saved)) {
        return false;
    }
    Ref saves_any(PyObject_GetAttr(primitive, names.saves_any));
    if (!saves_any) {
        return false;
    }
    if (saves_any.object == Py_True && !retain_graph) {
        Ref nothing(PyTuple_New(0));
        if (!nothing) {
            return false;
        }
        set_slot(node, engine.saved, Py_None);
        set_slot(node, engine.inputs, nothing);
        set_slot(node, engine.storage_of_result, Py_None);
    }
    return true;
}

bool visit_all(Walk* walk, bool retain_graph, PyObject* retained) {
    while (!walk->heap->empty()) {
        std::pop_heap(walk->heap->begin(), walk->heap->end());
        Ref node(walk->heap->back().node);
        walk->heap->pop_back();
        Py_INCREF(node.object);
        Py_XSETREF(walk->node, node.object);
        if (!visit_node(walk, node, retain_graph, retained)) {
            return false;
        }
    }
    return true;
}

// ---- Walk as a Python object ----

PyObject* walk_call(PyObject* self, PyObject* const* given, size_t flags, PyObject* keywords) {
    if (PyVectorcall_NARGS(flags) != 2 || (keywords && PyTuple_GET_SIZE(keywords))) {
        PyErr_SetString(PyExc_TypeError, "arrive takes an edge and its gradient");
        return nullptr;
    }
    auto* walk = reinterpret_cast<Walk*>(self);
    if (!is_open(walk) || !arrive(walk, given[0], given[1])) {
        return nullptr;
    }
    Py_RETURN_NONE;
}

PyObject* push_method(PyObject* self, PyObject* node) {
    if (!Py_IS_TYPE(node, engine.node)) {
        PyErr_SetString(PyExc_TypeError, "push takes a Node");
        return nullptr;
    }
    auto* walk = reinterpret_cast<Walk*>(self);
    if (!is_open(walk) || !is_complete(node, {engine.serial}) || !push(walk, node)) {
        return nullptr;
    }
    Py_RETURN_NONE;
}

int walk_clear(PyObject* self) {
    auto* walk = reinterpret_cast<Walk*>(self);
    Py_CLEAR(walk->pending);
    Py_CLEAR(walk->wide);
    Py_CLEAR(walk->xp);
    Py_CLEAR(walk->node);
    Py_CLEAR(walk->push);
    if (walk->heap) {
        std::vector<Reached> left;
        left.swap(*walk->heap);
        for (const Reached& reached : left) {
            Py_DECREF(reached.node);
        }
    }
    return 0;
}

int walk_traverse(PyObject* self, visitproc visit, void* arg) {
    auto* walk = reinterpret_cast<Walk*>(self);
    Py_VISIT(walk->pending);
    Py_VISIT(walk->wide);
    Py_VISIT(walk->xp);
    Py_VISIT(walk->node);
    Py_VISIT(walk->push);
    if (walk->heap) {
        for (const Reached& reached : *walk->heap) {
            Py_VISIT(reached.node);
        }
    }
    return 0;
}

void walk_dealloc(PyObject* self) {
    PyObject_GC_UnTrack(self);
    walk_clear(self);
    delete reinterpret_cast<Walk*>(self)->heap;
    PyObject_GC_Del(self);
}

PyMethodDef walk_methods[] = {
    {"push", push_method, METH_O, "Let the walk come to a node."},
    {nullptr, nullptr, 0, nullptr},
};

PyTypeObject walk_type = {PyVarObject_HEAD_INIT(nullptr, 0)};

bool ready_walk_type() {
    walk_type.tp_name = "tapegrad._tape.Walk";
    walk_type.tp_basicsize = sizeof(Walk);
    walk_type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                         Py_TPFLAGS_DISALLOW_INSTANTIATION;
    walk_type.tp_vectorcall_offset = offsetof(Walk, vectorcall);
    walk_type.tp_call = PyVectorcall_Call;
    walk_type.tp_dealloc = walk_dealloc;
    walk_type.tp_traverse = walk_traverse;
    walk_type.tp_clear = walk_clear;
    walk_type.tp_methods = walk_methods;
    return PyType_Ready(&walk_type) == 0;
}

// ---- the module ----

// visit(nodes, seeds, pending, wide, retained, retain_graph)
PyObject* visit(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 6 || !engine.node || !PyList_Check(given[0]) || !PyList_Check(given[1]) ||
        !PyDict_Check(given[2]) || !PySet_Check(given[3]) ||
        PyList_GET_SIZE(given[0]) != PyList_GET_SIZE(given[1])) {
        PyErr_SetString(PyExc_TypeError, "visit(nodes, seeds, pending, wide, retained, retain_graph)");
        return nullptr;
    }
    auto* walk = PyObject_GC_New(Walk, &walk_type);
    if (!walk) {
        return nullptr;
    }
    walk->vectorcall = walk_call;
    walk->pending = Py_NewRef(given[2]);
    walk->wide = Py_NewRef(given[3]);
    walk->xp = Py_NewRef(Py_None);
    walk->node = Py_NewRef(Py_None);
    walk->push = nullptr;
    walk->heap = new (std::nothrow) std::vector<Reached>;
    PyObject_GC_Track(reinterpret_cast<PyObject*>(walk));
    Ref owner(reinterpret_cast<PyObject*>(walk));
    if (!walk->heap) {
        return PyErr_NoMemory();
    }
    walk->push = PyObject_GetAttrString(owner, "push");
    if (!walk->push) {
        return nullptr;
    }
    bool done = true;
    for (Py_ssize_t i = 0; done && i < PyList_GET_SIZE(given[0]); ++i) {
        Ref root = Ref::to(PyList_GET_ITEM(given[0], i)), seed = Ref::to(PyList_GET_ITEM(given[1], i));
        Ref device(PyObject_GetAttrString(root, "device"));
        Ref xp(device ? PyObject_GetAttr(device, names.xp) : nullptr);
        done = xp != nullptr;
        if (done) {
            Py_XSETREF(walk->xp, Py_NewRef(xp));
            done = arrive(walk, root, seed);
        }
    }
    done = done && visit_all(walk, given[5] == Py_True, given[4]);
    walk_clear(owner);  // its push refers to it
    if (!done) {
        return nullptr;
    }
    Py_RETURN_NONE;
}

// configure(node=Node, leaf=Leaf, storage=Storage, result_of=..., fitted=..., ...)
PyObject* configure(PyObject*, PyObject* args, PyObject* options) {
    static const char* keywords[] = {"node",      "leaf",    "storage",   "result_of",
                                     "fitted",    "wide_sum", "rounded",  "run_hooks",
                                     "with_posthooks", "freed", "check",  "collect_result",
                                     "add_into",  nullptr};
    PyObject *node, *leaf, *storage, *result_of, *helpers[9];
    if (!PyArg_ParseTupleAndKeywords(
            args, options, "$O!O!OOOOOOOOOOO", const_cast<char**>(keywords), &PyType_Type, &node,
            &PyType_Type, &leaf, &storage, &result_of, &helpers[0], &helpers[1], &helpers[2],
            &helpers[3], &helpers[4], &helpers[5], &helpers[6], &helpers[7], &helpers[8])) {
        return nullptr;
    }
    auto* node_type = reinterpret_cast<PyTypeObject*>(node);
    auto* leaf_type = reinterpret_cast<PyTypeObject*>(leaf);
    Engine given = {};
    const bool found = find_slot(node_type, "shape", given.of_node.shape) &&
                       find_slot(node_type, "dtype", given.of_node.dtype) &&
                       find_slot(leaf_type, "shape", given.of_leaf.shape) &&
                       find_slot(leaf_type, "dtype", given.of_leaf.dtype) &&
                       find_slot(node_type, "primitive", given.primitive) &&
                       find_slot(node_type, "serial", given.serial) &&
                       find_slot(node_type, "edges", given.edges) &&
                       find_slot(node_type, "saved", given.saved) &&
                       find_slot(node_type, "inputs", given.inputs) &&
                       find_slot(node_type, "device", given.device) &&
                       find_slot(node_type, "storage", given.storage_of_result) &&
                       find_slot(node_type, "watched", given.watched);
    if (!found) {
        return nullptr;
    }
    given.node = node_type;
    given.leaf = leaf_type;
    given.storage = storage;
    given.result_of = result_of;
    PyObject** places[] = {&given.fitted,         &given.wide_sum, &given.rounded,
                           &given.run_hooks,      &given.with_posthooks, &given.freed,
                           &given.check,          &given.collect_result, &given.add_into};
    for (int i = 0; i < 9; ++i) {
        *places[i] = Py_NewRef(helpers[i]);
    }
    for (PyObject* object : {node, leaf, storage, result_of}) {
        Py_INCREF(object);
    }
    engine = given;  // for good: what was there before may be in use
    Py_RETURN_NONE;
}

PyMethodDef functions[] = {
    {"configure", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(configure)),
     METH_VARARGS | METH_KEYWORDS, "Hand over the engine's classes and helpers."},
    {"visit", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(visit)), METH_FASTCALL,
     "Visit the nodes that lead from the roots; pending has the leaves' gradients then."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "_tape",
                          "The tape's inner loops in C (see tapegrad.core.accelerator).",
                          -1,
                          functions,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__tape() {
    import_array();
    names = {PyUnicode_InternFromString("aside"),     PyUnicode_InternFromString("backward"),
             PyUnicode_InternFromString("base"),      PyUnicode_InternFromString("into"),
             PyUnicode_InternFromString("last_change"), PyUnicode_InternFromString("posthooks"),
             PyUnicode_InternFromString("saves_any"), PyUnicode_InternFromString("xp")};
    if (!names.aside || !names.backward || !names.base || !names.into || !names.last_change ||
        !names.posthooks || !names.saves_any || !names.xp || !ready_walk_type()) {
        return nullptr;
    }
    PyObject* module = PyModule_Create(&definition);
    if (module && PyModule_AddStringConstant(module, "__version__", TAPEGRAD_VERSION) < 0) {
        Py_CLEAR(module);
    }
    return module;
}
