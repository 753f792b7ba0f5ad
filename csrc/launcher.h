// Turns launchers into Python functions `<launcher>_<dtype>` that take pointers as integers.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <type_traits>

namespace binding {

namespace py = pybind11;

// A pointer or a stream arrives as an integer, 0 for none; numbers arrive as they are. Launchers that
// differ only in the element type thus share one Python signature, and pybind11's code for it.
template <class T>
using FromPython = std::conditional_t<std::is_pointer<T>::value, uintptr_t, T>;

template <class T>
T to_launcher(FromPython<T> value) {
    if constexpr (std::is_pointer<T>::value) {
        return reinterpret_cast<T>(value);
    } else {
        return value;
    }
}

template <auto launcher>
struct Adapter;

template <class Result, class... Arguments, Result (*launcher)(Arguments...)>
struct Adapter<launcher> {
    static Result call(FromPython<Arguments>... arguments) {
        return launcher(to_launcher<Arguments>(arguments)...);
    }
};

template <auto launcher>
void define(py::module_& module, const std::string& name) {
    module.def(name.c_str(), &Adapter<launcher>::call);
}

}  // namespace binding

// For a function template of one element type, and for a plain function.
#define LAUNCHER(name)                                                   \
    binding::define<&name<float>>(module, std::string(#name) + "_float32");   \
    binding::define<&name<double>>(module, std::string(#name) + "_float64");  \
    binding::define<&name<half>>(module, std::string(#name) + "_float16");    \
    binding::define<&name<bfloat16>>(module, std::string(#name) + "_bfloat16")
#define FUNCTION(name) binding::define<&name>(module, #name)
