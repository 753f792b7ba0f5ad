// The walk back over the tape, in C: what _visit in src/tapegrad/core/engine.py does where neither
// targets nor gradients of gradients are wanted, statement for statement. Python's function is the
// definition; what is rare is left to its helpers, which configure() hands over.
#include <algorithm>
#include <cstddef>
#include <limits>
#include <new>
#include <vector>

#include "tape.h"

namespace {

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

bool is_open(const Walk* walk) {  // and not one that someone has kept after its end
    if (!walk->pending) {
        PyErr_SetString(PyExc_RuntimeError, "this walk over the tape is over");
    }
    return walk->pending;
}

bool push(Walk* walk, PyObject* node) {
    try {
        walk->heap->push_back({as_node(node)->serial, node});
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
        return false;
    }
    Py_INCREF(node);
    std::push_heap(walk->heap->begin(), walk->heap->end());
    return true;
}

bool is_complete(PyObject* edge, bool complete) {
    if (!complete) {
        PyErr_Format(PyExc_AttributeError, "an incomplete %s on the tape", Py_TYPE(edge)->tp_name);
    }
    return complete;
}

// Where a gradient is to go: a node or a leaf.
struct Edge {
    PyObject* object;
    bool is_leaf;
    PyObject* dtype;        // borrowed
    PyObject* shape;        // a tuple, borrowed, or null where the node keeps its sizes itself
    int dimensions = 0;
    const npy_intp* sizes = nullptr;

    bool read(PyObject* edge) {
        object = edge;
        is_leaf = Py_IS_TYPE(edge, engine.leaf);
        if (is_leaf) {
            dtype = leaf_slot(edge, engine.leaf_dtype);
            shape = leaf_slot(edge, engine.leaf_shape);
        } else if (is_node(edge)) {
            const Node* node = as_node(edge);
            dtype = node->dtype;
            shape = node->shape;
            dimensions = node->dimensions;
            sizes = node->sizes;
        } else {
            PyErr_SetString(PyExc_TypeError, "a gradient goes to a Node or a Leaf");
            return false;
        }
        const bool sized = !is_leaf && dimensions >= 0;
        if (!is_complete(edge, dtype && (shape || sized))) {
            return false;
        }
        if (!PyArray_DescrCheck(dtype) || (!sized && !PyTuple_Check(shape))) {
            PyErr_SetString(PyExc_TypeError, "an edge needs a shape and a dtype");
            return false;
        }
        if (sized) {
            shape = nullptr;
        }
        return true;
    }

    bool fits(PyObject* gradient) const {
        if (!PyArray_CheckExact(gradient) || dtype_of(gradient) != dtype) {
            return false;
        }
        const int ndim = PyArray_NDIM(as_array(gradient));
        const npy_intp* dims = PyArray_DIMS(as_array(gradient));
        if (!shape) {
            return ndim == dimensions && std::equal(dims, dims + ndim, sizes);
        }
        if (PyTuple_GET_SIZE(shape) != ndim) {
            return false;
        }
        for (int i = 0; i < ndim; ++i) {
            if (PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, i)) != dims[i]) {
                PyErr_Clear();
                return false;
            }
        }
        return true;
    }

    Ref zeros() const {
        PyArray_Descr* kind = reinterpret_cast<PyArray_Descr*>(dtype);
        npy_intp extents[NPY_MAXDIMS];
        const int ndim = shape ? int(PyTuple_GET_SIZE(shape)) : dimensions;
        for (int i = 0; i < ndim; ++i) {
            extents[i] = shape ? PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, i)) : sizes[i];
        }
        Py_INCREF(kind);
        return PyErr_Occurred() ? Ref() : Ref(PyArray_Zeros(ndim, extents, kind, 0));
    }
};

