// What the emulated extension offers beyond the launchers: the choice of thread schedule, and what the
// checks of accesses are told and asked, its own in the checked build, and those of files loaded.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../kernels/emulate/check.h"
#include "../kernels/emulate/fiber.h"
#include "../kernels/emulate/home.h"
#include "../kernels/emulate/runtime.h"
#include "launching.h"

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

// The emulators of files of kernels that were compiled by themselves.
inline std::vector<Home*>& homes() {
    static std::vector<Home*> all;
    return all;
}
inline bool& counts_banks() {
    static bool wanted = false;
    return wanted;
}
inline void add_home(Home* home) {
    if (std::find(homes().begin(), homes().end(), home) != homes().end()) {
        return;  // dlopen gave a library again that is loaded
    }
    home->ask_whether_to_go_on(may_go_on);
    if (home->banks.count != nullptr) {
        home->banks.count(counts_banks());
    }
    homes().push_back(home);
}

// Those that count bank conflicts, this extension's own among them where it does.
inline std::vector<Home::Banks> counters_of_banks() {
    std::vector<Home::Banks> all;
    const auto add = [&](const Home::Banks& banks) {
        if (banks.count != nullptr) {
            all.push_back(banks);
        }
    };
    add(EMULATE_BANKS);
    for (const Home* home : homes()) {
        add(home->banks);
    }
    return all;
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

// Arrays that kernels reach though no argument names them, such as those in a table of addresses, or at
// an address that is given as a number: by their address, with their bytes.
inline std::map<uintptr_t, size_t>& arrays_beside() {
    static std::map<uintptr_t, size_t> arrays;
    return arrays;
}

inline emulate::check::GlobalArray array_of(PyObject* given, std::string name) {
    namespace py = pybind11;
    const auto array = py::reinterpret_borrow<py::array>(given);
    uintptr_t low = uintptr_t(array.data()), high = low + size_t(array.itemsize());
    for (py::ssize_t i = 0; i < array.ndim(); ++i) {
        const py::ssize_t span = array.strides(i) * (array.shape(i) - 1);
        (span < 0 ? low : high) += uintptr_t(span);
    }
    return {low, array.size() == 0 ? 0 : high - low, std::move(name)};
}

// Where an address is that an access failed at, from the nearest of a launch's arrays.
inline std::string describe_address(PyObject* const* given, const std::string& kinds, const void* address) {
    const auto at = uintptr_t(address);
    std::string text;
    uintptr_t nearest = uintptr_t(1) << 32;  // what is further away has nothing to do with it
    for (size_t i = 0; i < kinds.size(); ++i) {
        if (kinds[i] != 'p' || !pybind11::isinstance<pybind11::array>(given[i])) {
            continue;
        }
        const auto array = array_of(given[i], "argument " + std::to_string(i));
        const uintptr_t end = array.address + array.bytes;
        const uintptr_t distance = at < array.address ? array.address - at : at - end;
        if (distance < nearest && (at < array.address || at >= end)) {
            nearest = distance;
            text = ": " + std::to_string(distance) + " bytes " + (at < array.address ? "before " : "behind ") +
                   array.name + ", which has " + std::to_string(array.bytes);
        }
    }
    return text;
}

// Tells the checks of one emulator which arrays the launches of one call may reach. An address whose
// array nobody told leaves open what lies around it.
inline void watch_arrays(PyObject* const* given, const std::string& kinds, Home::SetArrays* tell) {
    namespace py = pybind11;
    std::vector<emulate::check::GlobalArray> arrays;
    bool are_all = true;
    for (size_t i = 0; i < kinds.size(); ++i) {
        if (kinds[i] != 'p' || given[i] == Py_None) {
            continue;
        }
        const std::string name = "argument " + std::to_string(i);
        if (py::isinstance<py::array>(given[i])) {
            arrays.push_back(array_of(given[i], name));
        } else if (PyLong_CheckExact(given[i])) {
            const auto address = uintptr_t(PyLong_AsVoidPtr(given[i]));
            const auto known = arrays_beside().find(address);
            are_all = are_all && (address == 0 || i + 1 == kinds.size() || known != arrays_beside().end());
            if (known != arrays_beside().end()) {
                arrays.push_back({address, known->second, name});
            }
        }
    }
    for (const auto& [address, bytes] : arrays_beside()) {
        arrays.push_back({address, bytes, "an array of the table"});
    }
    tell(std::move(arrays), are_all);
}

inline void define_checks(pybind11::module_& module) {
    namespace py = pybind11;
    module.def(
        "watch", [](uintptr_t address, size_t bytes) { arrays_beside()[address] = bytes; },
        py::arg("address"), py::arg("bytes"),
        "Let kernels reach these bytes, which are no argument of theirs, or given by their address.");
    module.def(
        "forget", [](uintptr_t address) { arrays_beside().erase(address); }, py::arg("address"),
        "Take back a watch.");
#ifdef TAPEGRAD_CHECKED
    module.attr("checks_accesses") = true;  // of its own kernels, too, and not only of files loaded
#endif
}

// Of the checked build, and of those files of kernels that were compiled for it.
inline void define_bank_conflicts(pybind11::module_& module) {
    namespace py = pybind11;
    module.def(
        "count_bank_conflicts",
        [](bool wanted) {
            const Turn turn;
            counts_banks() = wanted;
            for (const Home::Banks& banks : counters_of_banks()) {
                banks.count(wanted);
            }
        },
        py::arg("wanted"), "Begin to count bank conflicts of checked launches, from nothing, or end it.");
    module.def(
        "bank_conflicts",
        [] {
            const Turn turn;
            py::list lines;
            for (const Home::Banks& banks : counters_of_banks()) {
                for (const auto& line : banks.counted()) {
                    lines.append(py::make_tuple(line.place, line.requests, line.passes,
                                                line.passes_without_conflict));
                }
            }
            return lines;
        },
        "For each line of checked kernels that accessed shared memory: (place, requests of a warp, passes "
        "over the banks, passes without conflicts).");
}

inline void define_emulator_controls(pybind11::module_& module) {
    namespace py = pybind11;
    begin_turns();
    emulate::ask_whether_to_go_on(may_go_on);
    module.def(
        "set_schedule",
        [](const std::string& name, uint64_t seed, uint64_t skipped, uint64_t count) {
            const emulate::Schedule order = schedule_from_name(name);
            const Turn turn;
            emulate::set_schedule({order, seed, skipped, count});
        },
        py::arg("schedule"), py::arg("seed") = 0, py::arg("skipped") = 0,
        py::arg("count") = emulate::all_decisions,
        "Choose the order of threads and blocks: 'random' with a seed, 'ascending' or 'descending'. "
        "Each launch uses the seed and adds one to it; an error names the seed of its launch. Of the "
        "decisions from now on whose turn it is, so many are skipped, and after the count all others, "
        "which are taken in ascending order.");
    module.def(
        "schedule",
        [] {
            const Turn turn;
            const emulate::ScheduleChoice choice = emulate::current_schedule();
            return py::make_tuple(emulate::schedule_name(choice.schedule), choice.seed,
                                  choice.skipped, choice.count);
        },
        "The schedule, the seed of the next launch and the decisions to come, as set_schedule takes "
        "them.");
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
        "progress",
        [] {
            emulate::Progress running = emulate::progress();
            for (size_t i = 0; i < homes().size() && running.launch == 0; ++i) {
                running = homes()[i]->progress();
            }
            return py::make_tuple(running.launch, running.ended, running.met);
        },
        "Of the launch that runs: its number (0: none runs), how many threads have ended, and how many "
        "barriers and warp operations were met.");
    module.def(
        "describe_progress",
        [] {
            for (const Home* home : homes()) {
                if (home->progress().launch != 0) {
                    return home->describe_progress();
                }
            }
            return emulate::describe_progress();
        },
        "Of the launch that runs: kernel, block, thread and line.");
    module.def(
        "fiber_counts",
        [] {
            const emulate::FiberCounts counts = emulate::count_fibers();
            return py::make_tuple(counts.made, counts.pooled);
        },
        "How many fibers exist, and how many of them are idle.");
    define_bank_conflicts(module);
    define_checks(module);
}

}  // namespace binding
