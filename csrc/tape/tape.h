// What the files of tapegrad._tape share: what tensors, nodes and storages hold, and what the engine
// has handed over.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL tapegrad_tape_numpy
#define PY_UFUNC_UNIQUE_SYMBOL tapegrad_tape_ufuncs
#ifndef IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#define NO_IMPORT_UFUNC
#endif
#include <numpy/arrayobject.h>
#include <numpy/ufuncobject.h>

#include <cstring>
#include <utility>

#include "../native/elementwise.h"

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
    PyObject* release() { return std::exchange(object, nullptr); }
};

template <class... Arguments>
Ref call(PyObject* function, const Arguments&... arguments) {
    PyObject* given[] = {static_cast<PyObject*>(arguments)...};
    return Ref(PyObject_Vectorcall(function, given, sizeof...(arguments), nullptr));
}

inline PyArrayObject* as_array(PyObject* object) {
    return reinterpret_cast<PyArrayObject*>(object);
}

inline PyObject* dtype_of(PyObject* array) {  // borrowed
    return reinterpret_cast<PyObject*>(PyArray_DESCR(as_array(array)));
}

inline bool is_alike(PyArrayObject* a, PyArrayObject* b) {  // of one dtype and shape
    return PyArray_DESCR(a) == PyArray_DESCR(b) && PyArray_SAMESHAPE(a, b);
}

inline bool is_float_type(int type) { return type == NPY_FLOAT32 || type == NPY_FLOAT64; }

inline bool is_float(PyArrayObject* array) {  // and wide enough to compute in
    return is_float_type(PyArray_TYPE(array));
}

// Calls the function with a number of the dtype of such an array, of which only the type counts.
template <class Function>
auto of_floats(PyArrayObject* array, Function function) {
    return PyArray_TYPE(array) == NPY_FLOAT32 ? function(float()) : function(double());
}

template <class T>
T* data_of(PyArrayObject* array) {
    return static_cast<T*>(PyArray_DATA(array));
}
template <class T>
T* data_of(PyObject* array) {
    return data_of<T>(as_array(array));
}

// The entry of this name in a table whose last entry has none; or null.
template <class Entry>
const Entry* find_entry(const Entry* entry, const char* name) {
    while (entry->name && std::strcmp(entry->name, name) != 0) {
        ++entry;
    }
    return entry->name ? entry : nullptr;
}

// ---- memory that is used again (reuse.cpp) ----

// A new array of the dtype of ``like``, in row-major order. What it holds is left to the caller.
Ref new_array(PyArrayObject* like, int dimensions, const npy_intp* shape);
// Drops a reference to an array, which may be the last.
void drop_array(PyObject*& place);
// Of the arrays that are kept to be new ones.
void free_spare_arrays();

// Objects of one class that are over, all their pointers null.
struct Spares {
    PyObject* objects[64];
    int count;

    PyObject* make(PyTypeObject* type);  // a new one, which the garbage collector does not track yet
    bool keep(PyObject* self);           // false where there are enough
};

// ---- what the garbage collector is not told of (untracked.cpp) ----

struct Listed {  // tensors and nodes begin like this
    PyObject_HEAD
    Py_ssize_t place;  // among those that the collector does not track, counted from 1; 0: it does
};
bool is_untracked(PyObject* self);
void leave_untracked(PyObject* self);  // one that it does not track
void end_tracking(PyObject* self);     // before its end
void track_all();
PyObject* before_collection(PyObject*, PyObject* const* given, Py_ssize_t count);

// ---- what tensors, nodes and storages hold (fields.cpp) ----
// A null pointer stands for None, or for what was not set.

struct Tensor {
    PyObject_HEAD
    Py_ssize_t place;  // see Listed
    PyObject *dict, *weakrefs;
    PyObject *array, *device, *node, *grad, *storage, *base;
    char retains_grad, aliased;
};

struct Storage {
    PyObject_HEAD
    PyObject *changed_by, *aliases, *whole;
    long long changed_at, version;
    char detached;
};