// Whether only ``pending`` holds an array, which is no view: nobody else can see it change.
bool is_own(PyObject* have) {
    if (Py_REFCNT(have) != 1) {
        return false;
    }
    if (PyArray_Check(have)) {
        return PyArray_BASE(as_array(have)) == nullptr;
    }
    Ref base(PyObject_GetAttr(have, names.base));
    if (!base) {
        PyErr_Clear();
    }
    return base.object == Py_None;
}

bool arrive(Walk* walk, PyObject* to, PyObject* gradient) {
    Edge edge;
    if (!edge.read(to)) {
        return false;
    }
    Ref fitted = Ref::to(gradient);
    if (!edge.fits(gradient)) {
        fitted = call(engine.fitted, walk->xp, gradient, to, walk->node, walk->wide);
        if (!fitted) {
            return false;
        }
    }
    PyObject* have = PyDict_GetItemWithError(walk->pending, to);
    if (!have) {
        return !PyErr_Occurred() && PyDict_SetItem(walk->pending, to, fitted) == 0 &&
               (edge.is_leaf || push(walk, to));
    }
    Ref sum;
    if (PyDataType_ELSIZE(reinterpret_cast<PyArray_Descr*>(edge.dtype)) == 2) {
        sum = call(engine.wide_sum, walk->xp, have, fitted, to, walk->wide);
    } else if (!PyArray_Check(have) && !PyArray_IsScalar(have, Generic)) {  // a GPU's
        sum = call(engine.sum_of, walk->xp, have, fitted, is_own(have) ? Py_True : Py_False);
    } else if (is_own(have)) {
        if (add_onto(have, fitted)) {
            return true;
        }
        Ref kept = Ref::to(have);
        sum = Ref(PyNumber_InPlaceAdd(have, fitted));
    } else {
        sum = Ref(add_up(have, fitted));
    }
    return sum && PyDict_SetItem(walk->pending, to, sum) == 0;
}

// Whether hooks are to see what the rule of a watched node makes.
bool has_posthooks(PyObject* node, bool& has) {
    Ref aside(PyObject_GetAttr(node, names.aside));
    Ref hooks(aside && aside.object != Py_None ? PyObject_GetAttr(aside, names.posthooks) : nullptr);
    has = hooks && PyDict_Check(hooks.object) && PyDict_GET_SIZE(hooks.object) > 0;
    return !PyErr_Occurred();
}

bool use_namespace(Walk* walk, const Node* node) {
    PyObject* xp = PyObject_GetAttr(node->device, names.xp);
    if (xp) {
        Py_XSETREF(walk->xp, xp);
    }
    return xp;
}

// An attribute of the node's primitive, which its caller remembers.
Ref of_primitive(Node* node, PyObject* name, PyObject* Caller::*remembered) {
    if (!node->caller) {
        return Ref(PyObject_GetAttr(node->primitive, name));
    }
    PyObject*& known = reinterpret_cast<Caller*>(node->caller)->*remembered;
    if (!known) {
        known = PyObject_GetAttr(node->primitive, name);
    }
    return Ref::to(known);
}

// Python's way to ``push``.
Ref push_of(Walk* walk) {
    if (!walk->push) {
        walk->push = PyObject_GetAttr(reinterpret_cast<PyObject*>(walk), names.push);
    }
    return Ref::to(walk->push);
}

Py_ssize_t count_edges(const Node* node) {
    return node->compact ? node->compact : PyTuple_Check(node->edges) ? PyTuple_GET_SIZE(node->edges) : 0;
}

// Hands on what rules in C make, or functions that need no rule in Python: to all edges, or to those
// before the first one for which they decline. How many are done; -1 with an error.
Py_ssize_t hand_on_in_c(Walk* walk, Node* node, PyObject* g) {
    const Caller* caller = reinterpret_cast<Caller*>(node->caller);
    if (!caller->gradient && !caller->named) {
        return 0;
    }
    if (!use_namespace(walk, node)) {
        return -1;
    }
    const Py_ssize_t count = count_edges(node);
    for (int i = 0; i < count; ++i) {
        Ref edge = Ref::to(edge_of(node, i));
        if (!edge) {
            continue;
        }
        Ref gradient(caller->gradient ? caller->gradient(node, i, g) : call_named(node, i, g, walk->xp));
        if (!gradient) {
            return PyErr_Occurred() ? -1 : i;
        }
        if (!arrive(walk, edge, gradient)) {
            return -1;
        }
    }
    return count;
}

