// What tensors, nodes and storages hold: the types that Python's classes derive from (see
// tapegrad.core.fields).
#include "tape.h"

#include <structmember.h>

#include <cstddef>
#include <type_traits>

namespace {

template <class Type>
PyObject*& at(Type* self, Py_ssize_t offset) {
    return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(self) + offset);
}

// All pointers of an object that it owns, one after the other.
template <class Type, size_t count>
struct Owned {
    Py_ssize_t offsets[count];
    int traverse(Type* self, visitproc visit, void* arg) const {
        for (Py_ssize_t offset : offsets) {
            Py_VISIT(at(self, offset));
        }
        return 0;
    }
    int clear(Type* self) const {
        for (Py_ssize_t offset : offsets) {
            Py_CLEAR(at(self, offset));
        }
        return 0;
    }
};

#define OFFSET(Type, field) Py_ssize_t(offsetof(Type, field))

// ---- Tensor ----

const Owned<Tensor, 7> of_tensor = {{OFFSET(Tensor, dict), OFFSET(Tensor, array), OFFSET(Tensor, device),
                                     OFFSET(Tensor, node), OFFSET(Tensor, grad), OFFSET(Tensor, storage),
                                     OFFSET(Tensor, base)}};

int traverse_tensor(PyObject* self, visitproc visit, void* arg) {
    return of_tensor.traverse(as_tensor(self), visit, arg);
}
int clear_tensor(PyObject* self) {
    drop_array(as_tensor(self)->array);
    return of_tensor.clear(as_tensor(self));
}

PyMemberDef tensor_members[] = {
    {"_array", T_OBJECT_EX, OFFSET(Tensor, array), 0, nullptr},
    {"_device", T_OBJECT, OFFSET(Tensor, device), 0, nullptr},
    {"_node", T_OBJECT, OFFSET(Tensor, node), 0, nullptr},
    {"_grad", T_OBJECT, OFFSET(Tensor, grad), 0, nullptr},
    {"_storage", T_OBJECT, OFFSET(Tensor, storage), 0, nullptr},
    {"_base", T_OBJECT, OFFSET(Tensor, base), 0, nullptr},
    {"_retains_grad", T_BOOL, OFFSET(Tensor, retains_grad), 0, nullptr},
    {"_aliased", T_BOOL, OFFSET(Tensor, aliased), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};

// ---- Storage ----

const Owned<Storage, 3> of_storage = {
    {OFFSET(Storage, changed_by), OFFSET(Storage, aliases), OFFSET(Storage, whole)}};

int traverse_storage(PyObject* self, visitproc visit, void* arg) {
    return of_storage.traverse(reinterpret_cast<Storage*>(self), visit, arg);
}
int clear_storage(PyObject* self) { return of_storage.clear(reinterpret_cast<Storage*>(self)); }

// The list of aliases, made when it is first asked for.
PyObject* aliases_of(PyObject* self, void*) {
    PyObject*& aliases = reinterpret_cast<Storage*>(self)->aliases;
    if (!aliases && !(aliases = PyList_New(0))) {
        return nullptr;
    }
    return Py_NewRef(aliases);
}

int set_aliases(PyObject* self, PyObject* value, void*) {
    if (!value || !PyList_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "aliases are a list");
        return -1;
    }
    Py_XSETREF(reinterpret_cast<Storage*>(self)->aliases, Py_NewRef(value));
    return 0;
}

PyObject* changed_by_of(PyObject* self, void*) {
    PyObject* changed_by = reinterpret_cast<Storage*>(self)->changed_by;
    return changed_by ? Py_NewRef(changed_by) : PyUnicode_FromString("");
}

int set_changed_by(PyObject* self, PyObject* value, void*) {
    Py_XSETREF(reinterpret_cast<Storage*>(self)->changed_by, Py_XNewRef(value));
    return 0;
}