constexpr int most_dimensions = 4;  // of a node that keeps its shape itself

// A node of one or two inputs without parameters, of which most there are, is recorded as it stands
// here. ``edges``, ``saved``, ``inputs`` and ``shape`` are tuples for Python; they are made when they
// are asked for.
struct Node {
    PyObject_HEAD
    Py_ssize_t place;  // see Listed
    PyObject *dict, *weakrefs;
    PyObject *primitive, *edges, *saved, *inputs, *shape, *dtype, *device, *storage;
    long long serial;
    char watched;
    signed char compact;     // how many inputs are in ``edge``; 0: the tuples are what counts
    signed char dimensions;  // in ``sizes``; -1: the tuple ``shape`` is what counts
    char keeps_inputs;       // whether the tuple ``inputs`` has an entry for each
    PyObject* caller;  // that of the primitive, where one has recorded this
    PyObject *edge[2], *kept[3], *input[2];  // kept: the result and the inputs, as arrays
    npy_intp sizes[most_dimensions];
};

// A pointer to anything but None.
inline bool is_set(PyObject* object) { return object && object != Py_None; }

PyObject* change(PyObject* storage, PyObject* op);  // Storage.change

// Makes the tuples of a compact node. False where memory is missing.
bool expand(Node* node);
PyObject* shape_of(Node* node);  // borrowed; null with an error

// The edge of input ``i``, the result (0) or an input (1 + i) as a rule may ask for it, or a parameter
// behind them: borrowed, null for None.
inline PyObject* edge_of(const Node* node, int i) {
    PyObject* edge = node->compact ? node->edge[i] : PyTuple_GET_ITEM(node->edges, i);
    return is_set(edge) ? edge : nullptr;
}
inline PyObject* kept_of(const Node* node, int i) {
    PyObject* kept = node->compact ? node->kept[i] : PyTuple_GET_ITEM(node->saved, i);
    return is_set(kept) ? kept : nullptr;
}

// ---- the callers of primitives (caller.cpp) ----

constexpr int most_inputs = 6, most_arguments = 16;

// What is known of a primitive when it is declared.
struct Caller {
    PyObject_HEAD
    PyObject *dict, *weakrefs;
    vectorcallfunc vectorcall;
    PyObject* plain;            // the function in Python, which serves all that is declined here
    PyObject* declared;         // the Primitive
    PyObject* implementations;  // by device
    PyObject* parameters;       // their names, interned
    PyObject *into, *backward;  // of the Primitive, once they were asked for
    PyObject* named;  // for each input, None or the function that its rule is: Primitive.named
    PyObject* ufunc;  // NumPy's function, where it is computed here, too
    PyObject* known;  // the implementation of which is known:
    bool is_numpys;   // whether it is that function,
    PyObject* bare;   // borrowed: or another one of NumPy's, without one in Python around it;
    FlatLoop* loop;   // and what it has of loops for an array alone:
    int places[2];    // those of NumPy's function for float and double, by their places, or -1
    int inputs;
    int ruled;              // bit i: input i has a rule
    int keeps[most_inputs];  // bit j: input i is kept where input j wants a gradient; -1: always
    bool elementwise, floating, view, extras, saves_output, saves_any, variadic;
    bool takes_part;  // getitem
    PyObject* (*compute)(PyObject* const* operands);  // see small.cpp; null where there is none
    PyObject* (*gradient)(const Node* node, int i, PyObject* g);  // see rules.cpp; null, too
};

inline PyObject*& leaf_slot(PyObject* leaf, Py_ssize_t offset) {
    return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(leaf) + offset);
}

// The inputs of a call.
struct Operands {
    Caller& caller;
    PyObject* tensors[most_inputs] = {};  // borrowed from the call; null for what is no tensor
    PyObject* values[most_inputs] = {};   // owned: arrays, or what was given in their place
    PyObject* nodes[most_inputs] = {};    // owned
    PyObject* device = nullptr;           // borrowed: devices live for good
    int wanted = 0;                       // bit i: input i has a node and a rule

