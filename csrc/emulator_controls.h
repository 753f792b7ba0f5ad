// What the emulated extension offers beyond the launchers: the choice of thread schedule.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

#include "../kernels/emulate/fiber.h"
#include "../kernels/emulate/home.h"
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

// CTRL-C, and Python's other signals, are served while a kernel runs: the caller holds the GIL.
inline bool may_go_on() { return PyErr_CheckSignals() == 0; }

// The emulators of files of kernels that were compiled by themselves.
inline std::vector<Home*>& homes() {
    static std::vector<Home*> all;
    return all;
}
inline void add_home(Home* home) {
    home->ask_whether_to_go_on(may_go_on);
    homes().push_back(home);
}

// While a launcher runs on another emulator than this extension's: that one has the schedule, and
// answers the knocks.
class Visit {
  public:
    explicit Visit(Home* home) : home_(home) {
        if (home != nullptr) {
            home->set_schedule(emulate::current_schedule());
            sigaction(emulate::knock, nullptr, &before_);
            takes_knocks_ = emulate::answers_knocks() || before_.sa_handler == SIG_DFL ||
                            before_.sa_handler == SIG_IGN;
            if (takes_knocks_) {
                sigaction(emulate::knock, &home->knock, nullptr);
            }
        }
    }
    ~Visit() {
        if (home_ != nullptr) {
            emulate::set_schedule(home_->schedule());
            if (takes_knocks_) {
                sigaction(emulate::knock, &before_, &home_->knock);
            }
        }
    }
    Visit(const Visit&) = delete;

  private:
    Home* home_;
    bool takes_knocks_ = false;
    struct sigaction before_ {};
};

inline void define_emulator_controls(pybind11::module_& module) {
    namespace py = pybind11;
    emulate::ask_whether_to_go_on(may_go_on);
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
        "work_done",
        [] {
            emulate::Work all = emulate::work_done();
            for (const Home* home : homes()) {
                const emulate::Work work = home->work_done();
                all = {all.launches + work.launches, all.threads + work.threads};
            }
            return py::make_tuple(all.launches, all.threads);
        },
        "How many launches, and threads in them, have begun, those of files loaded included.");
    module.def(
        "fiber_counts",
        [] {
            const emulate::FiberCounts counts = emulate::count_fibers();
            return py::make_tuple(counts.made, counts.pooled);
        },
        "How many fibers exist, and how many of them are idle.");
}

}  // namespace binding
