// The Python module, compiled twice: as `_cuda` beside the kernels that nvcc compiled, and as
// `_emulated` beside the same kernels compiled for the CPU. One line per launcher.
#include <pybind11/pybind11.h>

#include "../kernels/launchers.h"
#include "launcher.h"

#ifdef TAPEGRAD_EMULATED
#include "emulator_controls.h"
#define TAPEGRAD_MODULE _emulated
#else
#define TAPEGRAD_MODULE _cuda
#endif

namespace py = pybind11;

// Raises the module's `KernelError`, looked up when it happens: tapegrad.kernels puts its own class
// there, so that both modules raise the same one.
static PyObject* module_object;

static void translate_kernel_error(std::exception_ptr error) {
    try {
        std::rethrow_exception(error);
    } catch (const KernelError& kernel_error) {
        py::set_error(py::handle(module_object).attr("KernelError"), kernel_error.what());
    }
}

PYBIND11_MODULE(TAPEGRAD_MODULE, module) {
    module_object = module.ptr();
    py::exception<KernelError>(module, "KernelError", PyExc_RuntimeError);
    py::register_local_exception_translator(translate_kernel_error);

    module.def("build_info", [] {
        py::dict info;
        info["compiler"] = TAPEGRAD_COMPILER;
        info["architectures"] = TAPEGRAD_ARCHITECTURES;
        info["source_hash"] = TAPEGRAD_SOURCE_HASH;
        return info;
    });
#ifdef TAPEGRAD_EMULATED
    binding::define_emulator_controls(module);
#endif

    LAUNCHER(relu_forward);
    LAUNCHER(relu_backward);
    LAUNCHER(leaky_relu_forward);
    LAUNCHER(leaky_relu_backward);
    LAUNCHER(elu_forward);
    LAUNCHER(elu_backward);
    LAUNCHER(gelu_forward);
    LAUNCHER(gelu_backward);
    LAUNCHER(gelu_tanh_forward);
    LAUNCHER(gelu_tanh_backward);
    LAUNCHER(silu_forward);
    LAUNCHER(silu_backward);
    LAUNCHER(sigmoid_forward);
    LAUNCHER(sigmoid_backward);
    LAUNCHER(tanh_forward);
    LAUNCHER(tanh_backward);
    LAUNCHER(softplus_forward);
    LAUNCHER(softplus_backward);
    LAUNCHER(matmul);
    LAUNCHER(softmax_forward);
    LAUNCHER(softmax_backward);
    LAUNCHER(log_softmax_forward);
    LAUNCHER(log_softmax_backward);
    LAUNCHER(cross_entropy_total);
    LAUNCHER(cross_entropy_forward);
    LAUNCHER(cross_entropy_backward);
    FUNCTION(norm_partials);
    LAUNCHER(layer_norm_forward);
    LAUNCHER(layer_norm_backward);
    LAUNCHER(rms_norm_forward);
    LAUNCHER(rms_norm_backward);
    FUNCTION(column_sum_partials);
    LAUNCHER(column_sum);
    LAUNCHER(embedding_forward);
    LAUNCHER(embedding_backward);
    LAUNCHER(dropout);
    FUNCTION(philox);
    LAUNCHER(sgd_step);
    LAUNCHER(adam_step);
}