    explicit Operands(Caller& of) : caller(of) {}
    ~Operands();
    bool read(PyObject* const* given);  // false where the call is for Python
};

// Null without an error where the call is for Python.
PyObject* run(Caller& caller, PyObject* const* given, Py_ssize_t count, PyObject* keywords);
// The Tensor around what was computed, an array or a scalar of NumPy's, recorded if need be. (Null
// where ``value`` is.) ``all``: null, or the tuple of value and extras that the body has returned.
PyObject* finish(Operands& operands, Ref value, PyObject* const* parameters, PyObject* all);
// The same for a primitive of any number of inputs, tensors of one device, which keeps none of them.
PyObject* finish_joined(Caller& caller, PyObject* const* tensors, Py_ssize_t count, PyObject* value,
                        PyObject* parameters);
bool is_quiet();
bool is_recording();
// Calls a function of NumPy's from a line of tapegrad.core.quiet: a warning would be laid to the
// user's line else, past the filter for tapegrad's own. ``function``: what is called, then one or two
// arguments. Null with an error.
Ref call_quietly(PyObject* const* function, Py_ssize_t arguments);
Ref implementation_on(Caller& caller, PyObject* device);  // looked up, if no call has done so
bool is_numpys(Caller& caller, PyObject* device);  // and so may be computed in small.cpp
bool own_storage(Tensor* tensor);                  // has one from now on; false with an error
bool leave_viewed(PyObject* tensor);               // with a storage that lists it, as a view leaves it
bool note_change(Tensor* tensor, PyObject* op);    // in place: Tensor._bump, of what has all its views
PyObject* new_tensor(PyObject* array, PyObject* device);

// ---- arithmetic of small arrays (small.cpp) ----
// NumPy's, computed here where that saves a call; the same bits. Null, without an error, where they
// decline.

using Compute = PyObject*(PyObject* const* operands);
Compute* find_compute(const char* name);
Compute add_two, subtract_two, multiply_two, divide_two, negate;
// By a loop for an array alone, of a kernel or of NumPy's.
PyObject* run_loop(FlatLoop& loop, PyObject* kernel, PyObject* x);
PyObject* run_loop(PyObject* ufunc, const int (&places)[2], PyObject* x);
PyObject* add_up(PyObject* a, PyObject* b);  // a + b, whatever they are
using Onto = bool(PyObject* a, PyObject* b);  // a += b and the like, where it is done here
Onto add_onto, sub_onto, mul_onto, div_onto;
// The number that an operand is, beside an array: exactly, before it is rounded to the array's dtype.
bool is_number(PyObject* object, double& number);
PyObject* choose(PyObject* const* operands);  // where(condition, a, b)
PyObject* clip_between(PyObject* x, double low, double high);
// g where the condition is what is wanted, and where x lies between bounds; 0 elsewhere.
PyObject* keep_where(PyObject* condition, PyObject* g, bool wanted);
PyObject* keep_between(PyObject* x, double low, double high, PyObject* g);
// Products of matrices of one dtype of floats by NumPy, where the device's operation, which has loops,
// is not faster; null with an error only.
inline bool is_small_product(npy_intp size_of_left, npy_intp columns) {
    constexpr npy_intp few = 1 << 12;
    return size_of_left < few && size_of_left * columns < few;
}
PyObject* multiply_matrices(PyObject* a, PyObject* b);
bool add_row(PyObject* matrix, PyObject* row);  // matrix += row; false with an error

// ---- rules (rules.cpp) ----
// What the rule of input ``i`` makes of the gradient ``g`` of a node's result, without Python. Null,
// without an error, where it declines: then the node's rules in Python make all of its gradients.