PyMethodDef storage_methods[] = {
    {"change", change, METH_O, "Note that an operation has changed this memory in place."},
    {nullptr, nullptr, 0, nullptr},
};

PyMemberDef storage_members[] = {
    {"changed_at", T_LONGLONG, OFFSET(Storage, changed_at), 0, nullptr},
    {"version", T_LONGLONG, OFFSET(Storage, version), 0, nullptr},
    {"detached", T_BOOL, OFFSET(Storage, detached), 0, nullptr},
    {"whole", T_OBJECT_EX, OFFSET(Storage, whole), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
PyGetSetDef storage_getset[] = {
    {"aliases", aliases_of, set_aliases, nullptr, nullptr},
    {"changed_by", changed_by_of, set_changed_by, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// ---- Node ----

const Owned<Node, 17> of_node = {
    {OFFSET(Node, dict),    OFFSET(Node, primitive), OFFSET(Node, edges),    OFFSET(Node, saved),
     OFFSET(Node, inputs),  OFFSET(Node, shape),     OFFSET(Node, dtype),    OFFSET(Node, device),
     OFFSET(Node, storage), OFFSET(Node, edge[0]),   OFFSET(Node, edge[1]),  OFFSET(Node, kept[0]),
     OFFSET(Node, kept[1]), OFFSET(Node, kept[2]),   OFFSET(Node, input[0]), OFFSET(Node, input[1]),
     OFFSET(Node, caller)}};

int traverse_node(PyObject* self, visitproc visit, void* arg) {
    return of_node.traverse(as_node(self), visit, arg);
}
int clear_node(PyObject* self) {
    for (PyObject*& array : as_node(self)->kept) {
        drop_array(array);
    }
    return of_node.clear(as_node(self));
}

PyObject* new_node(PyTypeObject* type, PyObject*, PyObject*) {
    PyObject* self = type->tp_alloc(type, 0);
    if (self) {
        as_node(self)->dimensions = -1;
    }
    return self;
}

// edges, saved, inputs
PyObject* get_tuple(PyObject* self, void* offset) {
    Node* node = as_node(self);
    if (!expand(node)) {
        return nullptr;
    }
    PyObject* value = at(node, reinterpret_cast<Py_ssize_t>(offset));
    if (!value) {
        PyErr_SetString(PyExc_AttributeError, "this node of the tape is incomplete");
    }
    return Py_XNewRef(value);
}

int set_tuple(PyObject* self, PyObject* value, void* offset) {
    Node* node = as_node(self);
    if (!expand(node)) {
        return -1;
    }
    Py_CLEAR(node->caller);  // rules in C know what it has recorded, and nothing else
    Py_XSETREF(at(node, reinterpret_cast<Py_ssize_t>(offset)), Py_XNewRef(value));
    return 0;
}

PyObject* get_shape(PyObject* self, void*) { return Py_XNewRef(shape_of(as_node(self))); }

int set_shape(PyObject* self, PyObject* value, void*) {
    Node* node = as_node(self);
    node->dimensions = -1;
    Py_XSETREF(node->shape, Py_XNewRef(value));
    return 0;
}

int set_primitive(PyObject* self, PyObject* value, void*) {
    Node* node = as_node(self);
    Py_CLEAR(node->caller);
    Py_XSETREF(node->primitive, Py_XNewRef(value));
    return 0;
}

PyObject* get_primitive(PyObject* self, void*) {
    PyObject* primitive = as_node(self)->primitive;
    if (!primitive) {
        PyErr_SetString(PyExc_AttributeError, "this node of the tape is incomplete");
    }
    return Py_XNewRef(primitive);
}

PyMemberDef node_members[] = {
    {"dtype", T_OBJECT_EX, OFFSET(Node, dtype), 0, nullptr},
    {"device", T_OBJECT_EX, OFFSET(Node, device), 0, nullptr},
    {"storage", T_OBJECT, OFFSET(Node, storage), 0, nullptr},
    {"serial", T_LONGLONG, OFFSET(Node, serial), 0, nullptr},
    {"watched", T_BOOL, OFFSET(Node, watched), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr},
};
#define TUPLE(field) \
    {#field, get_tuple, set_tuple, nullptr, reinterpret_cast<void*>(OFFSET(Node, field))}
PyGetSetDef node_getset[] = {
    TUPLE(edges),
    TUPLE(saved),
    TUPLE(inputs),
    {"shape", get_shape, set_shape, nullptr, nullptr},
    {"primitive", get_primitive, set_primitive, nullptr, nullptr},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};
PyGetSetDef tensor_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr},
};

// ---- the end of an object ----

template <class Type>
void let_go(PyObject* self) {  // of weak references to it
    PyObject_GC_UnTrack(self);
    if constexpr (!std::is_same_v<Type, Storage>) {
        if (reinterpret_cast<Type*>(self)->weakrefs) {
            PyObject_ClearWeakRefs(self);
        }
    }
}

template <class Type, inquiry clear>
void end(PyObject* self) {
    let_go<Type>(self);
    clear(self);
    Py_TYPE(self)->tp_free(self);
}

// A class in Python that derives from one of the types here. Its own objects leave their memory to the
// next; those of classes that derive from it come to ``end`` by Python's way to end objects.
template <class Type, inquiry clear>
struct Adopted {
    PyTypeObject* type;
    Spares spares;

    void adopt(PyTypeObject* given, destructor dealloc) {
        type = given;
        type->tp_dealloc = dealloc;
    }

    PyObject* make() { return spares.make(type); }

    void end(PyObject* self) {
        PyTypeObject* own = Py_TYPE(self);
        clear(self);
        const size_t head = sizeof(PyObject), size = size_t(own->tp_basicsize);
        if (own == type && !own->tp_finalize && spares.keep(self)) {
            std::memset(reinterpret_cast<char*>(self) + head, 0, size - head);
        } else {
            own->tp_free(self);
        }
        Py_DECREF(own);
    }

    // False where __del__ has let it live on.
    bool begin_to_end(PyObject* self) {
        if (Py_TYPE(self) == type && type->tp_finalize && PyObject_CallFinalizerFromDealloc(self) < 0) {
            return false;
        }
        let_go<Type>(self);
        return true;
    }
};

Adopted<Tensor, clear_tensor> tensors;
Adopted<Node, clear_node> nodes;
Adopted<Storage, clear_storage> storages;

void end_tensor(PyObject* self) {
    if (tensors.begin_to_end(self)) {
        tensors.end(self);
    }
}

void end_storage(PyObject* self) {
    if (storages.begin_to_end(self)) {
        storages.end(self);
    }
}

// Nodes that end with the node that held them wait until that has ended: else the end of a chain would
// be as deep as the chain is long.
void end_node(PyObject* self) {
    static thread_local PyObject* waiting = nullptr;  // the next stands in its ``weakrefs``
    static thread_local bool busy = false;
    if (!nodes.begin_to_end(self)) {
        return;
    }
    as_node(self)->weakrefs = std::exchange(waiting, self);
    if (busy) {
        return;
    }
    busy = true;
    while (PyObject* node = waiting) {
        waiting = std::exchange(as_node(node)->weakrefs, nullptr);
        nodes.end(node);
    }
    busy = false;
}

// ---- types ----

PyTypeObject tensor_type = {PyVarObject_HEAD_INIT(nullptr, 0)};
PyTypeObject node_type = {PyVarObject_HEAD_INIT(nullptr, 0)};
PyTypeObject storage_type = {PyVarObject_HEAD_INIT(nullptr, 0)};

template <class Type, inquiry clear>
PyTypeObject* ready(PyTypeObject& type, const char* name, newfunc make, traverseproc traverse,
                    PyMemberDef* members, PyGetSetDef* getset,
                    PyMethodDef* methods = nullptr) {
    if (!(type.tp_flags & Py_TPFLAGS_READY)) {
        type.tp_name = name;
        type.tp_basicsize = sizeof(Type);
        type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC;
        type.tp_new = make;
        type.tp_dealloc = end<Type, clear>;
        type.tp_traverse = traverse;
        type.tp_clear = clear;
        type.tp_members = members;
        type.tp_methods = methods;
        type.tp_getset = getset;
        if constexpr (!std::is_same_v<Type, Storage>) {
            type.tp_dictoffset = OFFSET(Type, dict);
            type.tp_weaklistoffset = OFFSET(Type, weakrefs);
        }
        if (PyType_Ready(&type) < 0) {
            return nullptr;
        }
    }
    return &type;
}

Ref entries(PyObject* const* objects, int count) {
    Ref tuple(PyTuple_New(count));
    for (int i = 0; tuple && i < count; ++i) {
        PyTuple_SET_ITEM(tuple.object, i, Py_NewRef(objects[i] ? objects[i] : Py_None));
    }
    return tuple;
}

}  // namespace

bool tick(PyObject* clock, long long& serial) {
    Ref now(PyIter_Next(clock));
    const long long read = now ? PyLong_AsLongLong(now) : -1;
    if (PyErr_Occurred()) {
        return false;
    }
    serial = read;
    return true;
}

// Note that an operation has changed this memory in place.
PyObject* change(PyObject* self, PyObject* op) {
    Storage* storage = reinterpret_cast<Storage*>(self);
    if (!tick(engine.serials, storage->changed_at)) {
        return nullptr;
    }
    engine.last_change = storage->changed_at;
    Py_XSETREF(storage->changed_by, Py_NewRef(op));
    ++storage->version;
    Py_RETURN_NONE;
}

bool expand(Node* node) {
    if (!node->compact) {
        return true;
    }
    const int count = node->compact;
    Ref edges = entries(node->edge, count);
    Ref saved = entries(node->kept, 1 + count);
    Ref inputs = entries(node->input, node->keeps_inputs ? count : 0);
    if (!edges || !saved || !inputs) {
        return false;
    }
    node->compact = 0;
    node->edges = edges.release();
    if (!node->saved) {  // else it was freed
        node->saved = saved.release();
    }
    node->inputs = inputs.release();
    for (PyObject*& each : node->edge) Py_CLEAR(each);
    for (PyObject*& each : node->kept) Py_CLEAR(each);
    for (PyObject*& each : node->input) Py_CLEAR(each);
    return true;
}

PyObject* shape_of(Node* node) {
    if (!node->shape) {
        if (node->dimensions < 0) {
            PyErr_SetString(PyExc_AttributeError, "this node of the tape is incomplete");
            return nullptr;
        }
        node->shape = PyArray_IntTupleFromIntp(node->dimensions, node->sizes);
    }
    return node->shape;
}

PyTypeObject* tensor_fields() {
    return ready<Tensor, clear_tensor>(tensor_type, "tapegrad._tape.TensorFields", PyType_GenericNew,
                         traverse_tensor, tensor_members, tensor_getset);
}

PyTypeObject* node_fields() {
    return ready<Node, clear_node>(node_type, "tapegrad._tape.NodeFields", new_node, traverse_node,
                       node_members, node_getset);
}

PyTypeObject* storage_fields() {
    return ready<Storage, clear_storage>(storage_type, "tapegrad._tape.StorageFields", PyType_GenericNew,
                          traverse_storage, storage_members,
                          storage_getset, storage_methods);
}

void adopt_classes() {
    tensors.adopt(engine.tensor, end_tensor);
    nodes.adopt(engine.node, end_node);
    storages.adopt(engine.storage, end_storage);
}

PyObject* make_tensor() { return tensors.make(); }
PyObject* make_node() { return nodes.make(); }
PyObject* make_storage() { return storages.make(); }