// The edges, with None for those that are done.
Ref edges_left(const Node* node, Py_ssize_t done) {
    if (!done) {
        return Ref::to(node->edges);
    }
    const Py_ssize_t count = PyTuple_GET_SIZE(node->edges);
    Ref left(PyTuple_New(count));
    for (Py_ssize_t i = 0; left && i < count; ++i) {
        PyObject* edge = i < done ? Py_None : PyTuple_GET_ITEM(node->edges, i);
        PyTuple_SET_ITEM(left.object, i, Py_NewRef(edge));
    }
    return left;
}

// Adds the gradient of a part into that of the whole, where it lies: _add_into. False where it
// declines, and where it failed.
bool add_part(Walk* walk, const Node* node, PyObject* g, bool& failed) {
    Edge edge;
    PyObject* to = edge_of(node, 0);
    if (!to || !edge.read(to) || !PyArray_CheckExact(g) || dtype_of(g) != edge.dtype ||
        PyDataType_ELSIZE(reinterpret_cast<PyArray_Descr*>(edge.dtype)) == 2) {
        return false;
    }
    Ref buffer = Ref::to(PyDict_GetItemWithError(walk->pending, to));
    const bool is_new = !buffer;
    if (is_new) {
        buffer = edge.zeros();
    } else if (!PyArray_CheckExact(buffer.object) || dtype_of(buffer) != edge.dtype) {
        return false;
    } else if (Py_REFCNT(buffer.object) != 2 || PyArray_BASE(as_array(buffer)) ||
               PyArray_NDIM(as_array(buffer)) == 0) {
        buffer = Ref(PyArray_NewCopy(as_array(buffer), NPY_CORDER));
    }
    Ref part(buffer ? part_for(node, buffer) : nullptr);
    if (!part || !PyArray_SAMESHAPE(as_array(part), as_array(g))) {
        return false;
    }
    if (!add_onto(part, g) && !Ref(PyNumber_InPlaceAdd(part, g))) {
        return false;
    }
    failed = PyDict_SetItem(walk->pending, to, buffer) < 0 || (is_new && !edge.is_leaf && !push(walk, to));
    return true;
}

// Hand the gradient of a node's result on to its edges.
bool hand_on(Walk* walk, PyObject* object, PyObject* g, bool watched) {
    Node* node = as_node(object);
    PyObject* self = reinterpret_cast<PyObject*>(walk);
    bool has = false, failed = false;
    if (watched && !has_posthooks(object, has)) {
        return false;
    }
    const Py_ssize_t done = node->caller && !has ? hand_on_in_c(walk, node, g) : 0;
    if (done < 0 || (done > 0 && done == count_edges(node))) {
        return done > 0;
    }
    if (!expand(node)) {
        return false;
    }
    Ref edges = edges_left(node, done), saved = Ref::to(node->saved);
    if (!edges) {
        return false;
    }
    const bool tuples = PyTuple_Check(edges.object) && PyTuple_GET_SIZE(edges.object) > 0;
    if (node->primitive == engine.result_of) {
        if (!tuples || !PyTuple_Check(saved.object) || PyTuple_GET_SIZE(saved.object) < 3) {
            PyErr_SetString(PyExc_TypeError, "a result needs its whole and its index");
            return false;
        }
        PyObject* index = PyTuple_GET_ITEM(saved.object, 2);
        PyObject* whole = PyTuple_GET_ITEM(edges.object, 0);
        Ref push = push_of(walk);
        return push && call(engine.collect_result, walk->pending, push, whole, index, g);
    }
    if (!use_namespace(walk, node)) {
        return false;
    }
    if (has) {
        return call(engine.with_posthooks, walk->xp, object, g, edges, self);
    }
    Ref into = of_primitive(node, names.into, &Caller::into);
    if (!into) {
        return false;
    }
    if (into.object != Py_None) {
        if (!tuples) {
            PyErr_SetString(PyExc_TypeError, "a part needs its whole");
            return false;
        }
        if (node->caller && reinterpret_cast<Caller*>(node->caller)->takes_part && add_part(walk, node, g, failed)) {
            return !failed;
        }
        PyObject* whole = PyTuple_GET_ITEM(edges.object, 0);
        Ref push = PyErr_Occurred() ? Ref() : push_of(walk);
        return push && call(engine.add_into, walk->pending, push, whole, object, g, walk->wide);
    }
    // (Looked up each time, as it may be replaced.)
    Ref backward(PyObject_GetAttr(node->primitive, names.backward)), xp = Ref::to(walk->xp);
    return backward && call(backward, xp, g, saved, edges, self);
}