using Gradient = PyObject*(const Node* node, int i, PyObject* g);
Gradient* find_gradient(const char* name);
struct RuleEntry {
    const char* name;  // of the primitive
    Gradient* gradient;
};
extern const RuleEntry array_rules[], fold_rules[];  // array_rules.cpp, fold_rules.cpp
// Where the part that a node of getitem took lies in its whole's gradient, as a view of that.
PyObject* part_for(const Node* node, PyObject* buffer);
// Of a rule that is the name of a function in the namespace ``xp`` (see Primitive.named); null with an
// error, or without one where the rule is none.
PyObject* call_named(const Node* node, int i, PyObject* g, PyObject* xp);

// ---- what the engine hands over (module.cpp) ----

// Under these names configure() takes them: classes, and functions and other objects.
#define ENGINE_CLASSES(each) each(tensor) each(node) each(leaf) each(storage) each(alias)
#define ENGINE_OBJECTS(each)                                                                     \
    each(result_of) each(fitted) each(wide_sum) each(sum_of) each(rounded) each(run_hooks)       \
    each(with_posthooks) each(freed) each(check) each(collect_result) each(add_into)             \
    each(shares) each(settle) each(deliver) each(error_state) each(usual_state)                  \
    each(first_filter) each(warnings) each(serials)
#define LEAF_SLOTS(each) \
    each(shape) each(dtype) each(device) each(tensor) each(hooks) each(later_hooks) each(aside)

struct Engine {
#define CLASS(name) PyTypeObject* name;
#define OBJECT(name) PyObject* name;
#define OFFSET(name) Py_ssize_t leaf_##name;
    ENGINE_CLASSES(CLASS)
    ENGINE_OBJECTS(OBJECT)
    LEAF_SLOTS(OFFSET)
#undef CLASS
#undef OFFSET
    PyObject *recording, *inference;  // ContextVars
    PyObject* clock;                  // the ticks of nodes; ``serials`` are those of changes in place
    long long last_change;            // in place, of any memory
    bool ready;
    bool makes_others;  // nodes that are not Node: Python's, for a while
};
extern Engine engine;

// Attributes that are asked for, as strings of Python's.
#define NAMES(each)                                                                              \
    each(_at_first) each(add_view) each(aside) each(asarray) each(at_end) each(backward) each(base) \
    each(device) each(enabled) each(filters) each(infers) each(into) each(loop) each(plain)      \
    each(posthooks) each(push) each(saves_any) each(xp)

struct Names {
    NAMES(OBJECT)
};
#undef OBJECT
extern Names names;

PyTypeObject* tensor_fields();
PyTypeObject* node_fields();
PyTypeObject* storage_fields();
void adopt_classes();  // lets those that derive from them end as they begin, without Python
PyObject *make_tensor(), *make_node(), *make_storage();  // nothing set; nodes are not tracked
PyTypeObject* caller_type();
PyTypeObject* setting_type();  // modes.cpp
PyObject* use_modes(PyObject*, PyObject* const* given, Py_ssize_t count);
// The next tick of a clock; false with an error.
bool tick(PyObject* clock, long long& serial);
bool ready_walk_type();

// ---- the walk back (visit.cpp, backward.cpp) ----

struct Found {  // of a walk: see run_backward in tapegrad.core.engine
    PyObject *pending, *wide, *retained;
    PyObject* due = nullptr;  // a list, if anyone waits for leaves: pairs (serial, function(pending))
};
bool walk_back(PyObject* const* roots, PyObject* const* seeds, Py_ssize_t count, const Found& found,
               bool retain_graph);
PyObject* visit(PyObject*, PyObject* const* given, Py_ssize_t count);
PyObject* backward(PyObject*, PyObject* const* given, Py_ssize_t count);

inline bool is_tensor(PyObject* object) { return PyObject_TypeCheck(object, engine.tensor); }
inline bool is_node(PyObject* object) { return PyObject_TypeCheck(object, node_fields()); }
inline Tensor* as_tensor(PyObject* object) { return reinterpret_cast<Tensor*>(object); }
inline Node* as_node(PyObject* object) { return reinterpret_cast<Node*>(object); }
