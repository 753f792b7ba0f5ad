// What the emulated extension offers beyond the launchers: the choice of thread schedule.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

#include "../kernels/emulate/fiber.h"
#include "../kernels/emulate/runtime.h"

namespace binding {

inline emulate::Schedule schedule_from_name(const std::string& name) {
    for (emulate::Schedule schedule : {emulate::Schedule::random, emulate::Schedule::ascending,
                                       emulate::Schedule::descending}) {
        if (name == emulate::schedule_name(schedule)) {
            return schedule;
        }
    }
    throw pybind11::value_error("schedule must be 'random', 'ascending' or 'descending', not '" +
                                name + "'");
}

inline void define_emulator_controls(pybind11::module_& module) {
    namespace py = pybind11;
    // CTRL-C, and Python's other signals, are served while a kernel runs: the caller holds the GIL.
    emulate::ask_whether_to_go_on([] { return PyErr_CheckSignals() == 0; });
    module.def(
        "set_schedule",
        [](const std::string& name, uint64_t seed) {
            emulate::set_schedule({schedule_from_name(name), seed});
        },
        py::arg("schedule"), py::arg("seed") = 0,
        "Choose the order of threads and blocks: 'random' with a seed, 'ascending' or 'descending'. "
        "Each launch uses the seed and adds one to it; an error names the seed of its launch.");
    module.def(
        "schedule",
        [] {
            const emulate::ScheduleChoice choice = emulate::current_schedule();
            return py::make_tuple(emulate::schedule_name(choice.schedule), choice.seed);
        },
        "The schedule and the seed of the next launch, as set_schedule takes them.");
    module.def(
        "fiber_counts",
        [] {
            const emulate::FiberCounts counts = emulate::count_fibers();
            return py::make_tuple(counts.made, counts.pooled);
        },
        "How many fibers exist, and how many of them are idle.");
}

}  // namespace binding