// Drop what the node keeps for its rule.
bool let_go(Node* node) {
    if (node->caller) {
        if (!reinterpret_cast<Caller*>(node->caller)->saves_any) {
            return true;
        }
    } else {
        Ref saves_any(PyObject_GetAttr(node->primitive, names.saves_any));
        if (!saves_any || saves_any.object != Py_True) {
            return bool(saves_any);
        }
    }
    for (PyObject*& each : node->kept) drop_array(each);
    for (PyObject*& each : node->input) Py_CLEAR(each);
    node->keeps_inputs = 0;
    Py_XSETREF(node->saved, Py_NewRef(Py_None));
    Py_CLEAR(node->storage);
    if (!node->compact) {
        Py_XSETREF(node->inputs, PyTuple_New(0));
    }
    return node->compact || node->inputs;
}

bool visit_node(Walk* walk, PyObject* object, bool retain_graph, PyObject* retained) {
    Ref g = Ref::to(PyDict_GetItemWithError(walk->pending, object));
    if (!g || PyDict_DelItem(walk->pending, object) < 0) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_SystemError, "a node without a gradient");
        }
        return false;
    }
    if (PySet_GET_SIZE(walk->wide)) {
        const int found = PySet_Discard(walk->wide, object);
        if (found < 0) {
            return false;
        }
        if (found) {
            g = call(engine.rounded, object, g, Py_False);
            if (!g) {
                return false;
            }
        }
    }
    Node* node = as_node(object);
    const bool watched = node->watched;
    if (watched) {
        g = call(engine.run_hooks, object, g, retained);
        if (!g) {
            return false;
        }
        if (g.object == Py_None) {
            return true;
        }
    }
    const bool whole = node->compact || (node->edges && node->saved && node->inputs);
    if (!is_complete(object, whole && node->primitive && node->device)) {
        return false;
    }
    if (node->saved == Py_None) {
        Ref error = call(engine.freed, object);
        if (error) {
            PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.object)), error);
        }
        return false;
    }
    if (engine.last_change > node->serial && !call(engine.check, object, Py_False)) {
        return false;
    }
    const bool done = hand_on(walk, object, g, watched);
    PyObject* over = g.release();
    drop_array(over);
    return done && (retain_graph || let_go(node));
}

constexpr long long kNever = std::numeric_limits<long long>::min();

// When the last one of a list of pairs (serial, function) is due: before nodes older than that.
bool read_due(PyObject* due, long long& serial) {
    const Py_ssize_t count = due ? PyList_GET_SIZE(due) : 0;
    if (count == 0) {
        serial = kNever;
        return true;
    }
    PyObject* last = PyList_GET_ITEM(due, count - 1);
    if (!PyTuple_Check(last) || PyTuple_GET_SIZE(last) != 2) {
        PyErr_SetString(PyExc_TypeError, "due is a list of pairs (serial, function)");
        return false;
    }
    serial = PyLong_AsLongLong(PyTuple_GET_ITEM(last, 0));
    return !(serial == -1 && PyErr_Occurred());
}

