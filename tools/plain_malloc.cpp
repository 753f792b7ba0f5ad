// A Python module that lets NumPy take every array from malloc and give it back to free. By itself
// NumPy keeps blocks of less than a kilobyte, in which a sanitizer sees no access beyond the end.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

#include <cstdlib>

namespace {

PyDataMem_Handler handler = {"plain malloc",
                             1,
                             {nullptr,
                              [](void*, size_t size) { return std::malloc(size); },
                              [](void*, size_t count, size_t size) { return std::calloc(count, size); },
                              [](void*, void* block, size_t size) { return std::realloc(block, size); },
                              [](void*, void* block, size_t) { std::free(block); }}};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "plain_malloc", nullptr, -1,
                          nullptr, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_plain_malloc() {
    import_array();
    PyObject* capsule = PyCapsule_New(&handler, "mem_handler", nullptr);
    PyObject* before = capsule == nullptr ? nullptr : PyDataMem_SetHandler(capsule);
    Py_XDECREF(capsule);
    if (before == nullptr) {
        return nullptr;
    }
    Py_DECREF(before);
    return PyModule_Create(&definition);
}
