// The Python module, compiled twice: as `_cuda` beside the kernels that nvcc compiled, and as
// `_emulated` beside the same kernels compiled for the CPU. Every launcher of the list in launch.h is a
// function `<launcher>_<dtype>` in it.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstring>
#include <deque>
#include <exception>
#include <string>

#include "../kernels/launch.h"

#ifdef TAPEGRAD_EMULATED
#include "emulator_controls.h"
#ifdef TAPEGRAD_CHECKED
#define TAPEGRAD_OWN_MODULE _emulated_checked
#else
#define TAPEGRAD_OWN_MODULE _emulated
#endif
#else
#define TAPEGRAD_OWN_MODULE _cuda
#endif
#ifndef TAPEGRAD_MODULE  // the name of an extension with kernels of its own
#define TAPEGRAD_MODULE TAPEGRAD_OWN_MODULE
#endif

namespace py = pybind11;

namespace {

#ifndef TAPEGRAD_EMULATED
struct Home {};
#endif

// A launcher as a Python function. Called without pybind11's conversion of arguments, which would
// cost several times as much as a launch.
struct Function {
    const Launcher& launcher;
    std::string name;
    Py_ssize_t wanted;  // arguments
    Home* home;         // of a launcher from a file of its own; else null
    PyMethodDef definition;
};

// Raises the module's `KernelError`, or a kind of it, looked up when it happens: tapegrad.core.kernels puts
// its own classes there, so that all modules raise the same ones.
PyObject* module_object;

// Throws nothing, whatever has become of the module: Python calls us, and does not catch.
void raise_kernel_error(const char* message, const char* name = "KernelError") {
    PyObject* kind = PyObject_GetAttrString(module_object, name);
    if (kind == nullptr) {
        PyErr_Clear();
    }
    PyErr_SetString(kind != nullptr ? kind : PyExc_RuntimeError, message);
    Py_XDECREF(kind);
}

void raise_wrong_argument(const Function& function, Py_ssize_t index, const char* wanted,
                          PyObject* given) {
    PyErr_Format(PyExc_TypeError, "[%s] argument %zd must be %s, got %s", function.name.c_str(),
                 index, wanted, Py_TYPE(given)->tp_name);
}

// NumPy's array, CuPy's (whose address is array.data.ptr), an address, or None for a null pointer.
bool read_pointer(PyObject* given, void*& pointer) {
    if (py::isinstance<py::array>(given)) {
        pointer = const_cast<void*>(py::reinterpret_borrow<py::array>(given).data());
        return true;
    }
    if (given == Py_None) {
        pointer = nullptr;
        return true;
    }
    if (PyLong_CheckExact(given)) {
        pointer = PyLong_AsVoidPtr(given);
        return !PyErr_Occurred();
    }
    const auto data = py::reinterpret_steal<py::object>(PyObject_GetAttrString(given, "data"));
    const auto address = py::reinterpret_steal<py::object>(
        data ? PyObject_GetAttrString(data.ptr(), "ptr") : nullptr);
    pointer = address ? PyLong_AsVoidPtr(address.ptr()) : nullptr;
    return !PyErr_Occurred();
}

bool read_argument(const Function& function, Py_ssize_t index, PyObject* given, Argument& read) {
    const char kind = function.launcher.kinds[index];
    if (kind == 'p') {
        if (!read_pointer(given, read.pointer)) {
            PyErr_Clear();
            raise_wrong_argument(function, index, "an array, an address or None", given);
            return false;
        }
        return true;
    }
    if (kind == 'n' && PyFloat_Check(given)) {
        read.number = PyFloat_AS_DOUBLE(given);
        return true;
    }
    if (!PyLong_Check(given)) {
        raise_wrong_argument(function, index, kind == 'n' ? "a Python number" : "a Python int or bool",
                             given);
        return false;
    }
    if (kind == 'n') {
        read.number = PyLong_AsDouble(given);
    } else if (kind == 'i') {
        read.integer = PyLong_AsLongLong(given);
    } else if (kind == 'w') {
        read.word = PyLong_AsUnsignedLongLong(given);
    } else {
        read.truth = PyObject_IsTrue(given);
    }
    return !PyErr_Occurred();
}

// Calls a launcher; the error that it ended in, or null. Python's own error may come as an exception.
#ifdef TAPEGRAD_EMULATED
std::exception_ptr run_in_turn(const Function& function, const Argument* arguments,
                               PyObject* const* given, int64_t& answer) {
    try {
        if (binding::turns().is_lost) {
            throw KernelError(function.name + ": this process was forked while a kernel ran in another "
                              "thread, and can run none on the emulated device: spawn it instead");
        }
        if (auto* tell = function.home != nullptr ? function.home->set_arrays : EMULATE_SET_ARRAYS) {
            binding::watch_arrays(given, function.launcher.kinds, tell);
        }
        const binding::Visit visit(function.home);
        answer = function.launcher.call(arguments);
    } catch (const emulate::Interrupted&) {
        const Home* home = function.home;
        const KernelError error((home != nullptr ? home->describe_progress() : emulate::describe_progress()) +
                                ": interrupted");
        return std::make_exception_ptr(error);
#ifdef __GLIBCXX__
    } catch (const abi::__forced_unwind&) {  // Python ends the thread
        throw;
#endif
    } catch (...) {
        return std::current_exception();
    }
    return nullptr;
}

std::exception_ptr run(const Function& function, const Argument* arguments, PyObject* const* given,
                       int64_t& answer) {
    const binding::Turn turn;
    return run_in_turn(function, arguments, given, answer);
}
#else
// A launch waits while the GPU's queue is full, and other threads of Python need not wait with it. (Who asks a
// question waits for nothing.)
std::exception_ptr run(const Function& function, const Argument* arguments, PyObject* const*,
                       int64_t& answer) {
    std::exception_ptr failure;
    PyThreadState* const own = function.launcher.answers ? nullptr : PyEval_SaveThread();
    try {
        answer = function.launcher.call(arguments);
    } catch (...) {
        failure = std::current_exception();
    }
    if (own != nullptr) {
        PyEval_RestoreThread(own);
    }
    return failure;
}
#endif

// (No catch (...) where Python may end the thread, as it does by unwinding the stack.)
PyObject* call(PyObject* self, PyObject* const* given, Py_ssize_t count) {
    const auto& function = *static_cast<Function*>(PyCapsule_GetPointer(self, nullptr));
    const Py_ssize_t wanted = function.wanted;
    if (count != wanted) {
        return PyErr_Format(PyExc_TypeError, "[%s] takes %zd arguments, the stream included, got %zd",
                            function.name.c_str(), wanted, count);
    }
    Argument arguments[max_parameters];
    for (Py_ssize_t i = 0; i < count; ++i) {
        if (!read_argument(function, i, given[i], arguments[i])) {
            return nullptr;
        }
    }
    int64_t answer = 0;
    std::exception_ptr failure;
    try {
        failure = run(function, arguments, given, answer);
    } catch (py::error_already_set& error) {
        error.restore();
        return nullptr;
    }
    if (PyErr_Occurred()) {
        return nullptr;  // of a signal's handler, in which the kernel was left
    }
    if (failure == nullptr) {
        return function.launcher.answers ? PyLong_FromLongLong(answer) : py::none().release().ptr();
    }
    try {
        std::rethrow_exception(failure);
    } catch (const KernelError& error) {
        std::string text = error.what();
#ifdef TAPEGRAD_EMULATED
        if (error.address() != nullptr) {
            text += binding::describe_address(given, function.launcher.kinds, error.address());
        }
#endif
        raise_kernel_error(text.c_str(), error.kind());
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    } catch (...) {
        raise_kernel_error((function.name + ": something was thrown that is no exception").c_str());
    }
    return nullptr;
}

// Adds to `target` a function for each of `count` launchers.
void define_launchers(py::dict target, const Launcher* first, size_t count, Home* home) {
    static std::deque<Function> functions;  // Python keeps pointers to the definitions
    for (const Launcher* launcher = first; launcher != first + count; ++launcher) {
        const std::string name = launcher->dtype
                                     ? std::string(launcher->name) + "_" + launcher->dtype
                                     : launcher->name;
        if (target.contains(name.c_str())) {
            throw py::import_error("two launchers are called " + name);
        }
        const auto wanted = static_cast<Py_ssize_t>(std::strlen(launcher->kinds));
        Function& function =
            functions.emplace_back(Function{*launcher, name, wanted, home, {}});
        function.definition = {function.name.c_str(),
                               reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(call)),
                               METH_FASTCALL, nullptr};
        target[name.c_str()] = py::reinterpret_steal<py::object>(
            PyCFunction_NewEx(&function.definition, py::capsule(&function).ptr(), nullptr));
    }
}