// Call what is due before a node of this serial: the leaves it waits for are complete.
bool call_due(const Walk* walk, PyObject* due, long long serial, long long& next) {
    while (serial < next) {
        const Py_ssize_t count = PyList_GET_SIZE(due);
        Ref last = Ref::to(PyList_GET_ITEM(due, count - 1));
        if (PyList_SetSlice(due, count - 1, count, nullptr) < 0 ||
            !call(PyTuple_GET_ITEM(last.object, 1), walk->pending) || !read_due(due, next)) {
            return false;
        }
    }
    return true;
}

bool visit_all(Walk* walk, bool retain_graph, const Found& found) {
    long long next;
    if (!read_due(found.due, next)) {
        return false;
    }
    while (!walk->heap->empty()) {
        std::pop_heap(walk->heap->begin(), walk->heap->end());
        Ref node(walk->heap->back().node);
        const long long serial = walk->heap->back().serial;
        walk->heap->pop_back();
        Py_XSETREF(walk->node, Py_NewRef(node.object));
        if (!call_due(walk, found.due, serial, next) || !visit_node(walk, node, retain_graph, found.retained)) {
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
    if (!is_node(node)) {
        PyErr_SetString(PyExc_TypeError, "push takes a Node");
        return nullptr;
    }
    auto* walk = reinterpret_cast<Walk*>(self);
    if (!is_open(walk) || !push(walk, node)) {
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

}  // namespace

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

bool walk_back(PyObject* const* roots, PyObject* const* seeds, Py_ssize_t count, const Found& found,
               bool retain_graph) {
    auto* walk = PyObject_GC_New(Walk, &walk_type);
    if (!walk) {
        return false;
    }
    walk->vectorcall = walk_call;
    walk->pending = Py_NewRef(found.pending);
    walk->wide = Py_NewRef(found.wide);
    walk->xp = Py_NewRef(Py_None);
    walk->node = Py_NewRef(Py_None);
    walk->push = nullptr;
    walk->heap = new (std::nothrow) std::vector<Reached>;
    PyObject_GC_Track(reinterpret_cast<PyObject*>(walk));
    Ref owner(reinterpret_cast<PyObject*>(walk));
    if (!walk->heap) {
        PyErr_NoMemory();
        return false;
    }
    bool done = true;
    for (Py_ssize_t i = 0; done && i < count; ++i) {
        Ref root = Ref::to(roots[i]), seed = Ref::to(seeds[i]);
        Ref device(PyObject_GetAttr(root, names.device));
        Ref xp(device ? PyObject_GetAttr(device, names.xp) : nullptr);
        done = xp != nullptr;
        if (done) {
            Py_XSETREF(walk->xp, Py_NewRef(xp));
            done = arrive(walk, root, seed);
        }
    }
    done = done && visit_all(walk, retain_graph, found);
    walk_clear(owner);  // its push may refer to it
    return done;
}

// visit(nodes, seeds, pending, wide, retained, retain_graph, due)
PyObject* visit(PyObject*, PyObject* const* given, Py_ssize_t count) {
    if (count != 7 || !engine.ready || !PyTuple_Check(given[0]) || !PyTuple_Check(given[1]) ||
        !PyDict_Check(given[2]) || !PySet_Check(given[3]) || !PyList_Check(given[6]) ||
        PyTuple_GET_SIZE(given[0]) != PyTuple_GET_SIZE(given[1])) {
        PyErr_SetString(PyExc_TypeError, "visit(nodes, seeds, pending, wide, retained, retain_graph, due)");
        return nullptr;
    }
    const Found found{given[2], given[3], given[4], given[6]};
    if (!walk_back(&PyTuple_GET_ITEM(given[0], 0), &PyTuple_GET_ITEM(given[1], 0),
                   PyTuple_GET_SIZE(given[0]), found, given[5] == Py_True)) {
        return nullptr;
    }
    Py_RETURN_NONE;
}
