// The controls of one emulator, of which a process has several: each file of kernels that is compiled
// by itself brings its own.
#pragma once

#include <signal.h>

#include <vector>

#include "check.h"
#include "runtime.h"

#ifdef TAPEGRAD_CHECKED
#define EMULATE_SET_ARRAYS emulate::check::set_arrays
#define EMULATE_BANKS {emulate::check::count_bank_conflicts, emulate::check::bank_conflicts}
#else
#define EMULATE_SET_ARRAYS nullptr
#define EMULATE_BANKS {}
#endif

struct Home {
    void (*set_schedule)(emulate::ScheduleChoice);
    emulate::ScheduleChoice (*schedule)();
    void (*ask_whether_to_go_on)(bool (*question)());
    emulate::Work (*work_done)();
    emulate::Progress (*progress)();
    std::string (*describe_progress)();
    using SetArrays = void(std::vector<emulate::check::GlobalArray> arrays, bool are_all);
    SetArrays* set_arrays;  // null, like the two of Banks: it does not look at accesses
    struct Banks {
        void (*count)(bool wanted);
        std::vector<emulate::check::BankConflicts> (*counted)();
    } banks;
    struct sigaction knock;  // what answers its knocks; at first the system's default
};