// A function of a shared library, which stays loaded: Python keeps what points into it.
template <class Signature>
Signature* symbol(void* library, const char* name) {
    void* found = dlsym(library, name);
    if (found == nullptr) {
        throw py::import_error(dlerror());
    }
    return reinterpret_cast<Signature*>(found);
}

// The launchers of a file of kernels that was compiled by itself (kernels/unit.h).
py::dict load(const std::string& path) {
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        throw py::import_error(dlerror());
    }
    Home* home = nullptr;
#ifdef TAPEGRAD_EMULATED
    home = symbol<Home*()>(library, "tapegrad_home")();
    binding::add_home(home);
#endif
    size_t count = 0;
    const Launcher* first =
        symbol<const Launcher*(size_t*)>(library, "tapegrad_launchers")(&count);
    py::dict target;
    define_launchers(target, first, count, home);
    return target;
}

}  // namespace

PYBIND11_MODULE(TAPEGRAD_MODULE, module) {
    module_object = module.inc_ref().ptr();  // its functions may outlive it
    const py::exception<KernelError> general(module, "KernelError", PyExc_RuntimeError);
    py::exception<RaceError>(module, "RaceError", general.ptr());
    py::exception<AccessError>(module, "AccessError", general.ptr());

    module.def("build_info", [] {
        py::dict info;
        info["compiler"] = TAPEGRAD_COMPILER;
        info["architectures"] = TAPEGRAD_ARCHITECTURES;
        info["source_hash"] = TAPEGRAD_SOURCE_HASH;
        return info;
    });
    module.def("load", load, py::arg("path"),
               "The launchers of a file of kernels that was compiled by itself, by their names.");
#ifdef TAPEGRAD_EMULATED
    binding::define_emulator_controls(module);
#endif
    define_launchers(module.attr("__dict__"), launchers().data(), launchers().size(), nullptr);
}
